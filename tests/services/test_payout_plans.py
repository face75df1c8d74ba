"""What is asked again and again about payouts walks an index of the few rows it is about, whatever lies beside them."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from gateway.db import Connection
from gateway.services.payouts import following, line
from gateway.services.snapshot import statement
from tests.support.payouts import PayoutWorld

ROWS = 20_000

_CUSTOMERS = """
    INSERT INTO customer (id, subject, created_at)
    SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'c' || n, $1 FROM generate_series(1, $2) AS n"""
_ACCOUNTS = """
    INSERT INTO connected_account (id, creator_id, api, country, stripe_key, asked_at, stripe_account_id, status,
        created_at)
    SELECT c.id, c.id, 'v1', 'US', c.subject, $1, 'acct_' || c.subject, 'ready', $1 FROM customer AS c"""
#: Of a thousand one is on its way to a bank and one waits for the platform's balance; most came back whole.
_PAYOUTS = """
    INSERT INTO payout (id, creator_id, connected_account_id, destination, amount_cents, currency, state, manual,
        input_digest, requested_at, transfer_id, transferred_at, returned_cents, waits_for, due_at,
        funds_awaited_since)
    SELECT s.id, s.id, s.id, s.destination, 1000, 'usd', s.state, true, '', s.now,
        CASE WHEN s.state <> 'requested' THEN 'tr_' || s.n END,
        CASE WHEN s.state = 'in_transit' THEN s.now WHEN s.state <> 'requested' THEN s.now - INTERVAL '30 days' END,
        CASE WHEN s.state = 'failed' THEN 1000 ELSE 0 END,
        CASE WHEN s.state = 'requested' THEN 'balance' END,
        CASE WHEN s.state = 'requested' THEN s.now END, CASE WHEN s.state = 'requested' THEN s.now END
    FROM (SELECT id, stripe_account_id AS destination, created_at AS now, row_number() OVER () AS n,
        CASE row_number() OVER () % 1000 WHEN 1 THEN 'in_transit' WHEN 2 THEN 'requested'
            WHEN 3 THEN 'paid' ELSE 'failed' END AS state FROM connected_account) AS s"""

#: Of a thousand one was paid lately, the others long ago.
_BANK_PAYOUTS = """
    INSERT INTO bank_payout (id, connected_account_id, status, amount_minor, currency, applied_ticket, synced_at,
        created_at)
    SELECT 'po_' || s.n, s.id, 'paid', 1000, 'usd', 1, s.now, s.now - CASE WHEN s.n % 1000 = 1 THEN INTERVAL '1 day'
        ELSE INTERVAL '30 days' END
    FROM (SELECT id, created_at AS now, row_number() OVER () AS n FROM connected_account) AS s"""


@pytest.fixture(params=["postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """Its planner is the one that can choose wrongly."""
    return str(request.param)


async def fill(paying: PayoutWorld) -> None:
    now = paying.clock.now()

    async def work(connection: Connection) -> None:
        await connection.execute(_CUSTOMERS, (now, ROWS))
        await connection.execute(_ACCOUNTS, (now,))
        await connection.execute(_PAYOUTS)
        await connection.execute(_BANK_PAYOUTS)
        for table in ("customer", "connected_account", "payout", "bank_payout"):
            await connection.execute(f"ANALYZE {table}")

    await paying.database.run(work)


async def plan_of(paying: PayoutWorld, sql: str, *values: object) -> str:
    """How PostgreSQL does it for these values."""
    for number, value in reversed(list(enumerate(values, start=1))):
        sql = sql.replace(
            f"${number}", str(value) if isinstance(value, int) else f"CAST('{value}' AS {_TYPES[type(value)]})"
        )
    rows = await paying.database.run(lambda connection: connection.fetch(f"EXPLAIN {sql}"))
    return "\n".join(str(row["QUERY PLAN"]) for row in rows)


_TYPES: dict[type, str] = {datetime: "timestamptz", UUID: "uuid"}


async def test_the_few_rows_a_statement_is_about_are_found_among_twenty_thousand(paying: PayoutWorld) -> None:
    await fill(paying)
    now, someone = paying.clock.now(), UUID(int=7)

    week, lately, long_ago = (now - timedelta(days=days) for days in (7, 14, 90))
    claim = await plan_of(paying, following.CLAIM, now, now, long_ago, 20, week, now, lately)
    since = await plan_of(paying, following.SINCE, someone, long_ago, lately)
    sent = await plan_of(paying, "SELECT " + statement.SENT.replace("@customer", "$1"), someone)
    before = await plan_of(paying, line.BEFORE, now - timedelta(days=1), now, someone)

    for plan, index in (
        (claim, " payout_at_"),
        (claim, "bank_payout_paid"),
        (since, "payout_at_bank"),
        (since, "bank_payout_"),
        (sent, "payout_at_stripe"),
        (before, "payout_awaits_funds"),
    ):
        assert index in plan, plan
        assert "Seq Scan on payout" not in plan, plan
        assert "Seq Scan on bank_payout" not in plan, plan
        assert "Seq Scan on connected_account" not in plan, plan
