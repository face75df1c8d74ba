"""`gateway events`, `gateway sync` and `gateway explain` as an operator meets them: what they print, how they exit."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli.events import moment
from gateway.cli.explain import exit_status
from gateway.cli.output import Refusal
from gateway.db import Database
from gateway.domain.verdict_words import OPERATOR_WORDS
from gateway.domain.verdicts import Verdict
from gateway.services.events.inbox import store_event
from gateway.services.explaining import Explanation
from gateway.stripe_service import WebhookEvent

ENVIRONMENT = {
    "GATEWAY_STRIPE_API_KEY": "sk_test_events",
    "GATEWAY_STRIPE_API_BASE": "http://127.0.0.1:9",
    "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_events",
    "GATEWAY_JWT_SECRET": "a secret of the tests, long enough for HS256",
    "GATEWAY_STRIPE_TIMEOUT_SECONDS": "1",
}
COMMAND_SECONDS_MAX = 60
AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), **ENVIRONMENT}


def gateway(url: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command in an empty folder, so that no file of the developer's is read."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        env={**environment(), "GATEWAY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


#: Runs several commands in one process, because to start one takes longer than to run one.
_MANY = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from gateway.cli import main
for arguments in json.loads(sys.argv[1]):
    output, complaint = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(complaint):
        try:
            status = main(arguments)
        except SystemExit as left:
            status = left.code
    print(json.dumps([status, output.getvalue(), complaint.getvalue()]))
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    output: str
    complaint: str


def gateway_many(url: str, commands: Sequence[Sequence[str]], *, folder: Path) -> list[Done]:
    """The same, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", _MANY, json.dumps(commands)],
        cwd=folder,
        env={**environment(), "GATEWAY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture
async def stored(database: Database) -> None:
    """An inbox with one event that waits."""
    event = WebhookEvent(
        event_id="evt_1",
        type="checkout.session.completed",
        object_id="cs_test_1",
        object_type="checkout.session",
        account=None,
        created_at=AT,
        api_version="2026-10-28.endive",
        livemode=False,
        payload='{"data":{"object":{"id":"cs_test_1"}}}',
    )
    await store_event(database, event, now=AT)


@pytest.mark.usefixtures("stored")
def test_an_event_is_listed_shown_ignored_and_replayed(database_url: str, tmp_path: Path) -> None:
    listed = gateway(database_url, "events", "list", folder=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[:1] for line in listed.stdout.splitlines()] == [["RECEIVED"], ["2026-11-02"]]
    assert "evt_1" in listed.stdout

    ignored = gateway(database_url, "events", "ignore", "evt_1", "--reason", "Done by hand.", folder=tmp_path)
    assert (ignored.returncode, ignored.stdout) == (
        0,
        "checkout.session.completed evt_1 was new and is ignored; `gateway events replay evt_1` takes it back.\n",
    )
    shown = json.loads(gateway(database_url, "events", "show", "evt_1", "--payload", "--json", folder=tmp_path).stdout)
    assert (shown["state"], shown["note"], shown["payload"]["data"]) == (
        "ignored",
        "Done by hand.",
        {"object": {"id": "cs_test_1"}},
    )
    assert (shown["received_at"], shown["lease_until"]) == ("2026-11-02T09:00:00+00:00", None)

    replayed = gateway(database_url, "events", "replay", "evt_1", folder=tmp_path)
    assert replayed.returncode == 0
    assert replayed.stdout.startswith("checkout.session.completed evt_1 was ignored and is due now;")
    (found,) = json.loads(gateway(database_url, "events", "list", "--state", "new", "--json", folder=tmp_path).stdout)
    assert (found["event_id"], found["note"]) == ("evt_1", None)


#: What cannot be done, the exit status, and a part of the sentence that says so.
REFUSED = (
    (("events", "show", "evt_2"), 1, "evt_2 never arrived here;"),
    (("events", "show", "hello"), 1, "An event's id looks like evt_1AbC…; got 'hello'."),
    (("events", "ignore", "evt_2", "--reason", "x"), 1, "evt_2 never arrived here, so there is nothing to ignore."),
    (("events", "ignore", "evt_2", "--reason", " "), 1, "--reason is 1 to 500 printable characters"),
    (("events", "ignore", "evt_2"), 2, "--reason"),
    (("events", "replay"), 1, "Give an event's id, or `--state dead`"),
    (("events", "replay", "evt_2"), 1, "gave no clear answer"),
    (("events", "list", "--limit", "0"), 2, "a whole number from 1 to 1,000; got '0'"),
    (("events", "list", "--since", "yesterday"), 1, "--since is a span like 90m"),
    (
        ("sync", "customer", "nobody"),
        1,
        "Neither our rows nor Stripe show a purchase or a customer of ours",
    ),
    (("sync", "checkout", "cs_test_1"), 1, "gave no clear answer"),
    (("sync", "subscription", "sub_1"), 1, "Stripe did not answer whose it is"),
)
#: What nothing certain can be said of while Stripe is away, and the verdict.
UNCERTAIN = (("nobody", "UNKNOWN"), ("cs_test_1", "STRIPE_UNREACHABLE"))


def test_what_cannot_be_done_is_a_sentence(sqlite_url: str, tmp_path: Path) -> None:
    answers = gateway_many(sqlite_url, [arguments for arguments, _, _ in REFUSED], folder=tmp_path)

    for (arguments, status, sentence), done in zip(REFUSED, answers, strict=True):
        assert (done.status, done.output) == (status, ""), arguments
        assert sentence in done.complaint, arguments
        assert status == 2 or len(done.complaint.splitlines()) == 1, arguments


def test_an_explanation_ends_with_one_verdict_and_one_action(sqlite_url: str, tmp_path: Path) -> None:
    commands = [("explain", given, *more) for given, _ in UNCERTAIN for more in ((), ("--json",))]
    answers = iter(gateway_many(sqlite_url, commands, folder=tmp_path))

    for given, verdict in UNCERTAIN:
        text, plain = next(answers), json.loads(next(answers).output)
        last_but_one, last = text.output.splitlines()[-2:]
        assert (text.status, text.complaint) == (4, "")
        assert last_but_one.startswith(f"{verdict}: ")
        assert last.startswith("Do: ")
        assert (plain["given"], plain["verdict"]) == (given, verdict)


@pytest.mark.parametrize("verdict", Verdict)
def test_the_exit_status_says_whether_there_is_something_to_do(verdict: Verdict) -> None:
    page = Explanation(given="x", about="x", verdict=verdict, message="", action=OPERATOR_WORDS[verdict].action)
    uncertain = {Verdict.STRIPE_UNREACHABLE, Verdict.UNKNOWN, Verdict.WRONG_MODE}

    assert exit_status(page) == (4 if verdict in uncertain else 3 if page.action else 0)
    assert verdict is not Verdict.DISPUTED or exit_status(page) == 3


def test_a_database_that_was_never_migrated_is_a_sentence(tmp_path: Path) -> None:
    done = gateway(f"sqlite://{tmp_path}/empty.db", "explain", "x", folder=tmp_path)

    assert done.returncode == 1
    assert "gateway migrate" in done.stderr
    assert not (tmp_path / "empty.db").exists()


def test_since_is_a_span_or_a_date() -> None:
    assert moment("90m", now=AT) == AT - timedelta(minutes=90)
    assert moment("2d", now=AT) == AT - timedelta(days=2)
    assert moment("2026-11-01", now=AT) == datetime(2026, 11, 1, tzinfo=UTC)
    assert moment("2026-11-01T12:00:00+02:00", now=AT) == datetime(2026, 11, 1, 10, tzinfo=UTC)
    for bad in ("", "m", "-1h", "99999999d", "999999d9", "tomorrow", "1w"):
        with pytest.raises(Refusal, match="--since"):
            moment(bad, now=AT)
