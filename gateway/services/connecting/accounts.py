"""Our rows about connected accounts: opened before Stripe is asked, read by all, closed for good."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast
from uuid import UUID

import structlog

from gateway.db import Connection, Database, Row
from gateway.db.rows import identifier, moment, moment_or_none, text_or_none
from gateway.domain.connecting import AccountsApi, AccountStatus
from gateway.domain.ids import new_id
from gateway.services.billing import Billing
from gateway.services.customers import add_customer, lock_customer

log = structlog.stdlib.get_logger()

#: What is kept of a list of requirements: this many names, each no longer than this.
REQUIREMENTS_MAX: Final = 50
REQUIREMENT_CHARACTERS_MAX: Final = 200
#: Why a row is given up of which no account was made before accounts were made with the other generation.
OTHER_API: Final = "made_with_the_other_api"

_COLUMNS: Final = (
    "id, creator_id, api, country, stripe_key, asked_at, stripe_account_id, status, transfers_active, "
    "bank_payouts_active, requirements, disabled_reason, synced_at, created_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedAccountView:
    """An account as it stood when Stripe was last asked (`synced_at`; None = never)."""

    id: UUID
    creator_id: UUID
    api: AccountsApi
    country: str
    stripe_key: str
    asked_at: datetime
    stripe_account_id: str | None
    status: AccountStatus
    transfers_active: bool
    bank_payouts_active: bool
    requirements: tuple[str, ...]
    disabled_reason: str | None
    synced_at: datetime | None
    created_at: datetime

    @property
    def is_ready(self) -> bool:
        """Transfers arrive there, and Stripe pays them on to the bank."""
        return self.status is AccountStatus.READY


async def account_of(reader: Database | Connection, creator_id: UUID) -> ConnectedAccountView | None:
    """The creator's open account, or None. Stripe is not asked."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM connected_account WHERE creator_id = $1 AND closed_at IS NULL", (creator_id,)
    )
    return None if row is None else view_of(row)


async def account_by_id(reader: Database | Connection, account_id: UUID) -> ConnectedAccountView:
    """An account of ours, open or closed."""
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM connected_account WHERE id = $1", (account_id,))
    assert row is not None, "rows of accounts are never deleted"
    return view_of(row)


async def account_by_stripe_id(reader: Database | Connection, stripe_account_id: str) -> ConnectedAccountView | None:
    """Whose account at Stripe this is or was; None when it is not one of ours."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM connected_account WHERE stripe_account_id = $1", (stripe_account_id,)
    )
    return None if row is None else view_of(row)


async def open_account(billing: Billing, *, subject: str, country: str) -> ConnectedAccountView:
    """The creator's open row, made with its key if there is none, so that any number of callers ask for one account.

    An account that is there keeps its country: Stripe does not let it change. A row of which no account is known is
    given up when accounts are made with the other generation of the API now: the first one may refuse for ever.
    """
    now, api = billing.clock.now(), billing.rules.accounts_api

    async def work(connection: Connection) -> ConnectedAccountView:
        creator_id = await add_customer(connection, subject, now)
        await lock_customer(connection, creator_id)
        found = await account_of(connection, creator_id)
        if found is not None and (found.api is api or found.stripe_account_id is not None):
            return found
        if found is not None:
            log.warning("connect.closed", account_id=str(found.id), reason=OTHER_API)
            await _close(connection, found.id, reason=OTHER_API, now=now)
        account_id = new_id(now)
        await connection.execute(
            "INSERT INTO connected_account (id, creator_id, api, country, stripe_key, asked_at, status, created_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, 'creating', $6)",
            (account_id, creator_id, api.value, country, f"account:{account_id}:1", now),
        )
        return await account_by_id(connection, account_id)

    return await billing.database.run(work)


async def move_to_next_key(billing: Billing, account: ConnectedAccountView, *, country: str) -> ConnectedAccountView:
    """Store the key of another try, and its country, before it is used.

    Of several callers one moves the row on, and the others follow.
    """
    prefix, _, number = account.stripe_key.rpartition(":")

    async def work(connection: Connection) -> ConnectedAccountView:
        await connection.execute(
            "UPDATE connected_account SET stripe_key = $3, asked_at = $4, country = $5 "
            "WHERE id = $1 AND stripe_key = $2 AND stripe_account_id IS NULL",
            (account.id, account.stripe_key, f"{prefix}:{int(number) + 1}", billing.clock.now(), country),
        )
        return await account_by_id(connection, account.id)

    return await billing.database.run(work)


async def record_account(
    billing: Billing, account: ConnectedAccountView, stripe_account_id: str
) -> ConnectedAccountView:
    """Write down the account Stripe made; the first to do so wins. How it stands, the next sync says."""

    async def work(connection: Connection) -> ConnectedAccountView:
        await connection.execute(
            "UPDATE connected_account SET stripe_account_id = $2, status = 'onboarding', sync_due_at = $3 "
            "WHERE id = $1 AND status = 'creating'",
            (account.id, stripe_account_id, billing.clock.now()),
        )
        return await account_by_id(connection, account.id)

    recorded = await billing.database.run(work)
    if recorded.stripe_account_id != stripe_account_id:
        log.warning("connect.duplicate_account", account_id=str(account.id), unused=stripe_account_id)
    return recorded


async def close_account(billing: Billing, account_id: UUID, *, reason: str) -> None:
    """Nothing goes there any more; connecting again makes another account. A closed one stays closed."""
    now = billing.clock.now()
    if await billing.database.run(lambda connection: _close(connection, account_id, reason=reason, now=now)):
        log.warning("connect.closed", account_id=str(account_id), reason=reason)


async def _close(connection: Connection, account_id: UUID, *, reason: str, now: datetime) -> int:
    return await connection.execute(
        "UPDATE connected_account SET status = 'closed', closed_at = $2, disabled_reason = $3, sync_due_at = NULL, "
        "transfers_active = $4, bank_payouts_active = $4 WHERE id = $1 AND closed_at IS NULL",
        (account_id, now, reason, False),
    )


def requirements_text(requirements: tuple[str, ...]) -> str:
    """The requirements as the row holds them, bounded."""
    return json.dumps([name[:REQUIREMENT_CHARACTERS_MAX] for name in requirements[:REQUIREMENTS_MAX]])


def view_of(row: Row) -> ConnectedAccountView:
    requirements = cast("list[str]", json.loads(str(row["requirements"])))
    return ConnectedAccountView(
        id=identifier(row, "id"),
        creator_id=identifier(row, "creator_id"),
        api=AccountsApi(str(row["api"])),
        country=str(row["country"]),
        stripe_key=str(row["stripe_key"]),
        asked_at=moment(row, "asked_at"),
        stripe_account_id=text_or_none(row, "stripe_account_id"),
        status=AccountStatus(str(row["status"])),
        transfers_active=bool(row["transfers_active"]),
        bank_payouts_active=bool(row["bank_payouts_active"]),
        requirements=tuple(requirements),
        disabled_reason=text_or_none(row, "disabled_reason"),
        synced_at=moment_or_none(row, "synced_at"),
        created_at=moment(row, "created_at"),
    )
