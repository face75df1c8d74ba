"""Reconciling one day: read Stripe's lines, book what follows from them, compare, look closer, heal, remember."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

import structlog

from gateway.domain.errors import ProviderError
from gateway.domain.reconciliation import Difference, id_of, kind_of, unchecked
from gateway.services.billing import Billing
from gateway.services.reconciling.accounts import compare_accounts
from gateway.services.reconciling.answering import ask_if_stripe_answers, side_by_side
from gateway.services.reconciling.booking import book_lines
from gateway.services.reconciling.closer import look_closer
from gateway.services.reconciling.comparing import (
    SUBJECTS_AT_ONCE_MAX,
    compare,
    subjects_of_entries,
    subjects_of_lines,
)
from gateway.services.reconciling.healing import heal
from gateway.services.reconciling.mirror import lines_of_day, pull_day, transfer_of_reversal
from gateway.services.reconciling.remembering import open_subjects, open_total, remember
from gateway.services.reconciling.transfers import compare_transfer, doubtful_transfers, was_undone

log = structlog.stdlib.get_logger()

#: Differences that are logged one by one; their number is logged whatever it is.
DIFFERENCES_LOGGED_MAX: Final = 20
#: Subjects that are looked closer at before what was found is kept.
SUSPECTS_AT_ONCE_MAX: Final = 20


class FutureDay(ValueError):
    """A day that has not begun cannot be reconciled."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What reconciling a day came to. `differences` are left, `healed` were found and are gone."""

    day: date
    lines: int
    booked: int
    differences: tuple[Difference, ...]
    healed: tuple[Difference, ...]

    @property
    def open(self) -> tuple[Difference, ...]:
        """What somebody must look at."""
        return tuple(one for one in self.differences if one.is_open)


async def reconcile_day(
    billing: Billing, day: date, *, with_healing: bool = True, again: Sequence[date] = (), with_accounts: bool = True
) -> Reconciliation:
    """Compare a UTC day with Stripe, the days `again` once more, and whatever was different before.

    Idempotent, and safe beside everything else, also beside itself. Fees, subscription income and bank transfers are
    booked from Stripe's lines either way; `with_healing` also settles again what Stripe knows and we do not. What was
    found is kept as it is found; one thing that Stripe does not show is a difference and stops nothing.

    Raises:
        FutureDay: the day has not begun.
        ProviderUnavailable, ProviderRejected: Stripe gave no answer to go by; what was done stays and is done again.
    """
    today = billing.clock.now().date()
    if day > today:
        raise FutureDay(f"A day is reconciled once it has begun; {day} is after {today}.")
    run = Run(billing, day, with_healing)
    earlier = await open_subjects(billing)
    for one in (*again, day):
        await pull_day(billing, one)
        await run.compare_day(one)
    await run.compare_again(earlier)
    if with_accounts:
        await run.compare_accounts(earlier)
    found = sorted(run.left.values(), key=lambda one: (kind_of(one.subject) == "acct", one.subject))
    report = Reconciliation(day, run.lines, run.booked, (*found, *await open_total(billing)), tuple(run.healed))
    _tell(report)
    return report


