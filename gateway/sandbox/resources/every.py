"""Every operation the local Stripe has."""

from typing import Final

from gateway.sandbox.resources import (
    accounts,
    catalog,
    checkout,
    customers,
    events,
    intents,
    invoices,
    payments,
    portal,
    subscriptions,
)
from gateway.sandbox.wire.operation import Operation

ALL_OPERATIONS: Final[tuple[Operation, ...]] = (
    *catalog.OPERATIONS,
    *customers.OPERATIONS,
    *checkout.OPERATIONS,
    *subscriptions.OPERATIONS,
    *invoices.OPERATIONS,
    *intents.OPERATIONS,
    *payments.OPERATIONS,
    *portal.OPERATIONS,
    *events.OPERATIONS,
    *accounts.OPERATIONS,
)
