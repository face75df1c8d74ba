"""The rules a document is validated by; one tuple for the life of the process, so that results can be kept."""

from typing import Any

from graphql import ASTValidationRule, FieldNode, GraphQLError, ValidationRule, specified_rules
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

_HARMLESS = frozenset({"__typename", "name", "kind"})


class IntrospectionGuard(ValidationRule):
    """Hides the schema: no `__schema`, and of `__type` no more than whether a type of a known name exists.

    Refusing `__type` as such would break clients that probe with it, the graphql-http audit among them.
    """

    def enter_field(self, node: FieldNode, *_: Any) -> None:  # noqa: ANN401 - the visitor's own arguments
        name = node.name.value
        selections = node.selection_set.selections if node.selection_set else ()
        tells_more = any(
            not isinstance(selection, FieldNode) or selection.name.value not in _HARMLESS for selection in selections
        )
        if name == "__schema" or (name == "__type" and tells_more):
            self.report_error(GraphQLError("Introspection is switched off.", [node]))


#: What Strawberry's own execution adds to the rules of the specification.
RULES: tuple[type[ASTValidationRule], ...] = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
GUARDED_RULES: tuple[type[ASTValidationRule], ...] = (*RULES, IntrospectionGuard)
