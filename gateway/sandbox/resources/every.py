"""Every operation the local Stripe has."""

from typing import Final

from gateway.sandbox.resources import (
    accounts,
    accounts_v2,
    catalog,
    checkout,
    customers,
    events,
    intents,
    invoices,
    payments,
    payouts,
    portal,
    subscriptions,
    transfers,
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
    *accounts.OPERATIONS,
    *accounts_v2.OPERATIONS,
    *transfers.OPERATIONS,
    *payouts.OPERATIONS,
    *events.OPERATIONS,
)
