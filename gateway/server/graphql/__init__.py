"""GraphQL over HTTP: a strict door of our own in front of a Strawberry schema."""

from gateway.server.graphql.context import Need, NewContexts, OperationContext, Plan
from gateway.server.graphql.edge import BATCH_MAX, GraphQLEdge
from gateway.server.graphql.limits import Limits
from gateway.server.graphql.routes import GRAPHQL_PATH, add_graphql_routes

__all__ = [
    "BATCH_MAX",
    "GRAPHQL_PATH",
    "GraphQLEdge",
    "Limits",
    "Need",
    "NewContexts",
    "OperationContext",
    "Plan",
    "add_graphql_routes",
]
