"""Booking what only Stripe's balance tells: fees, subscription income, money between Stripe and the platform's bank."""

from collections.abc import Sequence

import structlog

from gateway.db import Connection
from gateway.domain.balance_entries import bank_draft, fee_draft, subscription_draft
from gateway.domain.ledger import EntryDraft, Recorded
from gateway.domain.money import CURRENCY
from gateway.domain.reconciliation import fee_of, kind_of
from gateway.services.billing import Billing
from gateway.services.ledger import record_many
from gateway.services.reconciling.mirror import MirroredLine

log = structlog.stdlib.get_logger()

_FOLLOWED = {"sub": subscription_draft, "bank": bank_draft}


async def book_lines(billing: Billing, lines: Sequence[MirroredLine]) -> int:
    """Book what these lines say and nobody else books; returns how many entries are new.

    A line that was booked and has another amount since keeps its entry: comparing tells of it, nothing corrects it.
    """
    drafts = [draft for line in lines for draft in _drafts(line)]
    if not drafts:
        return 0

    async def work(connection: Connection) -> list[EntryDraft]:
        outcomes = await record_many(connection, drafts, now=billing.clock.now())
        return [
            draft
            for draft, outcome in zip(drafts, outcomes, strict=True)
            if isinstance(outcome, Recorded) and outcome.created
        ]

    new = await billing.database.run(work)
    for draft in new:
        billing.watch.ledger_entry_recorded(kind=draft.kind)
    return len(new)


def _drafts(line: MirroredLine) -> list[EntryDraft]:
    """At most two entries: one for the amount, one for the fee."""
    if line.currency != CURRENCY:
        return []
    found: list[EntryDraft] = []
    followed = _FOLLOWED.get(kind_of(line.subject))
    if followed is not None and line.amount_cents != 0:
        found.append(followed(line_id=line.line_id, amount_cents=line.amount_cents))
    fee_cents = fee_of(type=line.type, amount_cents=line.amount_cents, fee_cents=line.fee_cents)
    if fee_cents != 0:
        found.append(fee_draft(line_id=line.line_id, fee_cents=fee_cents))
    return found
