"""JSON for values that hold the same object in several places, such as a price within its subscriptions."""

from typing import Any, Final, TypeAlias, cast

from gateway.sandbox.refusals import Json

#: The only field of what stands for a shared object. Stripe has none of this name, and metadata holds texts only.
_SHARED: Final = "$shared"
Container: TypeAlias = dict[str, Any] | list[Any] | tuple[Any, ...]


def fold(root: Json) -> Json:
    """`root` as a tree: what it holds more than once is written once, apart, and referred to by number."""
    folding = _Folding()
    folding.count(root)
    return {"root": folding.folded(root), "shared": folding.shared}


def unfold(folded: Json) -> Json:
    """The value that `fold` was given, with each shared object again one and the same.

    Raises:
        KeyError, IndexError, TypeError, RecursionError: `fold` did not make this.
    """
    return _Unfolding(folded["shared"]).whole(folded["root"])


class _Folding:
    def __init__(self) -> None:
        self.shared: list[Any] = []
        self._met: set[int] = set()
        self._met_again: set[int] = set()
        self._places: dict[int, int] = {}

    def count(self, node: Container) -> None:
        """Learn which objects are met more than once, by identity."""
        own = id(node)
        if own in self._met:
            self._met_again.add(own)
            return
        self._met.add(own)
        for one in node.values() if isinstance(node, dict) else node:
            if isinstance(one, dict | list | tuple):
                self.count(cast("Container", one))

    def folded(self, node: Container) -> Any:  # noqa: ANN401 - a value of JSON
        own = id(node)
        if own not in self._met_again:
            return self._copied(node)
        place = self._places.get(own)
        if place is None:
            place = self._places[own] = len(self.shared)
            self.shared.append(None)
            self.shared[place] = self._copied(node)
        return {_SHARED: place}

    def _copied(self, node: Container) -> Any:  # noqa: ANN401 - a value of JSON
        if isinstance(node, dict):
            return {name: self._value(one) for name, one in node.items()}
        return [self._value(one) for one in node]

    def _value(self, value: Any) -> Any:  # noqa: ANN401 - a value of JSON
        return self.folded(cast("Container", value)) if isinstance(value, dict | list | tuple) else value


class _Unfolding:
    def __init__(self, shared: list[Any]) -> None:
        self._shared = shared
        self._made: dict[int, Any] = {}

    def whole(self, node: Any) -> Any:  # noqa: ANN401 - a value of JSON
        if isinstance(node, list):
            return [self.whole(one) for one in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        fields = cast("Json", node)
        place: Any = fields.get(_SHARED)
        if len(fields) == 1 and isinstance(place, int):
            if place not in self._made:
                self._made[place] = self.whole(self._shared[place])
            return self._made[place]
        return {name: self.whole(value) for name, value in fields.items()}
