"""`gateway jobs` as an operator meets it, and the settings that choose the engine."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.db import Connection, Database
from gateway.domain.clock import ManualClock
from gateway.services.jobs import NewJob
from gateway.services.jobs.table import ATTEMPTS_MAX, JobTable
from gateway.settings import JobEngineName, SettingsError, load_settings

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
COMMAND_SECONDS_MAX = 120


def gateway(url: str, *arguments: str, folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in an empty folder, so that no file of the developer's is read."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GATEWAY_DATABASE_URL": url, **settings}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


@pytest.fixture
async def dead_job(database: Database) -> None:
    """One job that was given up."""
    table = JobTable(ManualClock(NOON))

    async def work(connection: Connection) -> None:
        await table.enqueue(connection, NewJob(kind="test", key="né", run_at=NOON, args={"id": "1"}))
        await connection.execute("UPDATE job SET attempts = $1", (ATTEMPTS_MAX - 1,))
        (job,) = await table.claim(connection, limit=1)
        await table.fail(connection, job, reason="one cent too many", unclear=False)

    await database.run(work)


@pytest.mark.usefixtures("dead_job")
def test_a_dead_job_is_listed_shown_and_tried_again(database_url: str, tmp_path: Path) -> None:
    listed = gateway(database_url, "jobs", "list", "--state", "dead", "--json", folder=tmp_path)
    shown = gateway(database_url, "jobs", "show", "test", "né", folder=tmp_path)
    retried = gateway(database_url, "jobs", "retry", "test", "né", folder=tmp_path)
    after = gateway(database_url, "jobs", "list", folder=tmp_path)

    entry = json.loads(listed.stdout)
    assert (entry["key"], entry["args"], entry["attempts"]) == ("né", {"id": "1"}, ATTEMPTS_MAX)
    assert "reason         one cent too many" in shown.stdout.splitlines()
    assert (retried.returncode, retried.stdout) == (0, "test né is due now.\n")
    assert after.stdout.split()[0] == "waiting"


@pytest.fixture
async def held_job(database: Database) -> None:
    """One job that a worker is at."""
    table = JobTable(ManualClock(NOON))

    async def work(connection: Connection) -> None:
        await table.enqueue(connection, NewJob(kind="test", key="held", run_at=NOON))
        await table.claim(connection, limit=1)

    await database.run(work)


@pytest.mark.usefixtures("held_job")
def test_a_job_that_is_being_done_is_said_to_run_once_more(database_url: str, tmp_path: Path) -> None:
    retried = gateway(database_url, "jobs", "retry", "test", "held", folder=tmp_path)

    assert (retried.returncode, retried.stdout) == (0, "test held is being done now, and runs once more after.\n")


def test_a_job_that_nobody_promised_is_a_sentence(sqlite_url: str, tmp_path: Path) -> None:
    done = gateway(sqlite_url, "jobs", "retry", "test", "nobody", folder=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "There is no job test nobody.\n")


def test_pgqueuer_on_sqlite_stops_the_start_with_a_sentence(sqlite_url: str, tmp_path: Path) -> None:
    done = gateway(sqlite_url, "worker", folder=tmp_path, GATEWAY_JOB_ENGINE="pgqueuer")

    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [
        "GATEWAY_JOB_ENGINE pgqueuer needs PostgreSQL, and GATEWAY_DATABASE_URL is SQLite; got 'pgqueuer'."
    ]


def test_pgqueuer_without_its_tables_stops_the_start_until_they_are_made(postgres_url: str, tmp_path: Path) -> None:
    chosen = {"GATEWAY_JOB_ENGINE": "pgqueuer"}
    refused = gateway(postgres_url, "worker", folder=tmp_path, **chosen)
    first = gateway(postgres_url, "migrate", folder=tmp_path, **chosen)
    second = gateway(postgres_url, "migrate", folder=tmp_path, **chosen)

    assert refused.returncode == 1
    assert "The database lacks the tables of pgqueuer; run `gateway migrate`." in refused.stderr
    assert first.stdout == "applied the tables of pgqueuer\n"
    assert second.stdout == "Nothing to apply: the schema is up to date.\n"


def test_the_engine_is_our_own_unless_another_is_asked_for() -> None:
    postgres = "postgres://u@127.0.0.1:1/d"

    assert load_settings({}).job_engine is JobEngineName.EMBEDDED
    assert load_settings({"GATEWAY_DATABASE_URL": postgres}).job_engine is JobEngineName.EMBEDDED
    chosen = load_settings({"GATEWAY_DATABASE_URL": postgres, "GATEWAY_JOB_ENGINE": "pgqueuer"})
    assert chosen.job_engine is JobEngineName.PGQUEUER
    with pytest.raises(SettingsError, match="GATEWAY_JOB_ENGINE"):
        load_settings({"GATEWAY_JOB_ENGINE": "celery"})
