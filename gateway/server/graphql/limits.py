"""How large a document may be: one pass that visits every node once, however often a fragment is spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

SOURCE_CHARACTERS_MAX = 15_000
TOKENS_MAX = 1_000
#: Selection sets inside each other, fragments included: keeps the walk itself away from the interpreter's limit.
NESTING_MAX = 64

#: Arguments that say how long a list is, with the most that each is taken for; more is for the resolver to refuse.
#: A day is a sum, not a row to load, so a year of days counts as a page.
PAGE_SIZES_MAX: Mapping[str, int] = MappingProxyType({"first": 100, "last": 100, "days": 100})

_INTROSPECTION_ROOTS = frozenset({"__schema", "__type"})
_DIGITS_MAX = 9
#: Chained fragments reach numbers that fill a page; what is over a limit need not be told exactly.
_SHOWN_MAX = 10**9


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of each that one document may hold, counted after fragments are spread out."""

    depth: int = 10
    aliases: int = 30
    directives: int = 20
    directives_per_node: int = 4
    fields: int = 300
    #: Fields written again in the selection set they already stand in; merging them takes a comparison of every pair.
    repeats: int = 10
    definitions: int = 20
    root_fields: int = 20
    mutation_fields: int = 1
    #: One for each field, as often as the lists around it repeat it.
    cost: int = 5_000


class TooComplex(Exception):
    """A document over one of the limits, with a sentence that names the limit and the excess."""


@dataclass(frozen=True, slots=True)
class Lists:
    """What repeats in a schema. By field name alone, as no types are known before validation."""

    #: Fields that are lists, like `edges`.
    names: frozenset[str]
    #: Those of them that are none in another type, like `entries`: a page where a list stands below, else a list.
    elsewhere_none: frozenset[str]
    #: Fields whose arguments say how long a list is, the one they are or the one below, with the defaults of these.
    pages: Mapping[str, Mapping[str, int | None]]


def lists_of(schema: GraphQLSchema) -> Lists:
    """The lists and pages of all objects of a schema."""
    names: set[str] = set()
    others: set[str] = set()
    pages: dict[str, dict[str, int | None]] = {}
    for schema_type in schema.type_map.values():
        if not isinstance(schema_type, GraphQLObjectType | GraphQLInterfaceType):
            continue
        for name, definition in schema_type.fields.items():
            (names if str(definition.type).startswith("[") else others).add(name)
            for argument_name in definition.args.keys() & PAGE_SIZES_MAX.keys():
                default: object = definition.args[argument_name].default_value
                pages.setdefault(name, {})[argument_name] = default if isinstance(default, int) else None
    return Lists(names=frozenset(names), elsewhere_none=frozenset(names & others), pages=pages)


