"""The hourly check of the books: books too big for one round are checked over several, from where the last one was."""

from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.db.rows import text_or_none
from gateway.services.billing import Billing
from gateway.services.books.checking import Audit
from gateway.services.books.rules import walks
from gateway.services.ledger import Fault

log = structlog.stdlib.get_logger()

#: How long a round goes on; shorter than the hour for which its node has claimed the check.
ROUND_MAX: Final = timedelta(minutes=40)
#: Steps after which the place is written down, so that little is done again when a round is cut off.
STEPS_UNWRITTEN_MAX: Final = 50
#: Faults that are logged one by one; their number is logged whatever it is.
FAULTS_LOGGED_MAX: Final = 20


async def check_books_on(billing: Billing, *, round_max: timedelta = ROUND_MAX) -> bool:
    """Check the books, from the beginning or from where the last round was; True when more is left to check.

    Only what was checked to its end has no faults: until then the last full check stands, and faults are told at once.
    """
    audit = Audit(walks(billing.database.dialect))
    row = await billing.database.fetch_one("SELECT progress FROM books_check")
    written = None if row is None else text_or_none(row, "progress")
    if written is not None:
        audit.go_on_from(written)
    until, steps = billing.clock.now() + round_max, 0
    while not audit.has_ended:
        _log_faults(audit, await audit.step(billing.database))
        steps += 1
        if billing.clock.now() >= until:
            await _keep(billing, audit, due_at=billing.clock.now())
            return True
        if steps % STEPS_UNWRITTEN_MAX == 0:
            await _keep(billing, audit)
    faults = sum(audit.found.values())
    await billing.database.run(
        lambda connection: connection.execute(
            "UPDATE books_check SET checked_at = $1, faults = $2, progress = NULL", (billing.clock.now(), faults)
        )
    )
    log.info("books.checked", rows=sum(audit.rows.values()), faults=faults)
    return False


async def _keep(billing: Billing, audit: Audit, *, due_at: datetime | None = None) -> None:
    """Write down the place; faults that were found count at once, their absence does not yet."""
    found = sum(audit.found.values())
    await billing.database.run(
        lambda connection: connection.execute(
            "UPDATE books_check SET progress = $1, due_at = coalesce($2, due_at), "
            "faults = CASE WHEN $3 > 0 THEN $3 ELSE faults END",
            (audit.written(), due_at, found),
        )
    )


def _log_faults(audit: Audit, faults: tuple[Fault, ...]) -> None:
    told = sum(audit.found.values()) - len(faults)
    for fault in faults[: max(0, FAULTS_LOGGED_MAX - told)]:
        log.error("books.fault", rule=fault.rule, subject=fault.subject, message=fault.message)
