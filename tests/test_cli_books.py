"""`gateway books` as an operator or a cron job meets it: what it prints, and how it exits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.db import Database
from tests.services.market_world import open_market

ENVIRONMENT = {
    "GATEWAY_STRIPE_API_KEY": "sk_test_books",
    "GATEWAY_STRIPE_API_BASE": "http://127.0.0.1:9",
    "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_books",
    "GATEWAY_JWT_SECRET": "a secret of the tests, long enough for HS256",
}
COMMAND_SECONDS_MAX = 60


def gateway_books(url: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command in an empty folder, so that no file of the developer's is read."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), **ENVIRONMENT}
    return subprocess.run(
        [sys.executable, "-m", "gateway", "books", *arguments],
        cwd=folder,
        env={**environment, "GATEWAY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


@pytest.fixture
async def sold(database: Database) -> None:
    """Books with a deposit and a sale in them."""
    market = open_market(database)
    await market.publish("tool", "creator", price="0.01")
    await market.deposit("consumer", 1_000)
    await market.charged("consumer", "tool", "1")


@pytest.mark.usefixtures("sold")
async def test_right_books_exit_with_zero_and_say_what_was_checked(database_url: str, tmp_path: Path) -> None:
    done = gateway_books(database_url, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "The books are right."
    assert [line.split()[0] for line in lines[:3]] == ["ledger", "deposits", "entries"]
    accounts = lines.index("The platform's accounts hold:")
    assert all(" rows  right " in line for line in lines[:accounts])
    assert [line.split() for line in lines[accounts + 1 : -1]] == [
        ["bad_debt", "$0.000000"],
        ["bank", "$0.000000"],
        ["fees", "$0.002000"],
        ["stripe", "-$10.000000"],
        ["stripe_fees", "$0.000000"],
        ["subscriptions", "$0.000000"],
    ]


@pytest.mark.usefixtures("sold")
async def test_wrong_books_exit_with_one_and_name_the_row(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE checkout SET amount_cents = 999")
    row = await database.fetch_one("SELECT session_id FROM checkout")
    assert row is not None
    done = gateway_books(database_url, folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == [
        "1 fault:",
        f"  deposit-amount  {row['session_id']}: 9990000 was paid and the customer's wallet was given 10000000.",
    ]


@pytest.mark.usefixtures("sold")
async def test_json_is_one_document(database: Database, database_url: str, tmp_path: Path) -> None:
    right = json.loads(gateway_books(database_url, "--json", folder=tmp_path).stdout)
    assert right["right"] is True
    assert {check["name"]: check["faults"] for check in right["checks"]}["charges"] == []
    assert right["accounts_micros"] == {
        "bad_debt": 0,
        "bank": 0,
        "fees": 2_000,
        "stripe": -10_000_000,
        "stripe_fees": 0,
        "subscriptions": 0,
    }
    async with database.transaction() as connection:
        await connection.execute("UPDATE tool_charge SET wallet_after_micros = 1")
    done = gateway_books(database_url, "--json", folder=tmp_path)
    wrong = json.loads(done.stdout)
    assert (done.returncode, wrong["right"]) == (1, False)
    (faults,) = (check["faults"] for check in wrong["checks"] if check["faults"])
    assert [fault["rule"] for fault in faults] == ["charge-wallet"]


def test_database_that_is_away_is_a_sentence(tmp_path: Path) -> None:
    done = gateway_books("postgres://postgres@127.0.0.1:9/gateway", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_database_that_was_never_migrated_is_a_sentence(tmp_path: Path) -> None:
    done = gateway_books(f"sqlite://{tmp_path}/empty.db", folder=tmp_path)
    assert done.returncode == 1
    assert "gateway migrate" in done.stderr
    assert not (tmp_path / "empty.db").exists()
    assert "Traceback" not in done.stderr