@dataclass(slots=True)
class Run:
    """One round; `left` is what is different and was not accepted. Memory is that of one batch and of the report."""

    billing: Billing
    day: date
    with_healing: bool
    lines: int = 0
    booked: int = 0
    left: dict[str, Difference] = field(default_factory=dict[str, Difference])
    healed: list[Difference] = field(default_factory=list[Difference])
    _looked_at: set[str] = field(default_factory=set[str])

    async def compare_day(self, day: date) -> None:
        """Both directions: Stripe's lines of the day, and our entries of the day; then the transfers."""
        async for lines in lines_of_day(self.billing, day):
            self.lines += len(lines)
            self.booked += await book_lines(self.billing, lines)
            await self._compare(subjects_of_lines((line.line_id, line.subject) for line in lines))
        async for subjects in subjects_of_entries(self.billing, day):
            await self._compare(subjects)
        async for subjects in doubtful_transfers(self.billing, day):
            await self._look_into(subjects)

    async def compare_again(self, earlier: Sequence[str]) -> None:
        """What was different on an earlier round."""
        subjects = [subject for subject in earlier if kind_of(subject) != "acct"]
        for start in range(0, len(subjects), SUBJECTS_AT_ONCE_MAX):
            batch = subjects[start : start + SUBJECTS_AT_ONCE_MAX]
            still = {one.subject for one in await compare(self.billing, batch)}
            await self._look_into([one for one in batch if one in still or kind_of(one) == "tr"])
            await self._remember([one for one in batch if one not in self._looked_at], [])

    async def compare_accounts(self, earlier: Sequence[str]) -> None:
        """Every open account; and what was different before is resolved where it is no more."""
        left, healed = await compare_accounts(self.billing, with_healing=self.with_healing)
        self.healed.extend(healed)
        await self._remember([one for one in earlier if kind_of(one) == "acct"], left)

    async def _compare(self, subjects: Sequence[str]) -> None:
        await self._look_into([one.subject for one in await compare(self.billing, subjects)])

    async def _look_into(self, suspects: Sequence[str]) -> None:
        """First sight is not enough: the other side may be of another day, or be settled by asking again."""
        fresh = sorted(set(suspects) - self._looked_at)
        for start in range(0, len(fresh), SUSPECTS_AT_ONCE_MAX):
            batch = fresh[start : start + SUSPECTS_AT_ONCE_MAX]
            left: dict[str, Difference] = {}
            looked_at = set(batch)
            for subject, changed in await side_by_side(self._look_closer(subject) for subject in batch):
                looked_at |= changed
                left |= await self._judge_and_heal(changed) if changed else {subject: unchecked(subject)}
            self._looked_at |= set(batch)
            await self._remember(looked_at, list(left.values()))

    async def _look_closer(self, subject: str) -> tuple[str, set[str]]:
        """The subjects that are to be judged for it; none where Stripe does not show it."""
        try:
            return subject, await look_closer(self.billing, subject)
        except ProviderError:
            await ask_if_stripe_answers(self.billing)
            return subject, set()

    async def _judge_and_heal(self, subjects: set[str]) -> dict[str, Difference]:
        left: dict[str, Difference] = {}
        for subject in sorted(subjects):
            try:
                found = await self._judge(subject)
                found = await self._heal(found) if found is not None and self.with_healing else found
            except ProviderError:
                await ask_if_stripe_answers(self.billing)
                found = unchecked(subject)
            if found is not None:
                left[subject] = found
        return left

    async def _heal(self, difference: Difference) -> Difference | None:
        outcome = await heal(self.billing, difference)
        if outcome is None:
            return difference
        after = await self._judge(difference.subject)
        if after is not None:
            return replace(after, action=f"{outcome} {after.action}")
        self.healed.append(difference)
        log.info("reconcile.healed", subject=difference.subject, kind=difference.kind.value)
        return None

    async def _judge(self, subject: str) -> Difference | None:
        """How a subject stands now, a transfer also by what it says of itself."""
        compared = await compare(self.billing, [subject])
        found = compared[0] if compared else None
        if found is not None and found.ours_micros == 0 and await self._was_undone(subject):
            return None
        if kind_of(subject) == "tr":
            found = await compare_transfer(self.billing, id_of(subject)) or found
        return found

    async def _was_undone(self, subject: str) -> bool:
        """Whether a subject is a transfer of nobody's that came back in full, or the way in which it did."""
        transfer_id = None
        if kind_of(subject) == "tr":
            transfer_id = id_of(subject)
        elif kind_of(subject) == "trr":
            transfer_id = await transfer_of_reversal(self.billing, id_of(subject))
        return transfer_id is not None and await was_undone(self.billing, transfer_id)

    async def _remember(self, looked_at: Collection[str], found: Sequence[Difference]) -> None:
        loud = await remember(self.billing, self.day, looked_at=looked_at, found=found)
        for subject in looked_at:
            self.left.pop(subject, None)
        self.left.update({one.subject: one for one in loud})


def _tell(report: Reconciliation) -> None:
    for one in report.open[:DIFFERENCES_LOGGED_MAX]:
        log.error("reconcile.difference", kind=one.kind.value, subject=one.subject, message=one.sentence)
    log.info(
        "reconcile.day",
        day=report.day.isoformat(),
        lines=report.lines,
        booked=report.booked,
        healed=len(report.healed),
        differences=len(report.open),
        timing=len(report.differences) - len(report.open),
    )
