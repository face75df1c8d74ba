"""What an operation needs, read off its document once: which parts, which pages, which variables decide them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar, cast
from uuid import UUID

import strawberry
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    IntValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

from gateway.services.snapshot import DAYS_MAX, EarningPageNeed, Need, PageNeed, PayoutPageNeed
from resolvers.connections import PAGE_ROWS_DEFAULT, BadPage, earning_page_need, page_need, payout_page_need

DAYS_DEFAULT: Final = 30
#: Of an Int, sign included. An ID may be written as a longer number, which Python does not read at any length.
_INT_CHARACTERS_MAX: Final = 11
#: The fields of `Earnings` that are made of the sum over all days.
_LIFETIME_FIELDS: Final = frozenset({("Earnings", "lifetime"), ("Earnings", "paidOut")})


@dataclass(frozen=True, slots=True)
class Given:
    """An argument's value: written in the document, or the name of the variable that decides it."""

    literal: object = None
    variable: str | None = None

    def value(self, variables: Mapping[str, object], *, default: object = None) -> object:
        if self.variable is None:
            return self.literal
        return variables.get(self.variable, default)


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A page as the document asks for it; which page that is may depend on variables."""

    first: Given
    after: Given


@dataclass(frozen=True, slots=True)
class NeedPlan:
    """What an operation needs, up to its variables. @skip and @include are not weighed: more is loaded, never less."""

    plan: bool
    wallet: bool
    entries: tuple[PageAsked, ...]
    earnings: bool
    lifetime: bool
    days: tuple[Given, ...]
    earning_entries: tuple[PageAsked, ...]
    payouts: tuple[PageAsked, ...]
    payout_ids: tuple[Given, ...]
    standing: bool

    def need(self, variables: Mapping[str, object]) -> Need:
        """The need for these variables. A page or series that cannot be is left out: its own field says so."""
        return Need(
            plan=self.plan,
            wallet=self.wallet,
            entries=_pages(self.entries, variables, page_need),
            earnings=self.earnings,
            lifetime=self.lifetime,
            days=max((_days(given, variables) for given in self.days), default=0),
            earning_entries=_pages(self.earning_entries, variables, earning_page_need),
            payouts=_pages(self.payouts, variables, payout_page_need),
            payout_ids=frozenset(filter(None, (payout_id_of(given.value(variables)) for given in self.payout_ids))),
            standing=self.standing,
        )


def days_need(days: object) -> int:
    """How many days a series asks for.

    Raises:
        BadPage: it is out of range.
    """
    if type(days) is not int or not 1 <= days <= DAYS_MAX:
        raise BadPage(f"`days` is a whole number from 1 to {DAYS_MAX}; got {str(days)[:20]}.")
    return days


def payout_id_of(id: object) -> UUID | None:
    """The id, if it is spelled as we spell it: one payout has one id, also for what caches by it."""
    try:
        payout_id = UUID(str(id))
    except ValueError:
        return None
    return payout_id if str(payout_id) == id else None


def plan_need(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> NeedPlan:
    """Read a valid document; the edge's limits bound how large its fragments make it."""
    root = schema.get_root_type(operation.operation)
    assert root is not None, "a valid operation has its root type"
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    fields = list(_Walk(schema, fragments).fields(root, operation.selection_set))
    named = {(parent, name) for parent, name, _ in fields}

    def leads_to(wanted: str) -> bool:
        return any(_leads_to(schema, parent, name, wanted) for parent, name in named)

    def found(parent: str, name: str) -> list[FieldNode]:
        return [node for at, called, node in fields if (at, called) == (parent, name)]

    return NeedPlan(
        plan=leads_to("Plan"),
        wallet=leads_to("Wallet"),
        entries=_asked(found("Wallet", "entries")),
        earnings=leads_to("Earnings"),
        lifetime=not _LIFETIME_FIELDS.isdisjoint(named),
        days=tuple(_given(node, "days", DAYS_DEFAULT) for node in found("Earnings", "daily")),
        earning_entries=_asked(found("Earnings", "entries")),
        payouts=_asked(found("Query", "payouts")),
        payout_ids=tuple(_given(node, "id", None) for node in found("Query", "payout")),
        standing=leads_to("PayoutSettings"),
    )


def need_of_answer(info: strawberry.Info) -> Need:
    """What the answer of the mutation under way needs."""
    # Only graphql-core's own info knows the fragments and the schema.
    raw = cast("GraphQLResolveInfo[object]", info._raw_info)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    document = DocumentNode(definitions=(raw.operation, *raw.fragments.values()))
    return plan_need(raw.schema, document, raw.operation).need(info.variable_values)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Visits every field of an operation with the name of its parent type."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]

    def fields(self, parent: object, selections: SelectionSetNode) -> Iterator[tuple[str, str, FieldNode]]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield from self._field(parent, node)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self.fragments[node.name.value]
                inner = self.schema.type_map[fragment.type_condition.name.value]
                yield from self.fields(inner, fragment.selection_set)
            else:
                condition = getattr(node, "type_condition", None)
                inner = self.schema.type_map[condition.name.value] if condition else parent
                yield from self.fields(inner, node.selection_set)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType] - an inline fragment is all that is left

    def _field(self, parent: object, node: FieldNode) -> Iterator[tuple[str, str, FieldNode]]:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            assert isinstance(parent, GraphQLUnionType), "fields stand in objects, interfaces and unions (__typename)"
            return
        yield parent.name, node.name.value, node
        field = parent.fields.get(node.name.value)
        if field is not None and node.selection_set is not None:
            yield from self.fields(_named(field.type), node.selection_set)


def _leads_to(schema: GraphQLSchema, parent: str, name: str, wanted: str) -> bool:
    holder = schema.type_map[parent]
    assert isinstance(holder, GraphQLObjectType | GraphQLInterfaceType), "fields were found in it"
    field = holder.fields.get(name)
    return field is not None and _named(field.type).name == wanted


def _named(wrapped: object) -> GraphQLNamedType:
    return get_named_type(cast("GraphQLNamedType", wrapped))


def _given(node: FieldNode, name: str, default: object) -> Given:
    for argument in node.arguments or ():
        if argument.name.value == name:
            return _value(argument.value)
    return Given(default)


def _value(node: ValueNode) -> Given:
    match node:
        case VariableNode():
            return Given(variable=node.name.value)
        case IntValueNode() if len(node.value) <= _INT_CHARACTERS_MAX:
            return Given(int(node.value))
        case IntValueNode() | StringValueNode():
            return Given(node.value)
        case NullValueNode():
            return Given(None)
        case _:
            raise AssertionError("validation lets nothing else through")


def _asked(nodes: Collection[FieldNode]) -> tuple[PageAsked, ...]:
    return tuple(
        PageAsked(first=_given(node, "first", PAGE_ROWS_DEFAULT), after=_given(node, "after", None)) for node in nodes
    )


_Page = TypeVar("_Page", PageNeed, EarningPageNeed, PayoutPageNeed)


def _pages(
    asked: Collection[PageAsked], variables: Mapping[str, object], page_of: Callable[[object, object], _Page]
) -> frozenset[_Page]:
    """The pages that can be."""
    pages: set[_Page] = set()
    for page in asked:
        first = page.first.value(variables, default=PAGE_ROWS_DEFAULT)
        with suppress(BadPage):
            pages.add(page_of(first, page.after.value(variables, default=None)))
    return frozenset(pages)


def _days(given: Given, variables: Mapping[str, object]) -> int:
    with suppress(BadPage):
        return days_need(given.value(variables, default=DAYS_DEFAULT))
    return 0
