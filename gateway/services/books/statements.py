"""What the audit reads, on both engines: each statement takes the last key seen and how many keys to read."""

from typing import Final

from gateway.db import Dialect

DEPOSITS: Final = """
    SELECT c.id, c.session_id, c.amount_cents, e.kind AS entry_kind, p.amount_micros AS credited_micros
    FROM (SELECT id, customer_id, session_id, amount_cents FROM checkout
        WHERE id > $1 AND mode = 'deposit' AND state = 'settled' ORDER BY id LIMIT $2) AS c
    LEFT JOIN ledger_entry AS e ON e.idem = 'dep:' || c.session_id
    LEFT JOIN ledger_account AS a ON a.owner_id = c.customer_id AND a.kind = 'wallet'
    LEFT JOIN posting AS p ON p.entry_id = e.id AND p.account_id = a.id
    ORDER BY c.id"""

ENTRIES: Final = """
    SELECT e.id, e.idem, e.kind, t.id AS charge_id, r.state AS reversed_state, c.id AS checkout_id
    FROM (SELECT id, idem, kind, ref, reverses FROM ledger_entry WHERE id > $1 ORDER BY id LIMIT $2) AS e
    LEFT JOIN tool_charge AS t ON t.id = e.id
    LEFT JOIN tool_charge AS r ON r.id = e.reverses
    LEFT JOIN checkout AS c ON c.session_id = e.ref AND c.mode = 'deposit' AND c.state = 'settled'
    ORDER BY e.id"""

CHARGES: Final = """
    SELECT c.id, c.consumer_id, c.call_id, c.tool_id, c.creator_id, c.gross_micros, c.fee_micros, c.net_micros,
        c.fee_bps, c.wallet_after_micros, c.state, e.idem, e.digest, p.balance_after_micros AS wallet_micros,
        r.id AS reversal_id
    FROM (SELECT * FROM tool_charge WHERE id > $1 ORDER BY id LIMIT $2) AS c
    LEFT JOIN ledger_entry AS e ON e.id = c.id
    LEFT JOIN ledger_account AS a ON a.owner_id = c.consumer_id AND a.kind = 'wallet'
    LEFT JOIN posting AS p ON p.entry_id = c.id AND p.account_id = a.id
    LEFT JOIN ledger_entry AS r ON r.reverses = c.id
    ORDER BY c.id"""


def _earned(kind: str, states: str, *, other: str = "0") -> str:
    return f"""
    SELECT a.id, a.code, a.balance_micros,
        (SELECT coalesce(sum(c.net_micros), 0) FROM tool_charge AS c
            WHERE c.creator_id = a.owner_id AND c.state IN ({states})) AS charges_micros,
        {other} AS other_micros
    FROM (SELECT * FROM ledger_account WHERE id > $1 AND kind = '{kind}' ORDER BY id LIMIT $2) AS a
    ORDER BY a.id"""


EARNED_PENDING: Final = _earned("earn_pending", "'pending'")
EARNED_HELD: Final = _earned("earn_held", "'held', 'own'")
# What follows the charges' states is in their sum; the rest, such as payouts, stands in the ledger alone.
EARNED_AVAILABLE: Final = _earned(
    "earn_available",
    "'available'",
    other="""(SELECT coalesce(sum(p.amount_micros), 0) FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id
            WHERE p.account_id = a.id AND e.kind NOT IN ('release', 'reversal', 'dispute', 'dispute_reversal'))""",
)

# A creator is there even when it sold nothing, so that the walk goes on after it.
_DAYS: Final = """
    WITH batch AS (
        SELECT creator_id FROM (
            SELECT * FROM (SELECT DISTINCT creator_id FROM tool
                WHERE creator_id > $1 ORDER BY creator_id LIMIT $2) AS sellers
            UNION SELECT * FROM (SELECT DISTINCT creator_id FROM earnings_day
                WHERE creator_id > $1 ORDER BY creator_id LIMIT $2) AS earners) AS creators
        ORDER BY creator_id LIMIT $2),
    sold AS (
        SELECT c.creator_id, {utc_day} AS day, sum(c.gross_micros) AS gross_micros, sum(c.fee_micros) AS fee_micros,
            sum(c.net_micros) AS net_micros, count(*) AS calls
        FROM tool_charge AS c JOIN batch AS b ON b.creator_id = c.creator_id
        WHERE c.state NOT IN ('reversed', 'lost') GROUP BY c.creator_id, {utc_day}),
    dates AS (
        SELECT d.creator_id, d.day FROM earnings_day AS d JOIN batch AS b ON b.creator_id = d.creator_id
        UNION SELECT creator_id, day FROM sold)
    SELECT b.creator_id AS id, k.day,
        coalesce(d.gross_micros, 0) AS gross_micros, coalesce(d.fee_micros, 0) AS fee_micros,
        coalesce(d.net_micros, 0) AS net_micros, coalesce(d.calls, 0) AS calls,
        coalesce(s.gross_micros, 0) AS sold_gross_micros, coalesce(s.fee_micros, 0) AS sold_fee_micros,
        coalesce(s.net_micros, 0) AS sold_net_micros, coalesce(s.calls, 0) AS sold_calls
    FROM batch AS b
    LEFT JOIN dates AS k ON k.creator_id = b.creator_id
    LEFT JOIN earnings_day AS d ON d.creator_id = k.creator_id AND d.day = k.day
    LEFT JOIN sold AS s ON s.creator_id = k.creator_id AND s.day = k.day
    ORDER BY b.creator_id, k.day"""

DAYS: Final[dict[Dialect, str]] = {
    "postgres": _DAYS.format(utc_day="to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"),
    "sqlite": _DAYS.format(utc_day="substr(c.created_at, 1, 10)"),
}

DEBTORS: Final = """
    SELECT a.id, a.code, a.balance_micros, coalesce(w.balance_micros, 0) AS wallet_micros
    FROM (SELECT * FROM ledger_account WHERE id > $1 AND kind = 'receivable' ORDER BY id LIMIT $2) AS a
    LEFT JOIN ledger_account AS w ON w.owner_id = a.owner_id AND w.kind = 'wallet'
    ORDER BY a.id"""

DERIVED: Final = """
    SELECT a.id, a.code,
        coalesce((SELECT c.balance_micros FROM ledger_checkpoint AS c WHERE c.account_id = a.id), 0)
            + coalesce((SELECT sum(t.amount_micros) FROM ledger_tail AS t WHERE t.account_id = a.id), 0)
            AS known_micros,
        coalesce((SELECT sum(p.amount_micros) FROM posting AS p WHERE p.account_id = a.id), 0) AS total_micros
    FROM (SELECT * FROM ledger_account WHERE id > $1 AND NOT cached ORDER BY id LIMIT $2) AS a
    ORDER BY a.id"""
