"""How a connected account stands, asked of Stripe by tickets: who asked last writes, who asked earlier does not."""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection, DatabaseUnavailable
from gateway.db.rows import identifier, integer
from gateway.domain.connecting import NO_ACCESS, AccountFacts, AccountStatus, Capability, next_sync_at, status_of
from gateway.domain.errors import ProviderError
from gateway.services.billing import Billing
from gateway.services.connecting.accounts import ConnectedAccountView, account_by_id, requirements_text
from gateway.services.events.inbox import Alongside
from gateway.stripe_service import StripeAccount

log = structlog.stdlib.get_logger()

#: Accounts looked at in one round, and how many of them at a time.
ACCOUNTS_AT_ONCE_MAX: Final = 50
ACCOUNTS_SIDE_BY_SIDE_MAX: Final = 4
#: An account whose look failed, or whose node died over it, is looked at again after this.
LOOK_AGAIN_AFTER: Final = timedelta(minutes=10)

_UNSEEN: Final = AccountFacts(
    transfers=Capability.UNSAID, bank_payouts=Capability.UNSAID, details_submitted=True, reasons=(NO_ACCESS,)
)


async def sync_account(
    billing: Billing, *, account_id: UUID, alongside: Alongside | None = None, gone_is_closed: bool = False
) -> ConnectedAccountView:
    """Make our row say what Stripe says now, and return the row.

    A ticket is taken before Stripe is asked, and the answer is written only if no later ticket was written first. So
    events may come twice, late and in any order: the last write is the truth. `alongside` runs in the writing
    transaction, written or not.

    An account that Stripe does not show us may have left us, or our key may be another platform's. It is restricted
    until it is seen again, and closed only with `gone_is_closed`: somebody said that it left. A closed row stays so.

    Raises:
        ProviderUnavailable, ProviderRejected: Stripe gave no answer to go by; nothing was changed.
    """
    before, ticket = await _take_ticket(billing, account_id)
    found: StripeAccount | None = None
    asked = before.stripe_account_id is not None and before.status is not AccountStatus.CLOSED
    if asked:
        assert before.stripe_account_id is not None, "looked at just now"
        found = await billing.stripe.accounts(before.api).retrieve(before.stripe_account_id)

    async def work(connection: Connection) -> tuple[ConnectedAccountView, bool]:
        written = asked and await _write(
            connection, before, found, ticket=ticket, now=billing.clock.now(), gone_is_closed=gone_is_closed
        )
        if alongside is not None:
            await alongside(connection)
        return await account_by_id(connection, account_id), written

    after, written = await billing.database.run(work)
    if written:
        _tell(before, after)
    return after


async def sync_due_accounts(billing: Billing) -> bool:
    """Look at the accounts whose time has come, some at a time; True when more may be waiting.

    One that fails, of whatever, is looked at again later and keeps no other waiting.

    Raises:
        DatabaseUnavailable: those not looked at are looked at later too.
    """
    due = await _claim_due(billing)
    places = asyncio.Semaphore(ACCOUNTS_SIDE_BY_SIDE_MAX)

    async def look(account_id: UUID) -> None:
        async with places:
            try:
                await sync_account(billing, account_id=account_id)
            except ProviderError as error:
                log.warning("connect.not_synced", account_id=str(account_id), reason=str(error))
            except DatabaseUnavailable:
                raise
            except Exception:
                log.exception("connect.look_failed", account_id=str(account_id))

    async with asyncio.TaskGroup() as group:
        for account_id in due:
            group.create_task(look(account_id))
    return len(due) == ACCOUNTS_AT_ONCE_MAX


async def _claim_due(billing: Billing) -> list[UUID]:
    """Take the accounts that are due; another node takes others."""
    now = billing.clock.now()

    async def work(connection: Connection) -> list[UUID]:
        rows = await connection.fetch(
            "WITH due AS MATERIALIZED (SELECT id FROM connected_account WHERE sync_due_at <= $1 "
            "ORDER BY sync_due_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
            "UPDATE connected_account SET sync_due_at = $2 WHERE id IN (SELECT id FROM due) RETURNING id",
            (now, now + LOOK_AGAIN_AFTER, ACCOUNTS_AT_ONCE_MAX),
        )
        return [identifier(row, "id") for row in rows]

    return await billing.database.run(work)


async def _take_ticket(billing: Billing, account_id: UUID) -> tuple[ConnectedAccountView, int]:
    async def work(connection: Connection) -> tuple[ConnectedAccountView, int]:
        row = await connection.fetch_one(
            "UPDATE connected_account SET ticket = ticket + 1 WHERE id = $1 RETURNING ticket", (account_id,)
        )
        assert row is not None, "an account of ours is asked about"
        return await account_by_id(connection, account_id), integer(row, "ticket")

    return await billing.database.run(work)


async def _write(
    connection: Connection,
    before: ConnectedAccountView,
    found: StripeAccount | None,
    *,
    ticket: int,
    now: datetime,
    gone_is_closed: bool,
) -> bool:
    facts = found.facts if found is not None else _UNSEEN
    status = AccountStatus.CLOSED if found is None and gone_is_closed else status_of(facts)
    changed = await connection.execute(
        "UPDATE connected_account SET status = $2, transfers_active = $3, bank_payouts_active = $4, "
        "requirements = $5, disabled_reason = $6, country = $7, applied_ticket = $8, sync_due_at = $9, "
        "synced_at = $10, closed_at = $11 WHERE id = $1 AND applied_ticket < $8 AND closed_at IS NULL",
        (
            before.id,
            status.value,
            facts.transfers_active,
            facts.bank_payouts_active,
            requirements_text(facts.requirements),
            facts.reasons[0] if facts.reasons else None,
            (found.country if found else None) or before.country,
            ticket,
            next_sync_at(status, created_at=before.created_at, now=now),
            now,
            now if status is AccountStatus.CLOSED else None,
        ),
    )
    return changed == 1


def _tell(before: ConnectedAccountView, after: ConnectedAccountView) -> None:
    if after.disabled_reason == NO_ACCESS:
        log.error("connect.no_access", account_id=str(after.id), stripe_account_id=after.stripe_account_id)
    if before.status is not after.status:
        log.info(
            "connect.status",
            account_id=str(after.id),
            before=before.status.value,
            now=after.status.value,
            disabled_reason=after.disabled_reason,
            requirements=len(after.requirements),
        )
