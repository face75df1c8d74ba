"""Stripe's transfers beside our payouts: each pays one payout, once, with its amount and to its account."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Final
from uuid import UUID

from gateway.db import Row
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, integer, text, text_or_none
from gateway.domain.money import cents_to_micros
from gateway.domain.reconciliation import Difference, DifferenceKind, day_bounds
from gateway.domain.transfer_check import PayoutFacts, TransferFacts, judge_transfer
from gateway.services.billing import Billing
from gateway.stripe_service import StripeTransfer

_PAYOUT: Final = "SELECT id, amount_cents, destination, transfer_id FROM payout"
#: Payouts looked at together.
PAYOUTS_AT_ONCE_MAX: Final = 500


async def doubtful_transfers(billing: Billing, day: date) -> AsyncIterator[list[str]]:
    """Subjects to look closer at: transfers of a day beside their payouts, and payouts whose transfer is not listed."""
    since, before = day_bounds(day)
    listed: set[str] = set()
    async for page in billing.stripe.transfers_made(since=since, before=before):
        listed |= {transfer.transfer_id for transfer in page}
        yield [difference.subject for difference in await _judged(billing, page)]
    async for unlisted in _unlisted(billing, day, listed):
        yield unlisted


async def compare_transfer(billing: Billing, transfer_id: str) -> Difference | None:
    """One transfer, as it is now."""
    transfer = await billing.stripe.retrieve_transfer(transfer_id)
    if transfer is not None:
        judged = await _judged(billing, (transfer,))
        return judged[0] if judged else None
    row = await billing.database.fetch_one(f"{_PAYOUT} WHERE transfer_id = $1", (transfer_id,))
    return None if row is None else _vanished(_payout(row), transfer_id)


async def _judged(billing: Billing, transfers: Sequence[StripeTransfer]) -> list[Difference]:
    payouts = await _payouts_of(billing, transfers)
    now = billing.clock.now()
    judged = [
        judge_transfer(
            _facts(transfer), payouts.get(transfer.transfer_id) or payouts.get(transfer.payout_id or ""), now=now
        )
        for transfer in transfers
    ]
    return [difference for difference in judged if difference is not None]


async def _payouts_of(billing: Billing, transfers: Sequence[StripeTransfer]) -> dict[str, PayoutFacts]:
    """Payouts by their own id and by their transfer's."""
    dialect = billing.database.dialect
    made = list_parameter(dialect, [transfer.transfer_id for transfer in transfers])
    named = list_parameter(dialect, [one for transfer in transfers if (one := _uuid(transfer.payout_id)) is not None])
    if dialect == "sqlite":
        where = "transfer_id IN (SELECT value FROM json_each($1)) OR id IN (SELECT value FROM json_each($2))"
    else:
        where = "transfer_id = ANY($1::text[]) OR id = ANY($2::uuid[])"
    payouts = [_payout(row) for row in await billing.database.fetch(f"{_PAYOUT} WHERE {where}", (made, named))]
    by_transfer = {payout.transfer_id: payout for payout in payouts if payout.transfer_id is not None}
    return {**{payout.payout_id: payout for payout in payouts}, **by_transfer}


async def was_undone(billing: Billing, transfer_id: str) -> bool:
    """Whether a transfer that is not of any payout was taken back in full: then it moved nothing."""
    transfer = await billing.stripe.retrieve_transfer(transfer_id)
    if transfer is None or transfer.reversed_cents != transfer.amount_cents:
        return False
    payouts = await _payouts_of(billing, (transfer,))
    payout = payouts.get(transfer.transfer_id) or payouts.get(transfer.payout_id or "")
    return payout is None or not payout.may_be_paid_by(transfer.transfer_id)


async def _unlisted(billing: Billing, day: date, listed: set[str]) -> AsyncIterator[list[str]]:
    """Payouts sent on that day whose transfer was not listed: it may be of the day before, or not be there at all."""
    since, before = day_bounds(day)
    after = UUID(int=0)
    while True:
        rows = await billing.database.fetch(
            f"{_PAYOUT} WHERE transferred_at >= $1 AND transferred_at < $2 AND id > $3 ORDER BY id LIMIT $4",
            (since, before, after, PAYOUTS_AT_ONCE_MAX),
        )
        if not rows:
            return
        sent = [payout.transfer_id for payout in map(_payout, rows) if payout.transfer_id is not None]
        yield [f"tr:{transfer_id}" for transfer_id in sent if transfer_id not in listed]
        after = identifier(rows[-1], "id")


def _vanished(payout: PayoutFacts, transfer_id: str) -> Difference:
    return Difference(
        kind=DifferenceKind.MISSING_THERE,
        subject=f"tr:{transfer_id}",
        sentence=f"The payout {payout.payout_id} was sent with the transfer {transfer_id}, which Stripe does not have.",
        action="Look the payout's group up in Stripe's dashboard.",
        ours_micros=-cents_to_micros(payout.amount_cents),
    )


def _facts(transfer: StripeTransfer) -> TransferFacts:
    return TransferFacts(
        transfer_id=transfer.transfer_id,
        amount_cents=transfer.amount_cents,
        reversed_cents=transfer.reversed_cents,
        destination=transfer.destination,
        named_payout=transfer.payout_id,
        created_at=transfer.created_at,
    )


def _payout(row: Row) -> PayoutFacts:
    return PayoutFacts(
        payout_id=str(identifier(row, "id")),
        amount_cents=integer(row, "amount_cents"),
        destination=text(row, "destination"),
        transfer_id=text_or_none(row, "transfer_id"),
    )


def _uuid(name: str | None) -> UUID | None:
    try:
        return UUID(name or "")
    except ValueError:
        return None
