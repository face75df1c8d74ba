"""What the platform's own accounts hold: a checkpoint, and the short tail of what is not folded into it yet."""

from collections import defaultdict
from typing import Final
from uuid import UUID

from gateway.db import Connection
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, integer
from gateway.domain.ledger import Account
from gateway.services.billing import Billing
from gateway.services.ledger import Reader

#: Rows of the tail that one transaction folds.
FOLDED_AT_ONCE_MAX: Final = 1_000

#: One statement, so one view: a row of the tail is seen there or in the checkpoint, never in both and never in neither.
DERIVED_BALANCE: Final = """
    SELECT coalesce((SELECT balance_micros FROM ledger_checkpoint WHERE account_id = $1), 0)
        + coalesce((SELECT sum(amount_micros) FROM ledger_tail WHERE account_id = $1), 0) AS balance_micros"""

_DERIVED_BALANCES: Final = """
    SELECT a.code,
        coalesce((SELECT c.balance_micros FROM ledger_checkpoint AS c WHERE c.account_id = a.id), 0)
            + coalesce((SELECT sum(t.amount_micros) FROM ledger_tail AS t WHERE t.account_id = a.id), 0)
            AS balance_micros
    FROM ledger_account AS a WHERE NOT a.cached ORDER BY a.code"""

#: A row that another node is folding at this moment is left to it.
_OLDEST: Final = "SELECT id, account_id, amount_micros FROM ledger_tail ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"
_FORGET: Final = {
    "postgres": "DELETE FROM ledger_tail WHERE id = ANY($1::bigint[])",
    "sqlite": "DELETE FROM ledger_tail WHERE id IN (SELECT value FROM json_each($1))",
}
_ADD: Final = (
    "INSERT INTO ledger_checkpoint (account_id, balance_micros, folded_at) VALUES ($1, $2, $3) "
    "ON CONFLICT (account_id) DO UPDATE SET folded_at = excluded.folded_at, "
    "balance_micros = ledger_checkpoint.balance_micros + excluded.balance_micros"
)


async def derived_balance(reader: Reader, account: Account) -> int:
    """What an account of the platform holds in micro-dollars, exactly, as of all that is committed now.

    Its cost is the length of the tail, which `checkpoint_accounts` keeps short, not the length of the history.
    """
    if account.cached:
        raise ValueError(f"The balance of {account.code} stands in its row; only the platform's accounts are derived.")
    row = await reader.fetch_one(DERIVED_BALANCE, (account.id,))
    assert row is not None, "a sum is always one row"
    return integer(row, "balance_micros")


async def derived_balances(reader: Reader) -> dict[str, int]:
    """What each account of the platform holds in micro-dollars, by its code, all as of one moment."""
    rows = await reader.fetch(_DERIVED_BALANCES)
    return {str(row["code"]): integer(row, "balance_micros") for row in rows}


async def checkpoint_accounts(billing: Billing, *, at_once: int = FOLDED_AT_ONCE_MAX) -> bool:
    """Fold one batch of the tail into the checkpoints; True when a whole batch was there, so there may be more.

    A crash folds the batch or leaves it. Any number of nodes may do this at once: each takes rows of its own, and
    adds to the checkpoints in one order.
    """
    now = billing.clock.now()

    async def work(connection: Connection) -> int:
        rows = await connection.fetch(_OLDEST, (at_once,))
        if not rows:
            return 0
        sums: dict[UUID, int] = defaultdict(int)
        for row in rows:
            sums[identifier(row, "account_id")] += integer(row, "amount_micros")
        ids = [integer(row, "id") for row in rows]
        gone = await connection.execute(_FORGET[connection.dialect], (list_parameter(connection.dialect, ids),))
        assert gone == len(ids), "the rows are locked, so nobody else folded them"
        for account_id in sorted(sums):
            await connection.execute(_ADD, (account_id, sums[account_id], now))
        return len(rows)

    return await billing.database.run(work) == at_once
