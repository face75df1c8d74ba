"""The last stretch: which of Stripe's payouts to a bank carries our transfers, and how that ended.

Stripe pays connected accounts out by itself. What such a payout carries is read from the lines of the account's
balance, so a payout that comes back and is made again is followed from one to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, integer, text
from gateway.domain.errors import ProviderRejected, ProviderUnavailable
from gateway.services.billing import Billing
from gateway.services.events.inbox import Alongside
from gateway.stripe_service import BankPayoutContents, StripeBankPayout

log = structlog.stdlib.get_logger()

#: A payout that carries one that came back, which carries another: so many are followed.
CHAIN_MAX: Final = 10

_NOTHING: Final = BankPayoutContents(payments=(), came_back=())
_REFUSED: Final = (
    "The bank refused the payment{reason}. The money is in your Stripe account: give another bank account there, and "
    "Stripe sends it again."
)
_CANCELED: Final = (
    "The payment to the bank was canceled. The money is in your Stripe account, and Stripe sends it with the next one."
)

#: States of a bank's payout that end ours; in every other one it is on its way.
_PAID: Final = "paid"
_RECALLED: Final = "canceled"
_ENDED_BADLY: Final = frozenset({"failed", _RECALLED})

_UPSERT: Final = """
    INSERT INTO bank_payout (id, connected_account_id, status, amount_minor, currency, arrival_at, failure_code,
        failure_message, applied_ticket, synced_at, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (id) DO UPDATE SET status = $3, arrival_at = $6, failure_code = $7, failure_message = $8,
        applied_ticket = $9, synced_at = $10
    WHERE bank_payout.applied_ticket < $9"""

_LISTED: Final = {
    "postgres": "= ANY(CAST($2 AS text[]))",
    "sqlite": "IN (SELECT value FROM json_each($2))",
}
#: The first payout that a transfer went out with; later ones carry it as a payout that came back.
_CARRY_PAYMENTS: Final = """
    UPDATE payout SET bank_payout_id = $1
    WHERE bank_payout_id IS NULL AND destination_payment_id {listed}"""
_CARRY_AGAIN: Final = "UPDATE payout SET bank_payout_id = $1 WHERE bank_payout_id {listed}"

#: SQLite before 3.39 does not know the standard's words.
_DIFFERS: Final = {"postgres": "IS DISTINCT FROM", "sqlite": "IS NOT"}
#: What came back to the platform whole has nothing at the bank any more.
_FOLLOW: Final = """
    UPDATE payout SET state = $2, arrival_at = $3, failure_code = $4, failure_message = $5, ended_at = $6
    WHERE bank_payout_id = $1 AND transfer_id IS NOT NULL AND returned_cents < amount_cents
    AND (state <> $2 OR arrival_at {differs} $3 OR failure_code {differs} $4)
    RETURNING id"""


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A connected account of ours, as its payments to the bank are asked about."""

    id: UUID
    stripe_account_id: str


async def settle_bank_payout(
    billing: Billing, *, stripe_account_id: str, bank_payout_id: str, alongside: Alongside | None = None
) -> bool:
    """Make our payouts say what their bank payout says; False when the account or the payout is not ours.

    A ticket is taken before Stripe is asked, so of two that look at once the later look stands. No money of the
    books moves: the transfer moved it, and a payout that failed leaves it in the creator's own balance at Stripe.

    Raises:
        ProviderUnavailable: Stripe did not answer; nothing was changed.
    """
    account = await _account(billing, stripe_account_id)
    if account is None:
        return False
    return await settle_of_account(billing, account, bank_payout_id, alongside)


async def settle_of_account(
    billing: Billing,
    account: BankAccount,
    bank_payout_id: str,
    alongside: Alongside | None = None,
    *,
    chain: int = CHAIN_MAX,
) -> bool:
    """Settle one payment of the account; False when Stripe has no such."""
    ticket = await _take_ticket(billing, account)
    payout = await billing.stripe.retrieve_bank_payout(bank_payout_id, account=account.stripe_account_id)
    if payout is None:
        return False
    if payout.livemode is not billing.stripe.livemode:
        raise ProviderRejected("The payout is of the other mode.")
    contents = await _contents(billing, account, payout, chain=chain)

    async def work(connection: Connection) -> list[UUID]:
        moved = await _write(billing, connection, account, payout, contents, ticket=ticket)
        if alongside is not None:
            await alongside(connection)
        return moved

    for payout_id in await billing.database.run(work):
        tell = log.warning if payout.status in _ENDED_BADLY else log.info
        tell("payout.at_bank", payout_id=str(payout_id), bank_payout_id=payout.payout_id, status=payout.status)
    return True


async def _contents(
    billing: Billing, account: BankAccount, payout: StripeBankPayout, *, chain: int
) -> BankPayoutContents:
    """What it carries; payouts that came back and that we have not seen yet are looked at first."""
    if not payout.automatic:
        return _NOTHING
    contents = await billing.stripe.contents_of_bank_payout(payout.payout_id, account=account.stripe_account_id)
    earlier = [one for one in contents.came_back if one != payout.payout_id]
    known = await known_statuses(billing, earlier)
    for bank_payout_id in earlier:
        if bank_payout_id not in known:
            if chain == 0:
                raise ProviderUnavailable("The payout carries more payouts that came back than are followed.")
            await settle_of_account(billing, account, bank_payout_id, None, chain=chain - 1)
    return BankPayoutContents(payments=contents.payments, came_back=tuple(earlier))


async def _write(
    billing: Billing,
    connection: Connection,
    account: BankAccount,
    payout: StripeBankPayout,
    contents: BankPayoutContents,
    *,
    ticket: int,
) -> list[UUID]:
    """Write what was seen, unless a later look was written first; returns our payouts that moved."""
    now = billing.clock.now()
    written = await connection.execute(
        _UPSERT,
        (
            payout.payout_id,
            account.id,
            payout.status,
            payout.amount_minor,
            payout.currency,
            payout.arrival_at,
            payout.failure_code,
            payout.failure_message,
            ticket,
            now,
            payout.created_at,
        ),
    )
    if written == 0:
        return []
    listed = _LISTED[billing.database.dialect]
    for statement, carried in ((_CARRY_PAYMENTS, contents.payments), (_CARRY_AGAIN, contents.came_back)):
        if carried:
            values = list_parameter(billing.database.dialect, carried)
            await connection.execute(statement.format(listed=listed), (payout.payout_id, values))
    state, code, message = _state_of(payout)
    ended_at = None if state == "in_transit" else now
    follow = _FOLLOW.format(differs=_DIFFERS[billing.database.dialect])
    rows = await connection.fetch(follow, (payout.payout_id, state, payout.arrival_at, code, message, ended_at))
    return [identifier(row, "id") for row in rows]


def _state_of(payout: StripeBankPayout) -> tuple[str, str | None, str | None]:
    """Our payout's state, failure code and message."""
    if payout.status == _PAID:
        return "paid", None, None
    if payout.status in _ENDED_BADLY:
        reason = f" ({payout.failure_code})" if payout.failure_code else ""
        message = _CANCELED if payout.status == _RECALLED else _REFUSED.format(reason=reason)
        return "failed", payout.failure_code or payout.status, message
    return "in_transit", None, None


async def known_statuses(billing: Billing, bank_payout_ids: Sequence[str]) -> dict[str, str]:
    """What we know of these payouts already."""
    if not bank_payout_ids:
        return {}
    listed = _LISTED[billing.database.dialect].replace("$2", "$1")
    rows = await billing.database.fetch(
        f"SELECT id, status FROM bank_payout WHERE id {listed}",
        (list_parameter(billing.database.dialect, bank_payout_ids),),
    )
    return {text(row, "id"): text(row, "status") for row in rows}


async def _account(billing: Billing, stripe_account_id: str) -> BankAccount | None:
    row = await billing.database.fetch_one(
        "SELECT id FROM connected_account WHERE stripe_account_id = $1", (stripe_account_id,)
    )
    return None if row is None else BankAccount(identifier(row, "id"), stripe_account_id)


async def _take_ticket(billing: Billing, account: BankAccount) -> int:
    """One sequence for all that is asked about an account."""

    async def work(connection: Connection) -> int:
        row = await connection.fetch_one(
            "UPDATE connected_account SET ticket = ticket + 1 WHERE id = $1 RETURNING ticket", (account.id,)
        )
        assert row is not None, "an account of ours is asked about"
        return integer(row, "ticket")

    return await billing.database.run(work)
