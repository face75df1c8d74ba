"""`gateway books`: the audit, for a person or a script."""

import argparse
from collections.abc import Mapping

import orjson

from gateway.cli import serving
from gateway.cli.output import Refusal, say
from gateway.db import open_database, pending
from gateway.domain.money import format_usd_exact
from gateway.logs import configure_logs
from gateway.services.books.checking import BooksReport, CheckResult, check_books
from gateway.services.books.checkpoints import derived_balances
from gateway.services.ledger import Fault
from gateway.settings import Settings


def books(settings: Settings, options: argparse.Namespace) -> int:
    """Check the books of the live database, beside whoever is writing; changes nothing."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return serving.run(_books(settings.database_url.get_secret_value(), as_json=options.json))


async def _books(url: str, *, as_json: bool) -> int:
    if names := await pending(url):
        raise Refusal(f"The database lacks {', '.join(names)}; run `gateway migrate`.")
    async with open_database(url) as database:
        report = await check_books(database)
        holds = await derived_balances(database)
    say(*([_as_json(report, holds)] if as_json else _as_text(report, holds)))
    return 1 if report.faults else 0


def _as_text(report: BooksReport, holds: Mapping[str, int]) -> list[str]:
    lines = [_result_line(result) for result in report.results]
    lines += ["The platform's accounts hold:", *(_account_line(code, micros) for code, micros in holds.items())]
    if not report.faults:
        return [*lines, "The books are right."]
    faults = [f"  {fault.rule}  {fault.subject}: {fault.message}" for fault in report.faults]
    return [*lines, f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}:", *faults]


def _result_line(result: CheckResult) -> str:
    verdict = f"{len(result.faults)} wrong" if result.faults else "right"
    return f"{result.name:<10}{result.rows:>12,} rows  {verdict:<12}{result.rule}."


def _account_line(code: str, micros: int) -> str:
    return f"  {code:<14}{format_usd_exact(micros):>24}"


def _as_json(report: BooksReport, holds: Mapping[str, int]) -> str:
    checks = [
        {
            "name": result.name,
            "rule": result.rule,
            "rows": result.rows,
            "faults": [_fault(one) for one in result.faults],
        }
        for result in report.results
    ]
    return orjson.dumps({"right": not report.faults, "checks": checks, "accounts_micros": holds}).decode()


def _fault(fault: Fault) -> dict[str, str]:
    return {"rule": fault.rule, "subject": fault.subject, "message": fault.message}
