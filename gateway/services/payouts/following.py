"""Accounts with money on its way to a bank, or just there, are asked now and then how it stands: events may be lost."""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection, DatabaseUnavailable, Row
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, moment, moment_or_none, text
from gateway.domain.errors import ProviderError
from gateway.services.billing import Billing
from gateway.services.payouts.banking import BankAccount, known_statuses, settle_of_account

log = structlog.stdlib.get_logger()

#: How often an account is asked about the payouts of its transfers, beside the events that tell of them.
LOOK_EVERY: Final = timedelta(hours=1)
#: Transfers that have not reached a bank after so long are left to their events and to operators.
FOLLOWED_FOR: Final = timedelta(days=90)
#: Stripe calls a payout paid on its day, and banks send back within some working days of it: so long after a payout
#: was made, and so often, its account is asked whether it stayed there.
PAID_FOLLOWED_FOR: Final = timedelta(days=14)
PAID_LOOK_EVERY: Final = timedelta(days=1)
#: A closed account does not let us look for long, and what it tells then changes nothing for its creator.
CLOSED_FOLLOWED_FOR: Final = timedelta(days=7)
#: Accounts asked in one round, how many of them at a time, and how long one of them may take: all well within a round.
ACCOUNTS_AT_ONCE_MAX: Final = 20
ACCOUNTS_SIDE_BY_SIDE_MAX: Final = 4
LOOK_SECONDS_MAX: Final = 10.0

#: Worded as the index payout_at_bank is, which holds what is on its way and little else; `coalesce`, so that it is
#: walked, and not the index of all transfers since then.
_AT_BANK: Final = (
    "p.returned_cents < p.amount_cents AND (p.state = 'in_transit' OR (p.state = 'failed' AND p.transfer_id IS NOT "
    "NULL))"
)
#: From what is on its way, or was paid lately, to its accounts, one by one: a join would rather read all accounts there
#: are, each minute.
CLAIM: Final = f"""
    WITH going AS MATERIALIZED (
        SELECT DISTINCT p.connected_account_id AS id, $2::timestamptz AS asked_before FROM payout AS p
        WHERE {_AT_BANK} AND coalesce(p.transferred_at, $3) > $3
        UNION ALL
        SELECT DISTINCT b.connected_account_id AS id, $6::timestamptz AS asked_before FROM bank_payout AS b
        WHERE b.status = 'paid' AND b.created_at > $7),
    known AS MATERIALIZED (
        SELECT id, asked_before,
            (SELECT a.bank_looked_at FROM connected_account AS a WHERE a.id = going.id) AS looked_at,
            (SELECT a.closed_at FROM connected_account AS a WHERE a.id = going.id) AS closed_at FROM going),
    next AS MATERIALIZED (
        SELECT id FROM known WHERE (looked_at IS NULL OR looked_at <= asked_before)
        AND (closed_at IS NULL OR closed_at > $5) ORDER BY looked_at NULLS FIRST LIMIT $4),
    due AS MATERIALIZED (
        SELECT id FROM connected_account WHERE id IN (SELECT id FROM next)
        AND (bank_looked_at IS NULL OR bank_looked_at <= $2) FOR UPDATE SKIP LOCKED)
    UPDATE connected_account SET bank_looked_at = $1 WHERE id IN (SELECT id FROM due)
    RETURNING id, stripe_account_id"""
_GIVE_BACK: Final = {
    "postgres": "UPDATE connected_account SET bank_looked_at = NULL WHERE id = ANY($1::uuid[]) AND bank_looked_at = $2",
    "sqlite": "UPDATE connected_account SET bank_looked_at = NULL WHERE id IN (SELECT value FROM json_each($1)) "
    "AND bank_looked_at = $2",
}
SINCE: Final = f"""
    SELECT min(since) AS since, min(uncarried_since) AS uncarried_since FROM (
        SELECT min(p.transferred_at) AS since,
            min(CASE WHEN p.bank_payout_id IS NULL THEN p.transferred_at END) AS uncarried_since
        FROM payout AS p
        WHERE p.connected_account_id = $1 AND p.transferred_at > $2 AND {_AT_BANK}
        UNION ALL
        SELECT min(b.created_at), CAST(NULL AS timestamptz) FROM bank_payout AS b
        WHERE b.connected_account_id = $1 AND b.status = 'paid' AND b.created_at > $3) AS looked_for"""


async def follow_bank_payouts(billing: Billing) -> bool:
    """Ask about the payouts of accounts whose transfers are not at the bank yet, or came there lately.

    True when more may be waiting. This is what finds a bank's answer whose event never came. One account that fails or
    is slow keeps no other waiting; a round that is cut off gives back the accounts it did not come to.
    """
    now = billing.clock.now()
    accounts = await _claim(billing, now)
    left = {account.id for account in accounts}
    places = asyncio.Semaphore(ACCOUNTS_SIDE_BY_SIDE_MAX)

    async def look(account: BankAccount) -> None:
        async with places:
            left.discard(account.id)
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    await _look(billing, account, now)
            except (ProviderError, DatabaseUnavailable, TimeoutError) as error:
                log.warning(
                    "payout.bank_not_asked", account_id=str(account.id), reason=str(error) or "It took too long."
                )
            except Exception:
                log.exception("payout.bank_look_failed", account_id=str(account.id))

    try:
        async with asyncio.TaskGroup() as group:
            for account in accounts:
                group.create_task(look(account))
    finally:
        if left:
            await _give_back(billing, left, claimed_at=now)
    return len(accounts) == ACCOUNTS_AT_ONCE_MAX


async def _claim(billing: Billing, now: datetime) -> list[BankAccount]:
    """Take the accounts whose time has come; another node takes others."""

    async def work(connection: Connection) -> list[Row]:
        return await connection.fetch(
            CLAIM,
            (
                now,
                now - LOOK_EVERY,
                now - FOLLOWED_FOR,
                ACCOUNTS_AT_ONCE_MAX,
                now - CLOSED_FOLLOWED_FOR,
                now - PAID_LOOK_EVERY,
                now - PAID_FOLLOWED_FOR,
            ),
        )

    rows = await billing.database.run(work)
    return [BankAccount(identifier(row, "id"), text(row, "stripe_account_id")) for row in rows]


async def _give_back(billing: Billing, account_ids: set[UUID], *, claimed_at: datetime) -> None:
    """Nobody came to ask these: they are the first of the next round."""

    async def work(connection: Connection) -> None:
        ids = list_parameter(connection.dialect, sorted(account_ids))
        await connection.execute(_GIVE_BACK[connection.dialect], (ids, claimed_at))

    await billing.database.run(work)


async def _look(billing: Billing, account: BankAccount, now: datetime) -> None:
    """Settle what has changed, and once more what may carry a transfer of which no carrier is known.

    For a payout may have been seen before the transfer was, or before Stripe said all that it carries.
    """
    row = await billing.database.fetch_one(SINCE, (account.id, now - FOLLOWED_FOR, now - PAID_FOLLOWED_FOR))
    if row is None or row["since"] is None:
        return
    listed = await billing.stripe.list_bank_payouts(account=account.stripe_account_id, since=moment(row, "since"))
    known = await known_statuses(billing, [payout.payout_id for payout in listed])
    uncarried = moment_or_none(row, "uncarried_since")
    for payout in listed:
        may_carry = payout.automatic and uncarried is not None and payout.created_at >= uncarried
        if known.get(payout.payout_id) != payout.status or may_carry:
            await settle_of_account(billing, account, payout.payout_id)
