"""`gateway jobs`: what waits, what is stuck, and another try; and the tables that the other engine needs."""

import argparse
from collections.abc import Mapping

import orjson

from gateway.cli import serving
from gateway.cli.development import clock_of
from gateway.cli.output import Refusal, say
from gateway.db import Database, open_database, pending
from gateway.jobs_runner import embedded, pgqueuer
from gateway.logs import configure_logs
from gateway.services.jobs.listing import JobEntry, find_job, list_jobs
from gateway.settings import JobEngineName, Settings
from models.job import JobState


def add_arguments(command: argparse.ArgumentParser) -> None:
    """list, show and retry, with what each takes."""
    doing = command.add_subparsers(dest="doing", required=True, metavar="list | show | retry")
    listing = doing.add_parser("list", help="those that are not done, the next one first")
    listing.add_argument("--state", choices=[state.value for state in JobState], help="only these; done ones too")
    listing.add_argument("--kind", help="only these")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")
    for name, help_text in (("show", "everything about one"), ("retry", "run one now: waiting, dead or done")):
        one = doing.add_parser(name, help=help_text)
        one.add_argument("kind")
        one.add_argument("key")


def jobs(settings: Settings, options: argparse.Namespace) -> int:
    """List, show or wake jobs of the live database, beside whoever does them."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return serving.run(_jobs(settings, options))


async def _jobs(settings: Settings, options: argparse.Namespace) -> int:
    url = settings.database_url.get_secret_value()
    if names := await pending(url):
        raise Refusal(f"The database lacks {', '.join(names)}; run `gateway migrate`.")
    async with open_database(url) as database:
        if options.doing == "list":
            await _list(database, options)
        elif options.doing == "show":
            say(*_shown(await _found(database, options)))
        else:
            await _retry(settings, database, options)
    return 0


async def _list(database: Database, options: argparse.Namespace) -> None:
    state = None if options.state is None else JobState(options.state)
    entries = await list_jobs(database, state=state, kind=options.kind)
    if options.json:
        say(*(orjson.dumps(_fields(entry)).decode() for entry in entries))
    else:
        say(*([_line(entry) for entry in entries] or ["No job fits."]))


async def _retry(settings: Settings, database: Database, options: argparse.Namespace) -> None:
    make = pgqueuer if settings.job_engine is JobEngineName.PGQUEUER else embedded
    table = make(await clock_of(settings)).table
    if not await database.run(lambda connection: table.wake(connection, options.kind, options.key)):
        raise _unknown(options)
    entry = await _found(database, options)
    is_held = entry.state is JobState.DOING
    what = "is being done now, and runs once more after" if is_held else "is due now"
    say(f"{entry.kind} {entry.key} {what}.")


async def _found(database: Database, options: argparse.Namespace) -> JobEntry:
    entry = await find_job(database, kind=options.kind, key=options.key)
    if entry is None:
        raise _unknown(options)
    return entry


def _unknown(options: argparse.Namespace) -> Refusal:
    return Refusal(f"There is no job {options.kind} {options.key}.")


def _line(entry: JobEntry) -> str:
    when = entry.done_at or entry.due_at
    line = f"{entry.state.value:<8} {when.isoformat(timespec='seconds')}  {entry.kind}  {entry.key}"
    return f"{line}  {entry.reason}" if entry.reason else line


def _shown(entry: JobEntry) -> list[str]:
    return [f"{name:<14} {value}" for name, value in _fields(entry).items() if value is not None]


def _fields(entry: JobEntry) -> Mapping[str, object]:
    return {
        "kind": entry.kind,
        "key": entry.key,
        "args": dict(entry.args),
        "state": entry.state.value,
        "due_at": entry.due_at.isoformat(),
        "lease_until": entry.lease_until and entry.lease_until.isoformat(),
        "attempts": entry.attempts,
        "reclaims": entry.reclaims,
        "failing_since": entry.failing_since and entry.failing_since.isoformat(),
        "reason": entry.reason,
        "created_at": entry.created_at.isoformat(),
        "done_at": entry.done_at and entry.done_at.isoformat(),
    }


async def install_engine(settings: Settings) -> bool:
    """Create or upgrade the tables of the chosen engine; True when there was something to do."""
    if settings.job_engine is not JobEngineName.PGQUEUER:
        return False
    from gateway.services.jobs.pgqueuer_engine import install  # noqa: PLC0415 - its package is an extra

    return await install(settings.database_url.get_secret_value())


async def engine_is_installed(settings: Settings, database: Database) -> bool:
    """Whether the chosen engine has the tables it needs."""
    if settings.job_engine is not JobEngineName.PGQUEUER:
        return True
    from gateway.services.jobs.pgqueuer_engine import is_installed  # noqa: PLC0415 - its package is an extra

    return await is_installed(database)
