"""Documents, parsed, measured and validated once, and kept with what was learned about them."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    get_variable_values,
    parse,
    validate,
)

from gateway.server.graphql.answers import Code, Refused, request_error
from gateway.server.graphql.context import Plan
from gateway.server.graphql.limits import (
    TOKENS_MAX,
    Limits,
    Measure,
    TooComplex,
    check_cost,
    check_document,
    check_source,
    lists_of,
)
from gateway.server.graphql.rules import GUARDED_RULES, RULES

KEPT_DOCUMENTS_MAX = 500
KEPT_CHARACTERS_MAX = 1_000_000
KEPT_REFUSALS_MAX = 200
KEPT_REFUSAL_CHARACTERS_MAX = 5_000
ERRORS_MAX = 8

_NOTHING: Mapping[str, object] = {}
#: How graphql-core ends its sentence about too many tokens or too deep a nesting.
_PARSER_GAVE_UP = "Parsing aborted."
_NUL_ESCAPE = re.compile(r"\\u(?:0000|\{0+\})")


@dataclass(slots=True)
class Operation:
    """One operation of a valid document."""

    name: str | None
    kind: OperationType
    node: OperationDefinitionNode
    document: DocumentNode
    #: What it costs whatever the variables; None when a variable decides it.
    cost: int | None
    _plan: Callable[[], object]
    _planned: object = field(default=None)
    _is_planned: bool = field(default=False)

    @property
    def plan(self) -> object:
        """What the injected planner made of it, asked once."""
        if not self._is_planned:
            self._planned = self._plan()
            self._is_planned = True
        return self._planned


class Documents:
    """A bounded memory of documents by their text. Good and refused ones are kept apart, so junk evicts no good one."""

    def __init__(self, schema: GraphQLSchema, *, limits: Limits, introspection: bool, plan: Plan) -> None:
        self._schema = schema
        self._limits = limits
        self._lists = lists_of(schema)
        self._rules = RULES if introspection else GUARDED_RULES
        self._planner = plan
        self._good: OrderedDict[str, Sequence[Operation]] = OrderedDict()
        self._good_characters = 0
        self._refused: OrderedDict[str, Sequence[Mapping[str, object]]] = OrderedDict()
        #: How many documents were looked at rather than remembered.
        self.compiled = 0

    def operation(self, source: str, name: str | None) -> Operation:
        """The operation to run. Raises Refused for a bad document, and for a name that fits none or is missing."""
        operations = self._operations(source)
        if name is None:
            if len(operations) == 1:
                return operations[0]
            raise Refused.because("The document has several operations; say which one with operationName.")
        for operation in operations:
            if operation.name == name:
                return operation
        raise Refused.because(f"The document has no operation named {name[:60]!r}.")

    def variables(self, operation: Operation, given: Mapping[str, object]) -> Mapping[str, object]:
        """The variables as the schema coerces them. Raises Refused when one does not fit or makes it too costly."""
        definitions = operation.node.variable_definitions
        if not definitions:
            return _NOTHING
        values = get_variable_values(
            self._schema, definitions, dict(given), max_errors=ERRORS_MAX, hide_suggestions=True
        )
        if isinstance(values, list):
            raise Refused([request_error(error) for error in values])
        if operation.cost is None:
            self._check_varying_cost(operation, values.coerced)
        return values.coerced

    def _operations(self, source: str) -> Sequence[Operation]:
        good = self._good.get(source)
        if good is not None:
            self._good.move_to_end(source)
            return good
        refused = self._refused.get(source)
        if refused is not None:
            self._refused.move_to_end(source)
            raise Refused(refused)
        try:
            good = self._compile(source)
        except Refused as refusal:
            self._keep_refused(source, refusal)
            raise
        self._keep_good(source, good)
        return good

    def _compile(self, source: str) -> Sequence[Operation]:
        self.compiled += 1
        try:
            check_source(source, self._limits)
            document = parse(source, max_tokens=TOKENS_MAX)
            measure = Measure(document, self._limits, self._lists)
            sizes = check_document(measure)
            nodes = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
            operations = [
                self._operation(document, node, most=size.cost, varies=measure.varies)
                for node, size in zip(nodes, sizes, strict=True)
            ]
        except TooComplex as error:
            raise Refused.because(str(error), code=Code.QUERY_TOO_COMPLEX) from None
        except GraphQLSyntaxError as error:
            aborted = error.message.endswith(_PARSER_GAVE_UP)
            code = Code.QUERY_TOO_COMPLEX if aborted else Code.BAD_REQUEST
            raise Refused([{**request_error(error), "extensions": {"code": code}}]) from None
        if _NUL_ESCAPE.search(source):
            raise Refused.because("A text must not hold the character NUL; no database of ours can keep it.")
        errors = validate(self._schema, document, self._rules, max_errors=ERRORS_MAX, hide_suggestions=True)
        if errors:
            raise Refused([request_error(error) for error in errors])
        return operations

    def _operation(
        self, document: DocumentNode, node: OperationDefinitionNode, *, most: int, varies: bool
    ) -> Operation:
        if node.operation is OperationType.SUBSCRIPTION:
            raise Refused.because("There are no subscriptions here; ask again instead.")
        depends = varies and most > self._limits.cost
        if not depends:
            check_cost(most, self._limits)
        return Operation(
            name=node.name.value if node.name else None,
            kind=node.operation,
            node=node,
            document=document,
            cost=None if depends else most,
            _plan=lambda: self._planner(self._schema, document, node),
        )

    def _check_varying_cost(self, operation: Operation, variables: Mapping[str, object]) -> None:
        measure = Measure(operation.document, self._limits, self._lists, variables)
        try:
            check_cost(measure.operation(operation.node).cost, self._limits)
        except TooComplex as error:
            raise Refused.because(str(error), code=Code.QUERY_TOO_COMPLEX) from None

    def _keep_good(self, source: str, operations: Sequence[Operation]) -> None:
        self._good[source] = operations
        self._good_characters += len(source)
        while len(self._good) > KEPT_DOCUMENTS_MAX or self._good_characters > KEPT_CHARACTERS_MAX:
            evicted, _ = self._good.popitem(last=False)
            self._good_characters -= len(evicted)

    def _keep_refused(self, source: str, refusal: Refused) -> None:
        if len(source) <= KEPT_REFUSAL_CHARACTERS_MAX:
            self._refused[source] = refusal.errors
            if len(self._refused) > KEPT_REFUSALS_MAX:
                self._refused.popitem(last=False)
