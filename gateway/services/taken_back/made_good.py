"""Write-offs that are made up for: the customer's money was away when its debt was written off, and comes back.

Had it come sooner it would have covered the debt. So the debt is owed again and covered like any other, and in which
order a customer's disputes are decided does not change who bears what.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.db import Connection
from gateway.db.rows import integer
from gateway.domain.charges import receivable
from gateway.domain.ledger import BAD_DEBT, EntryDraft, EntryKind, Line, wallet
from gateway.services.ledger import balance, record
from gateway.services.taken_back.receivables import lock_accounts

# What was written off since the bank took this money, less what was revived of it, by dispute. Both are lines of the
# customer's history of what is owed.
_SINCE: Final = """
    SELECT d.id, d.version, d.owed_micros, sum(p.amount_micros) AS since_micros
    FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id JOIN deposit_dispute AS d ON d.id = e.ref
    WHERE p.account_id = $1 AND p.seq > (SELECT receivable_seq FROM deposit_dispute WHERE id = $2)
        AND e.kind = 'bad_debt' AND d.state = 'lost' AND d.owed_micros > 0 AND d.id <> $2
    GROUP BY d.id, d.version, d.owed_micros, d.created_at ORDER BY d.created_at, d.id"""


async def revive_debts(
    connection: Connection, customer_id: UUID, *, dispute_id: str, amount_micros: int, now: datetime
) -> int:
    """Let what was written off while this dispute's money was away be owed again, as far as the money covers it.

    `amount_micros` comes back now and covers what is owed already first. Each dispute whose debt is revived, oldest
    first, begins a new round. The caller holds the customer, and covers what is revived in the same transaction.
    """
    owed_account = receivable(customer_id)
    await lock_accounts(connection, (wallet(customer_id), owed_account))
    left = amount_micros + await balance(connection, owed_account)
    revived = 0
    if left <= 0:
        return 0
    for row in await connection.fetch(_SINCE, (owed_account.id, dispute_id)):
        part = min(left - revived, integer(row, "since_micros"), integer(row, "owed_micros"))
        if part <= 0:
            continue
        revived += part
        number = integer(row, "version") + 1
        await record(
            connection,
            EntryDraft(
                idem=f"dp:{row['id']}:{number}:revived",
                kind=EntryKind.BAD_DEBT,
                lines=(Line(owed_account, -part), Line(BAD_DEBT, part)),
                ref=str(row["id"]),
                description="A debt that was written off is paid after all",
            ),
            now=now,
        )
        await connection.execute(
            "UPDATE deposit_dispute SET owed_micros = owed_micros - $2, version = $3, updated_at = $4 WHERE id = $1",
            (row["id"], part, number, now),
        )
    return revived
