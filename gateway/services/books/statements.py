"""What the audit reads, on both engines: each statement takes the last key seen and how many keys to read."""

from typing import Final

DEPOSITS: Final = """
    SELECT c.id, c.session_id, c.amount_cents, e.kind AS entry_kind, p.amount_micros AS credited_micros
    FROM (SELECT id, customer_id, session_id, amount_cents FROM checkout
        WHERE id > $1 AND mode = 'deposit' AND state = 'settled' ORDER BY id LIMIT $2) AS c
    LEFT JOIN ledger_entry AS e ON e.idem = 'dep:' || c.session_id
    LEFT JOIN ledger_account AS a ON a.owner_id = c.customer_id AND a.kind = 'wallet'
    LEFT JOIN posting AS p ON p.entry_id = e.id AND p.account_id = a.id
    ORDER BY c.id"""

CHARGES: Final = """
    SELECT c.id, c.consumer_id, c.call_id, c.tool_id, c.creator_id, c.gross_micros, c.fee_micros, c.net_micros,
        c.fee_bps, c.wallet_after_micros, c.state, c.lost_micros, c.lost_net_micros,
        (SELECT coalesce(sum(l.gross_micros), 0) FROM charge_loss AS l WHERE l.charge_id = c.id) AS losses_micros,
        e.idem, e.digest, p.balance_after_micros AS wallet_micros,
        r.id AS reversal_id, coalesce(g.amount_micros, 0) AS given_back_micros
    FROM (SELECT * FROM tool_charge WHERE id > $1 ORDER BY id LIMIT $2) AS c
    LEFT JOIN ledger_entry AS e ON e.id = c.id
    LEFT JOIN ledger_account AS a ON a.owner_id = c.consumer_id AND a.kind = 'wallet'
    LEFT JOIN posting AS p ON p.entry_id = c.id AND p.account_id = a.id
    LEFT JOIN ledger_entry AS r ON r.reverses = c.id
    LEFT JOIN posting AS g ON g.entry_id = r.id AND g.account_id = a.id
    ORDER BY c.id"""


def _earned(kind: str, charges: str, *, other: str = "0") -> str:
    return f"""
    SELECT a.id, a.code, a.balance_micros, {charges} AS charges_micros, {other} AS other_micros
    FROM (SELECT * FROM ledger_account WHERE id > $1 AND kind = '{kind}' ORDER BY id LIMIT $2) AS a
    ORDER BY a.id"""


def _charges(state: str) -> str:
    """A state that has an index of its own: its sum costs what is in it, not what was ever sold."""
    return (
        "(SELECT coalesce(sum(c.net_micros - c.lost_net_micros), 0) FROM tool_charge AS c "
        f"WHERE c.creator_id = a.owner_id AND c.state = '{state}')"
    )


def _balance(kind: str) -> str:
    return (
        "coalesce((SELECT o.balance_micros FROM ledger_account AS o "
        f"WHERE o.owner_id = a.owner_id AND o.kind = '{kind}'), 0)"
    )


EARNED_PENDING: Final = _earned("earn_pending", _charges("pending"))
EARNED_HELD: Final = _earned("earn_held", f"{_charges('held')} + {_charges('own')}")
# The charges that stand, which the days add up (and the check of the days holds to them), less those in the other two
# accounts, which are checked above: so no statement goes over all that a creator ever sold.
# What follows the charges' states is in their sum; payouts and corrections by hand stand in the ledger alone.
EARNED_AVAILABLE: Final = _earned(
    "earn_available",
    "(SELECT coalesce(sum(d.net_micros), 0) FROM earnings_day AS d WHERE d.creator_id = a.owner_id) "
    f"- {_balance('earn_pending')} - {_balance('earn_held')}",
    other="""(SELECT coalesce(sum(p.amount_micros), 0) FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id
            WHERE p.account_id = a.id AND e.kind IN ('payout', 'payout_confirmed', 'payout_returned', 'adjustment'))""",
)

DEBTORS: Final = """
    SELECT a.id, a.code, a.balance_micros, coalesce(w.balance_micros, 0) AS wallet_micros
    FROM (SELECT * FROM ledger_account WHERE id > $1 AND kind = 'receivable' ORDER BY id LIMIT $2) AS a
    LEFT JOIN ledger_account AS w ON w.owner_id = a.owner_id AND w.kind = 'wallet'
    ORDER BY a.id"""
