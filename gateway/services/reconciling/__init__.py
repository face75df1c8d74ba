"""Comparing the ledger with Stripe, day by day, and booking what only Stripe's balance tells (docs/reconciliation.md).

`reconcile_day` does it for one UTC day and may be repeated by anybody at any time; `reconcile_when_due` is the chore.
"""

from gateway.services.reconciling.due import mark_reconciled, reconcile_when_due, report_differences
from gateway.services.reconciling.remembering import accept
from gateway.services.reconciling.run import FutureDay, Reconciliation, reconcile_day

__all__ = [
    "FutureDay",
    "Reconciliation",
    "accept",
    "mark_reconciled",
    "reconcile_day",
    "reconcile_when_due",
    "report_differences",
]
