"""Disputes about deposits: the wallet gives back what the bank took, and what it paid for is frozen, lost or freed."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.db.rows import integer
from gateway.domain.charges import receivable
from gateway.domain.errors import InProgress, ProviderRejected
from gateway.domain.ledger import BAD_DEBT, EntryDraft, EntryKind, Line, wallet
from gateway.domain.money import cents_to_micros
from gateway.services.billing import Billing
from gateway.services.events.inbox import Alongside
from gateway.services.jobs import Done, Job, JobOutcome, NewJob
from gateway.services.ledger import record
from gateway.services.taken_back.dispute_rounds import Round, lost_otherwise, round_of
from gateway.services.taken_back.disputed_charges import settle_creators
from gateway.services.taken_back.made_good import revive_debts
from gateway.services.taken_back.receivables import give_back, note_covered, take_back
from gateway.services.taken_back.refunds import deposit_of, lock_deposit
from gateway.stripe_service import StripeDispute
from models.checkout import Checkout
from models.deposit_dispute import DepositDispute, DisputeState

log = structlog.stdlib.get_logger()

#: Looks at Stripe before an event goes back to the inbox: each lost one is another worker's progress.
LOOKS_MAX: Final = 5
#: The job that sees a round through; its key is the dispute's id and the number of the round.
DISPUTE_JOB: Final = "dispute.finish"
#: After how long it is seen to that a round went through: most have by then.
SEEN_THROUGH_AFTER: Final = timedelta(minutes=2)


async def settle_dispute(billing: Billing, *, dispute_id: str, alongside: Alongside | None = None) -> UUID | None:
    """Make the books agree with how a dispute stands; None when it is not about a deposit of ours.

    First the customer's side, in one transaction; then the creators', batch by batch. Each step does only what is
    left to do, so calling again after a crash finishes it. `alongside` runs with the last step. What Stripe said is
    booked only if nobody has booked since it was asked: an answer that waited too long must not undo a newer one.

    Raises:
        ProviderUnavailable: Stripe did not answer; nothing was changed.
        InProgress: others settle the same dispute; nothing was changed.
    """
    for _ in range(LOOKS_MAX):
        seen = await _looks_at(billing, dispute_id)
        dispute = await billing.stripe.retrieve_dispute(dispute_id)
        if dispute is None or dispute.payment_intent_id is None:
            return None
        deposit = await deposit_of(billing, payment_intent_id=dispute.payment_intent_id, charge_id=dispute.charge_id)
        if deposit is None:
            return None
        _check_kind(billing, deposit, dispute)
        round_ = await _settle_customer(billing, deposit, dispute, seen=seen)
        if round_ is not None and await settle_creators(billing, round_):
            await _settle_others(billing, round_)
            if alongside is not None:
                await billing.database.run(alongside)
            return deposit.id
    raise InProgress("This dispute is being settled by others at this moment.")


async def do_dispute_job(billing: Billing, job: Job) -> JobOutcome:
    """The handler of `dispute.finish`: what a process that died left of a round is done, whoever had begun it."""

    async def finish(connection: Connection) -> None:
        await billing.jobs.finish(connection, job)

    await settle_dispute(billing, dispute_id=job.key.partition(":")[0], alongside=finish)
    return Done()


async def _looks_at(billing: Billing, dispute_id: str) -> int:
    """How often Stripe was asked about the dispute."""
    row = await billing.database.fetch_one("SELECT looks FROM deposit_dispute WHERE id = $1", (dispute_id,))
    return 0 if row is None else integer(row, "looks")


def _check_kind(billing: Billing, deposit: Checkout, dispute: StripeDispute) -> None:
    """Cents are dollar cents here; what Stripe took in another currency is a number that says nothing."""
    if dispute.livemode is not billing.stripe.livemode or dispute.currency != deposit.currency:
        raise ProviderRejected("The dispute is not of this deposit's kind.")
    foreign = dispute.moved_currencies - {deposit.currency}
    if foreign:
        log.error("dispute.foreign_currency", dispute_id=dispute.dispute_id, currencies=sorted(foreign))
        raise ProviderRejected(f"Stripe moved money of this dispute in {', '.join(sorted(foreign))}.")


async def _settle_customer(billing: Billing, deposit: Checkout, dispute: StripeDispute, *, seen: int) -> Round | None:
    """Take or give the difference; None, with nothing done, when another look was booked meanwhile.

    A look that finds nothing new joins the round that is there: its moves may be under way, and go on.
    """

    async def work(connection: Connection) -> Round | None:
        await lock_deposit(connection, deposit)
        now = billing.clock.now()
        row = await _row_of(connection, deposit, dispute, now)
        if row.looks != seen:
            return None
        withdrawn = cents_to_micros(max(dispute.withdrawn_cents, 0))
        owed = await _follow(connection, deposit, row, withdrawn - row.withdrawn_micros, now)
        state = _state_of(dispute, row)
        if state is DisputeState.LOST:
            await _write_off(connection, deposit, row, owed, now)
        number = row.version
        if (state, withdrawn, owed) != (row.state, row.withdrawn_micros, row.owed_micros):
            number += 1
            await connection.execute(
                "UPDATE deposit_dispute SET state = $2, withdrawn_micros = $3, owed_micros = $4, version = $5, "
                "updated_at = $6 WHERE id = $1",
                (row.id, state.value, withdrawn, owed, number, now),
            )
            await billing.jobs.enqueue(
                connection, NewJob(kind=DISPUTE_JOB, key=f"{row.id}:{number}", run_at=now + SEEN_THROUGH_AFTER)
            )
            log.warning("deposit.disputed", dispute_id=row.id, state=state.value, withdrawn_micros=withdrawn)
        await connection.execute("UPDATE deposit_dispute SET looks = looks + 1 WHERE id = $1", (row.id,))
        return await round_of(connection, row.id, customer_id=deposit.customer_id)

    return await billing.database.run(work)


async def _settle_others(billing: Billing, round_: Round) -> None:
    """Settle anew what other disputes of the customer lost and is paid for now, or was lost by this one until now.

    Whoever comes again goes on.
    """
    for dispute_id in await lost_otherwise(billing.database, round_):
        await settle_creators(billing, await round_of(billing.database, dispute_id, customer_id=round_.customer_id))


def _state_of(dispute: StripeDispute, row: DepositDispute) -> DisputeState:
    """Where no money is at the bank nothing need be frozen. What is lost stays so until the money is back.

    Won, with a part given back, is over too: the part that the bank keeps is lost. Won with nothing given back yet is
    waited for.
    """
    if dispute.withdrawn_cents <= 0:
        return DisputeState.WON
    partly_won = dispute.status == "won" and dispute.withdrawn_cents < dispute.amount_cents
    if partly_won or DisputeState.LOST in {dispute.status, row.state}:
        return DisputeState.LOST
    return DisputeState.OPEN


async def _row_of(connection: Connection, deposit: Checkout, dispute: StripeDispute, now: datetime) -> DepositDispute:
    await connection.execute(
        "INSERT INTO deposit_dispute (id, checkout_id, state, withdrawn_micros, owed_micros, created_at, updated_at) "
        "VALUES ($1, $2, 'won', 0, 0, $3, $3) ON CONFLICT (id) DO NOTHING",
        (dispute.dispute_id, deposit.id, now),
    )
    return await DepositDispute.get(id=dispute.dispute_id, using_db=connection.orm)


async def _follow(
    connection: Connection, deposit: Checkout, row: DepositDispute, change_micros: int, now: datetime
) -> int:
    """Book what the bank took or gave since the last round; returns what of the dispute is owed now.

    Of a lost dispute that is what was written off, and money that comes back makes up for that first; then for what
    is owed, and then for what of other disputes was written off while it was away.
    """
    idem, owed = f"dp:{row.id}:{row.version + 1}", row.owed_micros
    if change_micros > 0:
        owed += await take_back(
            connection,
            deposit.customer_id,
            idem=idem,
            kind=EntryKind.DISPUTE,
            amount_micros=change_micros,
            ref=row.id,
            description="Deposit disputed at the bank",
            now=now,
        )
        await _remember_place(connection, deposit, row)
    elif row.withdrawn_micros and not row.wallet_seq:
        # A process of the release before took it, which noted no place.
        await _remember_place(connection, deposit, row)
    if change_micros < 0:
        settled = min(owed, -change_micros)
        lost = row.state == DisputeState.LOST
        theirs = -change_micros - (settled if lost else 0)
        revived = await revive_debts(connection, deposit.customer_id, dispute_id=row.id, amount_micros=theirs, now=now)
        covered = await give_back(
            connection,
            deposit.customer_id,
            idem=idem,
            kind=EntryKind.DISPUTE_REVERSAL,
            amount_micros=-change_micros,
            recovered_micros=settled if lost else 0,
            ref=row.id,
            description="Dispute decided for you",
            now=now,
        )
        await connection.execute("UPDATE deposit_dispute SET owed_micros = $2 WHERE id = $1", (row.id, owed - settled))
        await note_covered(connection, deposit.customer_id, covered - revived - (0 if lost else settled))
        owed -= settled
    return owed


async def _remember_place(connection: Connection, deposit: Checkout, row: DepositDispute) -> None:
    """Up to here, with its accounts still held, the wallet spent this deposit's money; what follows is other money."""
    await connection.execute(
        "UPDATE deposit_dispute SET wallet_seq = coalesce((SELECT version FROM ledger_account WHERE id = $2), 0), "
        "receivable_seq = coalesce((SELECT version FROM ledger_account WHERE id = $3), 0) WHERE id = $1",
        (row.id, wallet(deposit.customer_id).id, receivable(deposit.customer_id).id),
    )


async def _write_off(
    connection: Connection, deposit: Checkout, row: DepositDispute, owed_micros: int, now: datetime
) -> None:
    """What the customer still owes because of a lost dispute is the platform's loss."""
    before = row.owed_micros if row.state == DisputeState.LOST else 0
    loss = owed_micros - before
    if loss > 0:
        await record(
            connection,
            EntryDraft(
                idem=f"dp:{row.id}:{row.version + 1}:lost",
                kind=EntryKind.BAD_DEBT,
                lines=(Line(receivable(deposit.customer_id), loss), Line(BAD_DEBT, -loss)),
                ref=row.id,
                description="Dispute lost",
            ),
            now=now,
        )
