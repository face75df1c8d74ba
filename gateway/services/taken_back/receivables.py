"""What a customer owes after money it had spent was taken back; the next money that comes in covers it first."""

from datetime import datetime
from uuid import UUID

from gateway.db import Connection
from gateway.db.rows import integer
from gateway.domain.charges import receivable
from gateway.domain.ledger import BAD_DEBT, STRIPE, Account, EntryDraft, EntryKind, Line, wallet
from gateway.services.ledger import balance, record


async def cover_receivable(connection: Connection, customer_id: UUID, *, cause: str, now: datetime) -> int:
    """Use what is in the wallet to cover what is owed; returns the micro-dollars used. `cause` names the credit."""
    owed = -await balance(connection, receivable(customer_id))
    there = await balance(connection, wallet(customer_id))
    amount = min(owed, there)
    if amount <= 0:
        return 0
    await record(
        connection,
        EntryDraft(
            idem=f"cov:{cause}",
            kind=EntryKind.ADJUSTMENT,
            lines=(Line(wallet(customer_id), -amount), Line(receivable(customer_id), amount)),
            ref=cause,
            description="Covers a deposit that was taken back",
        ),
        now=now,
    )
    await note_covered(connection, customer_id, amount)
    return amount


async def note_covered(connection: Connection, customer_id: UUID, amount_micros: int) -> None:
    """What is covered is no longer owed because of an open dispute, the oldest first; the caller holds the customer.

    So a lost dispute costs the platform and the creators only what nobody has paid by then.
    """
    rows = await connection.fetch(
        "SELECT d.id, d.owed_micros FROM deposit_dispute AS d JOIN checkout AS c ON c.id = d.checkout_id "
        "WHERE c.customer_id = $1 AND d.state = 'open' AND d.owed_micros > 0 ORDER BY d.created_at, d.id",
        (customer_id,),
    )
    for row in rows:
        part = min(amount_micros, integer(row, "owed_micros"))
        amount_micros -= part
        await connection.execute(
            "UPDATE deposit_dispute SET owed_micros = owed_micros - $2 WHERE id = $1", (row["id"], part)
        )


async def take_back(
    connection: Connection,
    customer_id: UUID,
    *,
    idem: str,
    kind: EntryKind,
    amount_micros: int,
    ref: str,
    description: str,
    now: datetime,
) -> int:
    """Stripe took money of a deposit: out of the wallet what is there, the rest is owed. Returns what is owed of it.

    The caller holds the customer's row, but charges do not: the wallet's balance is read under its own lock.
    """
    await lock_accounts(connection, (wallet(customer_id), receivable(customer_id)))
    there = min(amount_micros, await balance(connection, wallet(customer_id)))
    lines = (
        Line(wallet(customer_id), -there),
        Line(receivable(customer_id), there - amount_micros),
        Line(STRIPE, amount_micros),
    )
    draft = EntryDraft(idem=idem, kind=kind, lines=_that_move(*lines), ref=ref, description=description)
    await record(connection, draft, now=now)
    return amount_micros - there


async def give_back(
    connection: Connection,
    customer_id: UUID,
    *,
    idem: str,
    kind: EntryKind,
    amount_micros: int,
    recovered_micros: int = 0,
    ref: str,
    description: str,
    now: datetime,
) -> int:
    """Stripe gave money of a deposit back: it covers what is owed, the rest is the customer's.

    `recovered_micros` of it were written off before and are the platform's. Returns what it covered; the caller
    tells of which debt that was.
    """
    await lock_accounts(connection, (wallet(customer_id), receivable(customer_id)))
    theirs = amount_micros - recovered_micros
    covered = min(theirs, -await balance(connection, receivable(customer_id)))
    lines = (
        Line(STRIPE, -amount_micros),
        Line(BAD_DEBT, recovered_micros),
        Line(receivable(customer_id), covered),
        Line(wallet(customer_id), theirs - covered),
    )
    draft = EntryDraft(idem=idem, kind=kind, lines=_that_move(*lines), ref=ref, description=description)
    await record(connection, draft, now=now)
    return covered


def _that_move(*lines: Line) -> tuple[Line, ...]:
    return tuple(line for line in lines if line.amount_micros)


async def lock_accounts(connection: Connection, accounts: tuple[Account, ...]) -> None:
    """Hold accounts in the ledger's own order until the end of the transaction, so that balances stand still."""
    for account in sorted(accounts, key=lambda account: account.id):
        await connection.fetch_one("SELECT id FROM ledger_account WHERE id = $1 FOR NO KEY UPDATE", (account.id,))
