"""`gateway reconcile` as an operator or a cron job meets it: what it prints, and how it exits."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.domain.clock import SystemClock
from tests.support.gateway import JWT_SECRET, Platform, open_platform
from tests.support.stripe_door import API_KEY

COMMAND_SECONDS_MAX = 60
NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str


async def gateway_reconcile(folder: Path, *arguments: str, url: str, stripe: str = NOBODY) -> Ended:
    """Run the command in an empty folder, so that no file of the developer's is read."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "GATEWAY_STRIPE_API_KEY": API_KEY,
        "GATEWAY_STRIPE_API_BASE": stripe,
        "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_reconcile",
        "GATEWAY_JWT_SECRET": JWT_SECRET,
        "GATEWAY_DATABASE_URL": url,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "reconcile", *arguments),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(COMMAND_SECONDS_MAX):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def platform(database_url: str) -> AsyncIterator[Platform]:
    """With a deposit of this very moment."""
    async with open_platform(database_url, clock=SystemClock(), with_worker=False) as running:
        page = await running.person().deposit_page("2500")
        await running.stripe.pay(page.url)
        await running.settled()
        yield running


async def day_of_the_deposit(platform: Platform) -> str:
    listed = await platform.stripe.api("GET", "/v1/balance_transactions")
    return datetime.fromtimestamp(listed["data"][0]["created"], UTC).date().isoformat()


async def test_agreement_exits_with_zero_and_says_what_was_booked(
    platform: Platform, database_url: str, tmp_path: Path
) -> None:
    day = await day_of_the_deposit(platform)
    ended = await gateway_reconcile(tmp_path, "--day", day, url=database_url, stripe=platform.stripe.url)

    assert ended.status == 0, ended.err
    assert ended.out.splitlines() == [
        f"{day}: 1 line at Stripe, 1 booked from them.",
        "The ledger and Stripe agree.",
    ]


async def test_differences_exit_with_one_until_they_are_accepted(
    platform: Platform, database_url: str, tmp_path: Path
) -> None:
    planted = await platform.stripe.control("balance/plant", amount=-800)
    day = await day_of_the_deposit(platform)
    said = await gateway_reconcile(tmp_path, "--day", day, url=database_url, stripe=platform.stripe.url)
    more = ("--day", day, "--no-heal", "--json")
    told = await gateway_reconcile(tmp_path, *more, url=database_url, stripe=platform.stripe.url)

    assert said.status == 1, said.err
    sentence = f"Line {planted['id']} of -$8.00 belongs to nothing known here; its type is adjustment."
    assert said.out.splitlines()[1:] == [
        f"  unknown_type   txn:{planted['id']}: {sentence}",
        "                 Look it up at Stripe; nothing here is changed by itself.",
        "1 difference is open.",
    ]
    report = json.loads(told.out)
    assert (told.status, report["agreed"], report["day"]) == (1, False, day)
    accepting = ("--day", day, "--accept", f"txn:{planted['id']}")
    accepted = await gateway_reconcile(tmp_path, *accepting, url=database_url, stripe=platform.stripe.url)
    twice = await gateway_reconcile(tmp_path, *accepting, url=database_url, stripe=platform.stripe.url)
    assert (accepted.status, accepted.out.splitlines()[-1]) == (0, "The ledger and Stripe agree.")
    assert (twice.status, twice.out) == (2, "")
    assert twice.err.splitlines()[-1] == f"There is no open difference 'txn:{planted['id']}'."
    (difference,) = report["differences"]
    assert (difference["kind"], difference["theirs"], difference["ours"]) == ("unknown_type", "-$8.00", "$0.00")


async def test_a_stripe_that_is_away_exits_with_two(database_url: str, tmp_path: Path) -> None:
    ended = await gateway_reconcile(tmp_path, "--day", "2026-01-01", url=database_url)

    assert (ended.status, ended.out) == (2, "")
    assert "no clear answer" in ended.err
    assert "Traceback" not in ended.err


async def test_a_database_that_is_away_or_not_migrated_exits_with_two(tmp_path: Path) -> None:
    for url in ("postgres://postgres@127.0.0.1:9/gateway", f"sqlite://{tmp_path}/empty.db"):
        ended = await gateway_reconcile(tmp_path, url=url)

        assert (ended.status, ended.out) == (2, "")
        assert "Traceback" not in ended.err


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01"])
async def test_a_day_that_is_none_exits_with_two(day: str, sqlite_url: str, tmp_path: Path) -> None:
    ended = await gateway_reconcile(tmp_path, "--day", day, url=sqlite_url)

    assert ended.status == 2
    assert ended.err.splitlines()[-1] == f"--day is a date such as 2026-11-30; got {day!r}."


async def test_a_day_that_has_not_begun_exits_with_two(sqlite_url: str, tmp_path: Path) -> None:
    later = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    ended = await gateway_reconcile(tmp_path, "--day", later, url=sqlite_url)

    assert ended.status == 2
    assert f"{later} is after " in ended.err.splitlines()[-1]


async def test_settings_that_cannot_be_used_are_no_difference(sqlite_url: str, tmp_path: Path) -> None:
    ended = await gateway_reconcile(tmp_path, url=sqlite_url, stripe="no address")

    assert (ended.status, ended.out) == (2, "")
    assert "GATEWAY_STRIPE_API_BASE must be scheme://host:port and nothing more" in ended.err