@dataclass(slots=True)
class Size:
    """What one selection set amounts to."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    fields: int = 0
    repeats: int = 0
    cost: int = 0
    #: The part of the cost inside a list whose length a field further up decides.
    listed_cost: int = 0
    #: Fields at the top of the selection set itself, `__typename` aside.
    top: int = 0

    def add(self, other: "Size") -> None:
        self.depth = max(self.depth, other.depth)
        self.aliases += other.aliases
        self.directives += other.directives
        self.fields += other.fields
        self.repeats += other.repeats
        self.cost += other.cost
        self.listed_cost += other.listed_cost
        self.top += other.top


@dataclass(slots=True)
class Measure:
    """Sizes of a document's definitions; `visited` counts the nodes it took to know them.

    Without variables a variable page size counts as the largest there is, so the cost is then an upper bound.
    """

    document: DocumentNode
    limits: Limits
    lists: Lists
    variables: Mapping[str, object] | None = None
    visited: int = 0
    #: Whether a variable decides a page size, so that the cost must be looked at for every request.
    varies: bool = False
    _fragments: dict[str, FragmentDefinitionNode] = field(default_factory=dict[str, FragmentDefinitionNode])
    _known: dict[str, Size] = field(default_factory=dict[str, Size])
    _open: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        for definition in self.document.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                self._fragments[definition.name.value] = definition

    def operation(self, operation: OperationDefinitionNode) -> Size:
        size = self._selections(operation.selection_set, nesting=0)
        size.directives += self._directives(operation.directives)
        for variable in operation.variable_definitions or ():
            size.directives += self._directives(variable.directives)
        size.cost += size.listed_cost
        return size

    def unused_fragments(self) -> Size:
        """What fragments amount to that no operation spreads: validating them takes time all the same."""
        size = Size()
        for name in self._fragments:
            if name not in self._known:
                size.add(self._fragment(name, nesting=0))
        return size

    def _selections(
        self,
        selection_set: SelectionSetNode | None,
        *,
        nesting: int,
        scope: str = "",
        names: set[tuple[str, str]] | None = None,
    ) -> Size:
        """The size of one selection set. Inline fragments pass on `names`: what they hold is merged into it.

        `scope` is the type condition they stand under; the same name under two members of a union is no repetition.
        """
        if nesting > NESTING_MAX:
            raise TooComplex(f"Selections are nested at most {NESTING_MAX} times, fragments included.")
        size = Size()
        names = set() if names is None else names
        for selection in selection_set.selections if selection_set else ():
            self.visited += 1
            size.directives += self._directives(selection.directives)
            if isinstance(selection, FieldNode):
                name = (scope, (selection.alias or selection.name).value)
                size.repeats += name in names
                names.add(name)
                size.add(self._field(selection, nesting=nesting))
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition.name.value if selection.type_condition else scope
                below, inside = selection.selection_set, nesting + 1
                size.add(self._selections(below, nesting=inside, scope=condition, names=names))
            elif isinstance(selection, FragmentSpreadNode):
                size.add(self._fragment(selection.name.value, nesting=nesting))
        return size

    def _field(self, node: FieldNode, *, nesting: int) -> Size:
        below = self._selections(node.selection_set, nesting=nesting + 1)
        name = node.name.value
        cost, listed_cost = self._cost(node, below)
        return Size(
            # How deep introspection may go is graphql-core's own rule (MaxIntrospectionDepthRule).
            depth=1 if name in _INTROSPECTION_ROOTS else below.depth + 1,
            aliases=below.aliases + (node.alias is not None),
            directives=below.directives,
            fields=below.fields + 1,
            repeats=below.repeats,
            cost=cost,
            listed_cost=listed_cost,
            top=0 if name == "__typename" else 1,
        )

    def _fragment(self, name: str, *, nesting: int) -> Size:
        known = self._known.get(name)
        if known is not None:
            return known
        definition = self._fragments.get(name)
        if definition is None or name in self._open:
            return Size()  # unknown or a cycle: validation says so
        self._open.add(name)
        size = self._selections(definition.selection_set, nesting=nesting + 1)
        size.directives += self._directives(definition.directives)
        self._open.discard(name)
        self._known[name] = size
        return size

    def _directives(self, directives: Sequence[DirectiveNode] | None) -> int:
        count = len(directives or ())
        if count > self.limits.directives_per_node:
            most = self.limits.directives_per_node
            raise TooComplex(f"One place holds at most {most} directives; got {count}.")
        return count

    def _cost(self, node: FieldNode, below: Size) -> tuple[int, int]:
        name = node.name.value
        is_list = name in self.lists.names and not (below.listed_cost and name in self.lists.elsewhere_none)
        if name in self.lists.pages:
            repeated = below.listed_cost + (below.cost if is_list else 0)
            once = 0 if is_list else below.cost
            return 1 + once + self._page(node) * repeated, 0
        if is_list:
            return 1, below.cost + below.listed_cost
        return 1 + below.cost, below.listed_cost

    def _page(self, node: FieldNode) -> int:
        """How long the list is that this field or the one below it stands for."""
        defaults = self.lists.pages[node.name.value]
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        sizes = [
            self._number(given[name], most=PAGE_SIZES_MAX[name]) if name in given else default
            for name, default in defaults.items()
        ]
        known = [size for size in sizes if size is not None]
        return max(known) if known else max(PAGE_SIZES_MAX[name] for name in defaults)

    def _number(self, value: ValueNode, *, most: int) -> int:
        number: object = most
        if isinstance(value, IntValueNode) and len(value.value) <= _DIGITS_MAX:
            number = int(value.value)
        elif isinstance(value, VariableNode):
            self.varies = True
            number = most if self.variables is None else self.variables.get(value.name.value, most)
        return min(max(number, 1), most) if isinstance(number, int) else most


def check_source(source: str, limits: Limits) -> None:
    """Refuses a text that is too long to be looked at. Raises TooComplex."""
    if len(source) > SOURCE_CHARACTERS_MAX:
        raise TooComplex(f"A document has at most {SOURCE_CHARACTERS_MAX} characters; got {len(source)}.")


def check_document(measure: Measure) -> Sequence[Size]:
    """The sizes of the document's operations, in order. Raises TooComplex over a limit that no variable can change."""
    limits, document = measure.limits, measure.document
    if len(document.definitions) > limits.definitions:
        raise TooComplex(f"A document has at most {limits.definitions} definitions; got {len(document.definitions)}.")
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    sizes = [measure.operation(operation) for operation in operations]
    total = Size()
    for operation, size in zip(operations, sizes, strict=True):
        _check_root(operation, size, limits)
        total.add(size)
    total.add(measure.unused_fragments())
    for name, found, most in (
        ("levels", total.depth, limits.depth),
        ("aliases", total.aliases, limits.aliases),
        ("directives", total.directives, limits.directives),
        ("fields", total.fields, limits.fields),
        ("repeated fields", total.repeats, limits.repeats),
    ):
        if found > most:
            raise TooComplex(f"A document has at most {most} {name}; got {min(found, _SHOWN_MAX)}.")
    return sizes


def check_cost(cost: int, limits: Limits) -> None:
    """Refuses an operation that would load too much. Raises TooComplex."""
    if cost > limits.cost:
        raise TooComplex(
            f"An operation costs at most {limits.cost} (one for each field, as often as lists repeat it); "
            f"this one costs {min(cost, _SHOWN_MAX)}. Ask for smaller pages."
        )


def _check_root(operation: OperationDefinitionNode, size: Size, limits: Limits) -> None:
    if size.top > limits.root_fields:
        raise TooComplex(f"An operation has at most {limits.root_fields} root fields; got {min(size.top, _SHOWN_MAX)}.")
    if operation.operation is OperationType.MUTATION and size.top > limits.mutation_fields:
        raise TooComplex(f"A mutation has one root field, so that it has one outcome; got {min(size.top, _SHOWN_MAX)}.")
