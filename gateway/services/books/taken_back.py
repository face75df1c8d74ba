"""The audit of money that went back: what refunds and disputes moved is what the rows say, and what is owed agrees."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

import orjson

from gateway.db import Row
from gateway.db.rows import identifier, integer, moment_or_none, text_or_none
from gateway.domain.charges import receivable
from gateway.domain.ledger import STRIPE, wallet
from gateway.domain.money import cents_to_micros
from gateway.services.books.walk import BEFORE_FIRST, BEFORE_FIRST_TEXT, ROWS_AT_ONCE_MAX, Check
from gateway.services.ledger import POSTINGS_AT_ONCE_MAX, Fault, Reader, Step
from models.deposit_dispute import DisputeState

#: Turns of one dispute or refund that a statement follows; there are a handful.
TURNS_MAX: Final = 10_000
#: Disputes of one statement: each is read with all its turns.
DISPUTES_AT_ONCE_MAX: Final = 100

# Entries are found by the names they must have: names of other turns are found by the check of the entries.
_REFUNDS: Final = f"""
    WITH RECURSIVE batch AS (
        SELECT id, session_id, mode, refund_charge_id, refunded_cents, refund_version FROM checkout
        WHERE id > $1 ORDER BY id LIMIT $2),
    turn (id, charge_id, n, last) AS (
        SELECT id, refund_charge_id, 1, refund_version FROM batch
            WHERE mode = 'deposit' AND refund_charge_id IS NOT NULL AND refund_version > 0
        UNION ALL SELECT id, charge_id, n + 1, last FROM turn WHERE n < last AND n < {TURNS_MAX}),
    moved AS (
        SELECT t.id, sum(p.amount_micros) AS micros
        FROM turn AS t JOIN ledger_entry AS e ON e.idem = 'ref:' || t.charge_id || ':' || t.n
        JOIN posting AS p ON p.entry_id = e.id AND p.account_id = '{STRIPE.id}' GROUP BY t.id)
    SELECT b.id, b.session_id, b.refund_charge_id, b.refunded_cents, b.refund_version,
        coalesce(m.micros, 0) AS moved_micros
    FROM batch AS b LEFT JOIN moved AS m ON m.id = b.id ORDER BY b.id"""

_DISPUTES: Final = f"""
    WITH RECURSIVE batch AS (
        SELECT d.id, d.state, d.withdrawn_micros, d.owed_micros, d.version, c.customer_id
        FROM (SELECT * FROM deposit_dispute WHERE id > $1 ORDER BY id LIMIT $2) AS d
        JOIN checkout AS c ON c.id = d.checkout_id),
    turn (id, n, last) AS (
        SELECT id, 1, version FROM batch WHERE version > 0
        UNION ALL SELECT id, n + 1, last FROM turn WHERE n < last AND n < {TURNS_MAX}),
    name AS (
        SELECT id, 'dp:' || id || ':' || n AS idem FROM turn
        UNION ALL SELECT id, 'dp:' || id || ':' || n || ':lost' AS idem FROM turn
        UNION ALL SELECT id, 'dp:' || id || ':' || n || ':revived' AS idem FROM turn),
    moved AS (
        SELECT n.id, sum(CASE WHEN a.kind = 'stripe' THEN p.amount_micros ELSE 0 END) AS stripe_micros,
            sum(CASE WHEN a.kind = 'bad_debt' THEN p.amount_micros ELSE 0 END) AS bad_debt_micros
        FROM name AS n JOIN ledger_entry AS e ON e.idem = n.idem JOIN posting AS p ON p.entry_id = e.id
        JOIN ledger_account AS a ON a.id = p.account_id GROUP BY n.id)
    SELECT b.id, b.state, b.withdrawn_micros, b.owed_micros, coalesce(m.stripe_micros, 0) AS moved_micros,
        -coalesce(m.bad_debt_micros, 0) AS written_off_micros,
        coalesce((SELECT -r.balance_micros FROM ledger_account AS r
            WHERE r.owner_id = b.customer_id AND r.kind = 'receivable'), 0) AS debt_micros,
        (SELECT sum(o.owed_micros) FROM checkout AS k JOIN deposit_dispute AS o ON o.checkout_id = k.id
            WHERE k.customer_id = b.customer_id AND o.state = 'open') AS disputed_micros
    FROM batch AS b LEFT JOIN moved AS m ON m.id = b.id ORDER BY b.id"""

_CLEARING: Final = """
    SELECT u.id, u.funds_clear_at, (SELECT max(c.clears_at) FROM checkout AS c WHERE c.customer_id = u.id) AS clears_at
    FROM (SELECT * FROM customer WHERE id > $1 ORDER BY id LIMIT $2) AS u ORDER BY u.id"""

# Refunds of before the charge was noted with the deposit: those of a customer can only be told all together.
_NAMELESS: Final = """
    SELECT u.id, (SELECT count(*) FROM checkout AS c WHERE c.customer_id = u.id AND c.mode = 'deposit'
        AND c.refund_charge_id IS NULL AND (c.refunded_cents <> 0 OR c.refund_version <> 0)) AS nameless
    FROM (SELECT id FROM customer WHERE id > $1 ORDER BY id LIMIT $2) AS u ORDER BY u.id"""
_STRETCH: Final = """
    SELECT count(*) AS postings, max(p.seq) AS last_seq,
        coalesce(sum(CASE WHEN e.kind = 'refund' THEN p.amount_micros ELSE 0 END), 0) AS wallet_micros,
        (SELECT coalesce(sum(o.amount_micros), 0) FROM posting AS o JOIN ledger_entry AS f ON f.id = o.entry_id
            WHERE o.account_id = $4 AND f.kind = 'refund') AS receivable_micros,
        (SELECT coalesce(sum(c.refunded_cents), 0) FROM checkout AS c
            WHERE c.customer_id = $5 AND c.mode = 'deposit') AS refunded_cents
    FROM (SELECT entry_id, seq, amount_micros FROM posting
        WHERE account_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS p
    JOIN ledger_entry AS e ON e.id = p.entry_id"""

_REFUNDS_RULE: Final = "What refunds took back from deposits is what the deposits say"


def _judge_refund(row: Row) -> Iterator[Fault]:
    if text_or_none(row, "refund_charge_id") is None:
        return  # nothing was refunded, or it is told per customer
    refunded, moved = cents_to_micros(integer(row, "refunded_cents")), integer(row, "moved_micros")
    if refunded != moved:
        yield Fault("refund-amount", str(row["session_id"]), f"{refunded} was refunded; its refunds moved {moved}.")


def _judge_dispute(row: Row) -> Iterator[Fault]:
    dispute_id, state = str(row["id"]), row["state"]
    withdrawn, owed, moved, written_off, debt = (
        integer(row, f"{name}_micros") for name in ("withdrawn", "owed", "moved", "written_off", "debt")
    )
    if withdrawn != moved:
        yield Fault("dispute-amount", dispute_id, f"{withdrawn} is at the bank; the dispute's entries moved {moved}.")
    if (state == DisputeState.WON) != (withdrawn == 0):
        yield Fault("dispute-state", dispute_id, f"The dispute is {state} while {withdrawn} is at the bank.")
    if owed > withdrawn:
        yield Fault("dispute-owed", dispute_id, f"{owed} is owed because of {withdrawn}.")
    loss = owed if state == DisputeState.LOST else 0
    if written_off != loss:
        yield Fault(
            "dispute-loss", dispute_id, f"{loss} is lost by a dispute that is {state}; {written_off} is booked."
        )
    disputed = 0 if row["disputed_micros"] is None else integer(row, "disputed_micros")
    if state == DisputeState.OPEN and disputed > debt:
        yield Fault("dispute-debt", dispute_id, f"Open disputes are owed {disputed} by a customer who owes {debt}.")


def _judge_clearing(row: Row) -> Iterator[Fault]:
    at, deposits_at = (moment_or_none(row, name) for name in ("funds_clear_at", "clears_at"))
    if deposits_at is not None and (at is None or at < deposits_at):
        yield Fault(
            "customer-clearing", str(row["id"]), f"Deposits clear at {deposits_at}, the customer's money at {at}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamelessRefundsWalk:
    """Customers with refunded deposits of before their charges were noted; a wallet's long history in stretches.

    What was numbered never changes; the last stretch reads the deposits in the same view.
    """

    name: str = "refunds"
    rule: str = _REFUNDS_RULE
    at_once: int = ROWS_AT_ONCE_MAX
    postings_max: int = POSTINGS_AT_ONCE_MAX

    async def step(self, reader: Reader, place: str | None) -> Step:
        if place is not None and "{" in place:
            return await self._stretch(reader, _Stretch(**orjson.loads(place)))
        after = BEFORE_FIRST if place is None else UUID(place)
        rows = await reader.fetch(_NAMELESS, (after, self.at_once))
        found = next((row for row in rows if row["nameless"]), None)
        if found is not None:
            return await self._stretch(reader, _Stretch(customer=str(identifier(found, "id"))))
        return Step((), str(identifier(rows[-1], "id")) if rows else None)

    async def _stretch(self, reader: Reader, so_far: "_Stretch") -> Step:
        customer_id = UUID(so_far.customer)
        accounts = wallet(customer_id).id, receivable(customer_id).id
        row = await reader.fetch_one(_STRETCH, (accounts[0], so_far.seq, self.postings_max, accounts[1], customer_id))
        assert row is not None, "a sum is always one row"
        micros = so_far.micros + integer(row, "wallet_micros")
        if integer(row, "postings") == self.postings_max:
            now = _Stretch(customer=so_far.customer, seq=integer(row, "last_seq"), micros=micros)
            return Step((), orjson.dumps(asdict(now)).decode())
        moved = -micros - integer(row, "receivable_micros")
        refunded = cents_to_micros(integer(row, "refunded_cents"))
        message = f"{refunded} was refunded of all deposits of this customer; refunds moved {moved}."
        faults = (Fault("refund-amount", so_far.customer, message),) if refunded != moved else ()
        return Step(faults, so_far.customer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """How far into a customer's wallet the walk is, and what refunds took and gave up to there."""

    customer: str
    seq: int = 0
    micros: int = 0


REFUNDS: Final = Check(name="refunds", rule=_REFUNDS_RULE, sql=_REFUNDS, judge=_judge_refund)
DISPUTES: Final = Check(
    name="disputes",
    rule="What a dispute moved, wrote off and is owed is what its row says",
    sql=_DISPUTES,
    judge=_judge_dispute,
    at_once=DISPUTES_AT_ONCE_MAX,
    before_first=BEFORE_FIRST_TEXT,
)
CLEARING: Final = Check(
    name="clearing",
    rule="A customer's money clears no earlier than its deposits",
    sql=_CLEARING,
    judge=_judge_clearing,
)
