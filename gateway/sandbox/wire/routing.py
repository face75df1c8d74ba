"""Finding the operation a request means."""

from urllib.parse import unquote

from gateway.sandbox.refusals import Refusal
from gateway.sandbox.wire.operation import Operation

_ID = "{id}"


class Routes:
    """All operations, by method and the steps of their path."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        self._by_shape: dict[tuple[str, int], list[tuple[list[str], Operation]]] = {}
        for operation in operations:
            steps = operation.path.strip("/").split("/")
            self._by_shape.setdefault((operation.method, len(steps)), []).append((steps, operation))

    def find(self, method: str, raw_path: str) -> tuple[Operation, tuple[str, ...]]:
        """The operation and the ids in the path; fixed steps win over ids.

        Raises:
            Refusal: 404, as Stripe answers an address it does not have.
        """
        asked = [unquote(step) for step in raw_path.strip("/").split("/")]
        best: tuple[Operation, tuple[str, ...]] | None = None
        for steps, operation in self._by_shape.get((method, len(asked)), []):
            if all(step in (_ID, one) for step, one in zip(steps, asked, strict=True)):
                ids = tuple(one for step, one in zip(steps, asked, strict=True) if step == _ID)
                if best is None or len(ids) < len(best[1]):
                    best = (operation, ids)
        if best is None:
            raise Refusal(
                f"Unrecognized request URL ({method}: {raw_path}). Please see https://docs.stripe.com "
                "or we can help at https://support.stripe.com/.",
                status=404,
            )
        return best
