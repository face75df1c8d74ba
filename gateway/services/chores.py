"""What is done from time to time without anybody asking; each round is bounded, repeatable and safe on many nodes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from gateway.db.rows import integer, moment
from gateway.domain.clock import CLOCKS_DIFFER_MAX
from gateway.services.belonging import keep_to_the_account
from gateway.services.billing import Billing
from gateway.services.books.checkpoints import checkpoint_accounts
from gateway.services.books.rounds import check_books_on
from gateway.services.connecting import sync_due_accounts
from gateway.services.events import gaps
from gateway.services.events.counts import report_events
from gateway.services.jobs.schedule import enqueue_periodic
from gateway.services.marketplace.releases import release_due
from gateway.services.payouts import SCHEDULES_AT_ONCE_MAX, follow_bank_payouts, run_due_schedules, wake_overdue
from gateway.services.plans.due import sync_due_plans
from gateway.services.purchases.clearing import look_at_uncleared
from gateway.services.purchases.stale import sweep_checkouts
from gateway.services.reconciling import reconcile_when_due, report_differences

#: Batches of releases in one round.
RELEASES_AT_ONCE_MAX: Final = 20
#: How often the books are checked, by whichever node is first.
BOOKS_EVERY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """One kind of background work.

    `work` does one round and says whether more is waiting, which is then done at once; else the next round comes
    after `every_seconds`. One that `may_be_cut` only reads, so it is cut off instead of waited for at the end.
    """

    name: str
    every_seconds: float
    work: Callable[[Billing], Awaitable[bool]]
    round_seconds_max: float = 60.0
    may_be_cut: bool = False


async def release_earnings(billing: Billing) -> bool:
    """Release what is due, some batches at a time."""
    broken: set[UUID] = set()
    for _ in range(RELEASES_AT_ONCE_MAX):
        if await release_due(billing, broken=broken) == 0:
            return False
    return True


async def begin_payouts(billing: Billing) -> bool:
    """Begin the payouts whose day has come."""
    return await run_due_schedules(billing, limit=SCHEDULES_AT_ONCE_MAX) >= SCHEDULES_AT_ONCE_MAX


async def promise_periodic(billing: Billing) -> bool:
    """Promise the jobs of the periods that have begun."""
    await enqueue_periodic(billing)
    return False


async def report_state(billing: Billing) -> bool:
    """Tell the watch what the database knows, so that every node shows the same."""
    now = billing.clock.now()
    due = await billing.database.fetch_one(
        "SELECT available_at FROM tool_charge WHERE state = 'pending' AND available_at <= $1 "
        "ORDER BY available_at LIMIT 1",
        (now,),
    )
    waits = timedelta(0) if due is None else now - moment(due, "available_at")
    billing.watch.oldest_release_waits(seconds=waits.total_seconds())
    check = await billing.database.fetch_one("SELECT checked_at, faults FROM books_check WHERE checked_at IS NOT NULL")
    if check is not None:
        billing.watch.books_checked(faults=integer(check, "faults"), at=moment(check, "checked_at"))
    return False


async def check_books_when_due(billing: Billing) -> bool:
    """Check the books if no node has for an hour, and write down what came out; True when a round was not enough."""
    now = billing.clock.now()
    if not await _claim_check(billing, now):
        return False
    is_unfinished = await check_books_on(billing)
    await report_state(billing)
    return is_unfinished


async def _claim_check(billing: Billing, now: datetime) -> bool:
    """Plan the next check; True for the one node that did so, which makes this one."""
    claimed = await billing.database.run(
        lambda connection: connection.execute(
            "UPDATE books_check SET due_at = $2 WHERE due_at <= $1 OR due_at > $3",
            (now, now + BOOKS_EVERY, now + BOOKS_EVERY + CLOCKS_DIFFER_MAX),
        )
    )
    return claimed == 1


#: What only reads and tells, so that every process shows the same, whether it works or only serves.
REPORTS: Final = (
    Chore(name="state", every_seconds=15, work=report_state, may_be_cut=True),
    Chore(name="differences", every_seconds=60, work=report_differences, may_be_cut=True),
    Chore(name="events", every_seconds=10, work=report_events, may_be_cut=True),
)

CHORES: Final = (
    *REPORTS,
    Chore(name="release", every_seconds=5, work=release_earnings),
    Chore(name="checkpoint", every_seconds=2, work=checkpoint_accounts),
    Chore(name="creator_accounts", every_seconds=30, work=sync_due_accounts),
    Chore(name="schedules", every_seconds=15, work=begin_payouts),
    Chore(name="overdue_payouts", every_seconds=60, work=wake_overdue),
    Chore(name="bank_payouts", every_seconds=60, work=follow_bank_payouts),
    Chore(name="calendar", every_seconds=30, work=promise_periodic),
    Chore(name="reconcile", every_seconds=300, work=reconcile_when_due, round_seconds_max=3_000),
    Chore(name="event_gaps", every_seconds=gaps.LOOK_SECONDS, work=gaps.fill_gaps, round_seconds_max=40),
    Chore(name="checkouts", every_seconds=15, work=sweep_checkouts, round_seconds_max=300),
    Chore(name="clearing", every_seconds=15, work=look_at_uncleared, round_seconds_max=300),
    Chore(name="plans", every_seconds=5, work=sync_due_plans, round_seconds_max=300),
    Chore(name="stripe_account", every_seconds=600, work=keep_to_the_account),
    Chore(name="books", every_seconds=60, work=check_books_when_due, round_seconds_max=3_000, may_be_cut=True),
)
