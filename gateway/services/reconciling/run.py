"""Reconciling one day: read Stripe's lines, book what follows from them, compare, look closer, heal, remember."""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

import structlog

from gateway.domain.reconciliation import Difference, id_of, kind_of
from gateway.services.billing import Billing
from gateway.services.reconciling.accounts import compare_accounts
from gateway.services.reconciling.booking import book_lines
from gateway.services.reconciling.closer import look_closer
from gateway.services.reconciling.comparing import compare, subjects_of_entries, subjects_of_lines
from gateway.services.reconciling.healing import heal
from gateway.services.reconciling.mirror import lines_of_day, pull_day
from gateway.services.reconciling.remembering import open_subjects, remember, without_accepted
from gateway.services.reconciling.transfers import compare_transfer, compare_transfers

log = structlog.stdlib.get_logger()

#: Differences that are logged one by one; their number is logged whatever it is.
DIFFERENCES_LOGGED_MAX: Final = 20


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


async def reconcile_day(billing: Billing, day: date, *, with_healing: bool = True) -> Reconciliation:
    """Compare a UTC day with Stripe, and once more whatever was different before.

    Idempotent, and safe beside everything else, also beside itself. Fees, subscription income and bank transfers are
    booked from Stripe's lines either way; `with_healing` also settles again what Stripe knows and we do not.

    Raises:
        FutureDay: the day has not begun.
        ProviderUnavailable, ProviderRejected: Stripe gave no answer to go by; what was done stays and is done again.
    """
    today = billing.clock.now().date()
    if day > today:
        raise FutureDay(f"A day is reconciled once it has begun; {day} is after {today}.")
    run = _Run(billing, with_healing)
    earlier = await open_subjects(billing)
    await pull_day(billing, day)
    await run.compare_day(day)
    await run.compare_again(earlier)
    await run.look_closer_at_differences()
    left, healed = await compare_accounts(billing, with_healing=with_healing)
    found = await without_accepted(billing, (*sorted(run.left.values(), key=lambda one: one.subject), *left))
    await remember(billing, day, looked_at=earlier, found=found)
    report = Reconciliation(day, run.lines, run.booked, tuple(found), (*run.healed, *healed))
    _tell(report)
    return report


@dataclass(slots=True)
class _Run:
    """One round over a day; `suspects` looked different at first sight, `left` still do."""

    billing: Billing
    with_healing: bool
    lines: int = 0
    booked: int = 0
    suspects: dict[str, Difference] = field(default_factory=dict[str, Difference])
    left: dict[str, Difference] = field(default_factory=dict[str, Difference])
    healed: list[Difference] = field(default_factory=list[Difference])

    async def compare_day(self, day: date) -> None:
        """Both directions: Stripe's lines of the day, and our entries of the day; then the transfers."""
        async for lines in lines_of_day(self.billing, day):
            self.lines += len(lines)
            self.booked += await book_lines(self.billing, lines)
            await self._compare(subjects_of_lines(lines))
        async for subjects in subjects_of_entries(self.billing, day):
            await self._compare(subjects)
        for difference in await compare_transfers(self.billing, day):
            self.suspects[difference.subject] = difference

    async def compare_again(self, subjects: list[str]) -> None:
        """What was different on an earlier round."""
        await self._compare([subject for subject in subjects if kind_of(subject) != "acct"])
        for subject in subjects:
            if kind_of(subject) == "tr":
                await self._compare_transfer(subject)

    async def look_closer_at_differences(self) -> None:
        """First sight is not enough: the other side may be of another day, or be settled by asking again."""
        for subject in sorted(self.suspects):
            changed = await look_closer(self.billing, subject)
            found = await self._judge(changed)
            self.left.update(await self._heal(found) if self.with_healing else found)

    async def _heal(self, found: dict[str, Difference]) -> dict[str, Difference]:
        left: dict[str, Difference] = {}
        for subject, difference in found.items():
            outcome = await heal(self.billing, difference)
            if outcome is None:
                left[subject] = difference
                continue
            after = (await self._judge({subject})).get(subject)
            if after is None:
                self.healed.append(difference)
                log.info("reconcile.healed", subject=subject, kind=difference.kind.value)
            else:
                left[subject] = replace(after, action=f"{outcome} {after.action}")
        return left

    async def _judge(self, subjects: set[str]) -> dict[str, Difference]:
        """How subjects stand now, transfers also by what they say of themselves."""
        found = {one.subject: one for one in await compare(self.billing, sorted(subjects))}
        for subject in subjects:
            if kind_of(subject) == "tr":
                difference = await compare_transfer(self.billing, id_of(subject))
                if difference is not None:
                    found[subject] = difference
        return found

    async def _compare(self, subjects: list[str]) -> None:
        self.suspects.update({one.subject: one for one in await compare(self.billing, subjects)})

    async def _compare_transfer(self, subject: str) -> None:
        difference = await compare_transfer(self.billing, id_of(subject))
        if difference is not None:
            self.suspects[subject] = difference


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
