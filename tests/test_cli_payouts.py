"""`gateway payouts` as an operator meets it: what it lists and shows, and what it does for a payout that is stuck."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from gateway.cli import build_parser
from gateway.cli.output import Refusal
from gateway.cli.payouts import do
from gateway.db import Connection, Database
from gateway.services.payouts import request_payout, settle_transfer
from gateway.services.payouts.by_hand import retry_payout
from gateway.services.payouts.listing import list_payouts
from gateway.settings import load_settings
from models.payout import Payout
from tests.support.payouts import DOLLAR, Creator, PayoutWorld, open_payout_world

ROOT = Path(__file__).parents[1]
COMMAND_SECONDS_MAX = 120
Gateway = Callable[..., Awaitable["Ran"]]
NOBODY = "01a19b7c-a680-7884-833b-cb7468fd3d9a"


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    async with open_payout_world(database) as world:
        yield world


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to; a refusal is what `gateway` says on standard error with status 1."""

    said: list[str]
    refused: str | None


@pytest.fixture
def gateway(database_url: str, capsys: pytest.CaptureFixture[str]) -> Gateway:
    """Runs `gateway payouts …` against the test's database, in this process."""
    settings = load_settings({"GATEWAY_DATABASE_URL": database_url})

    async def run(*arguments: str) -> Ran:
        options = build_parser().parse_args(["payouts", *arguments])
        capsys.readouterr()
        try:
            assert await do(settings, options) == 0
        except Refusal as refusal:
            return Ran([], str(refusal))
        lines = capsys.readouterr().out.splitlines()
        return Ran([line for line in lines if not re.match(r"\d{4}-\d\d-\d\d \d\d:", line)], None)

    return run


async def asked(paying: PayoutWorld, creator: Creator, *, cents: int) -> UUID:
    return (await request_payout(paying.billing, subject=creator.subject, amount_cents=cents)).id


async def needs_a_person(paying: PayoutWorld, creator: Creator, *, cents: int) -> UUID:
    """A payout whose key was used for another request."""
    payout_id = await asked(paying, creator, cents=cents)
    await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage="active")

    async def work(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO payout_attempt (payout_id, number, stripe_key, state, first_sent_at, last_sent_at, "
            "refusal_code) VALUES ($1, 1, $2, 'unknown', $3, $3, 'idempotency_error')",
            (payout_id, f"po:{payout_id}:1", paying.clock.now()),
        )
        await connection.execute("UPDATE payout SET state = 'unknown', attempts = 1 WHERE id = $1", (payout_id,))

    await paying.database.run(work)
    return payout_id


async def state_of(paying: PayoutWorld, payout_id: UUID) -> str:
    return (await Payout.get(id=payout_id, using_db=paying.database.orm)).state


async def test_payouts_are_listed_the_newest_first(paying: PayoutWorld, gateway: Gateway) -> None:
    ann, bob = await paying.creator(), await paying.creator()
    first = await asked(paying, ann, cents=2_000)
    assert await paying.work(first)
    await paying.advance(seconds=1)
    second = await asked(paying, bob, cents=123_00 // 3)

    every = await gateway("list")
    of_ann = await gateway("list", "--creator", ann.subject, "--json")
    requested = await gateway("list", "--state", "requested", "--json")
    none = await gateway("list", "--creator", "nobody")

    assert every.said == [
        f"requested  2026-11-29T09:00:01+00:00  {second}        $41.00  {bob.subject}",
        f"in_transit 2026-11-29T09:00:00+00:00  {first}        $20.00  {ann.subject}",
    ]
    (entry,) = map(json.loads, of_ann.said)
    assert (entry["id"], entry["amount_cents"], entry["state"], entry["manual"], entry["returned_cents"]) == (
        str(first),
        2_000,
        "in_transit",
        True,
        0,
    )
    assert [json.loads(line)["id"] for line in requested.said] == [str(second)]
    assert none.said == ["No payout fits."]
    await paying.assert_books()


async def test_one_is_shown_with_all_that_belongs_to_it(paying: PayoutWorld, gateway: Gateway) -> None:
    ann = await paying.creator()
    payout_id = await asked(paying, ann, cents=2_000)
    assert await paying.work(payout_id)
    transfer = (await paying.payout(ann)).transfer_id or ""
    await paying.door.control("transfers/reverse", transfer=transfer, amount=500)
    await settle_transfer(paying.billing, transfer_id=transfer)

    done = await gateway("show", str(payout_id))

    named = dict(line.split(maxsplit=1) for line in done.said)
    assert (named["state"], named["returned_cents"], named["transfer_id"]) == ("in_transit", "500", transfer)
    assert f"stripe_key=po:{payout_id}:1" in named["attempt"]
    assert "state=made" in named["attempt"]
    assert "amount_cents=500" in named["reversal"]
    booked = [line for line in done.said if line.startswith("ledger entry")]
    assert [f"idem=po:{payout_id}{end}" in line for line, end in zip(booked, ("  ", ":end", ":rev:"), strict=True)]
    assert len(booked) == 3
    assert "state=waiting" in named["job"]
    await paying.assert_books()


async def test_what_is_not_at_stripe_can_be_canceled_with_a_reason(paying: PayoutWorld, gateway: Gateway) -> None:
    ann = await paying.creator()
    payout_id = await asked(paying, ann, cents=2_000)

    with pytest.raises(SystemExit):
        await gateway("cancel", str(payout_id))
    done = await gateway("cancel", str(payout_id), "--reason", "Asked for by mistake.")
    again = await gateway("cancel", str(payout_id), "--reason", "Once more")

    assert done.said == [f"{payout_id} is canceled; $20.00 is available to {ann.subject} again."]
    assert again.refused == f"{payout_id} is canceled; only what is not at Stripe yet can be canceled."
    payout = await paying.payout(ann)
    assert (payout.state, payout.failure_message) == (
        "canceled",
        "Canceled: Asked for by mistake. The money is available again.",
    )
    assert await paying.balances(ann) == {"earn_available": 50 * DOLLAR}
    await paying.assert_books()


async def test_what_may_be_at_stripe_is_not_canceled(paying: PayoutWorld, gateway: Gateway) -> None:
    ann, bob = await paying.creator(), await paying.creator()
    unknown = await needs_a_person(paying, ann, cents=2_000)
    sent = await asked(paying, bob, cents=2_000)
    assert await paying.work(sent)

    first = await gateway("cancel", str(unknown), "--reason", "x")
    second = await gateway("cancel", str(sent), "--reason", "x")

    assert first.refused == f"{unknown} is unknown: Stripe may have been asked, so it cannot be canceled."
    assert second.refused == f"{sent} is in_transit; only what is not at Stripe yet can be canceled."
    assert (await state_of(paying, unknown), await state_of(paying, sent)) == ("unknown", "in_transit")
    await paying.assert_books()


async def test_a_payout_that_waits_for_a_person_is_listed_and_tried_again(
    paying: PayoutWorld, gateway: Gateway
) -> None:
    ann, bob = await paying.creator(), await paying.creator()
    waiting = await needs_a_person(paying, ann, cents=2_000)
    sent = await asked(paying, bob, cents=2_000)
    assert await paying.work(sent)

    stuck = await gateway("list", "--stuck")
    woken = await gateway("retry", str(waiting))
    anew = await gateway("retry", str(waiting), "--new-key")
    twice = await gateway("retry", str(waiting), "--new-key")
    ended = await gateway("retry", str(sent))

    assert str(waiting) in " ".join(stuck.said)
    assert woken.said == anew.said == [f"{waiting} is due now."]
    assert twice.refused == (f"{waiting} has no key that was used for another request; retry it without --new-key.")
    assert ended.refused == f"{sent} is in_transit; only what is under way can be retried."
    assert await paying.work(waiting)
    assert [(one.number, one.state) for one in await paying.attempts(waiting)] == [(1, "lapsed"), (2, "made")]
    assert len(await paying.transfers(waiting)) == 1
    await paying.assert_books()


async def test_a_new_key_never_makes_a_second_transfer(paying: PayoutWorld) -> None:
    ann = await paying.creator()
    payout_id = await needs_a_person(paying, ann, cents=2_000)
    made = await paying.billing.stripe.create_transfer(
        amount_cents=2_000, destination=ann.stripe_account_id, payout_id=str(payout_id), idempotency_key="by hand"
    )

    assert await retry_payout(paying.billing, payout_id, new_key=True)
    assert await paying.work(payout_id)

    assert (await paying.payout(ann)).transfer_id == made.transfer_id
    assert len(await paying.transfers(payout_id)) == 1
    await paying.assert_books()


async def test_what_was_put_aside_for_a_new_key_is_not_canceled_before_stripe_was_looked_at(
    paying: PayoutWorld, gateway: Gateway
) -> None:
    ann = await paying.creator()
    payout_id = await needs_a_person(paying, ann, cents=2_000)
    made = await paying.billing.stripe.create_transfer(
        amount_cents=2_000, destination=ann.stripe_account_id, payout_id=str(payout_id), idempotency_key="by hand"
    )
    assert await retry_payout(paying.billing, payout_id, new_key=True)

    canceled = await gateway("cancel", str(payout_id), "--reason", "Not needed.")
    assert await paying.work(payout_id)

    assert canceled.refused == f"{payout_id} is requested: Stripe may have been asked, so it cannot be canceled."
    assert (await paying.payout(ann)).transfer_id == made.transfer_id
    assert await paying.balances(ann) == {"earn_available": 30 * DOLLAR}
    await paying.assert_books()


async def test_stuck_is_what_takes_too_long_or_came_back(paying: PayoutWorld) -> None:
    ann, bob, cid = [await paying.creator() for _ in range(3)]
    waiting, sent, failed = [await asked(paying, one, cents=2_000) for one in (ann, bob, cid)]
    assert await paying.work(sent)
    assert await paying.work(failed)

    async def fail(connection: Connection) -> None:
        await connection.execute("UPDATE payout SET state = 'failed' WHERE id = $1", (failed,))

    async def stuck(after: timedelta) -> set[UUID]:
        now = paying.clock.now() + after
        return {one.id for one in await list_payouts(paying.database, now=now, stuck=True)}

    assert await stuck(timedelta(minutes=9)) == set()
    assert await stuck(timedelta(minutes=10)) == {waiting}
    assert await stuck(timedelta(days=10)) == {waiting, sent, failed}
    await paying.database.run(fail)
    assert await stuck(timedelta(minutes=1)) == {failed}, "a bank sent it back"


@pytest.mark.parametrize("doing", [["show"], ["cancel", "--reason", "x"], ["retry"], ["retry", "--new-key"]])
async def test_what_is_no_payout_is_a_sentence(gateway: Gateway, doing: list[str]) -> None:
    assert (await gateway(*doing, NOBODY)).refused == f"There is no payout {NOBODY}."


@pytest.mark.parametrize(
    "given", [["show", "x"], ["cancel", NOBODY, "--reason", " "], ["cancel", NOBODY, "--reason", "x" * 201]]
)
def test_what_is_neither_an_id_nor_a_reason_stops_at_the_door(given: list[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["payouts", *given])


def test_database_that_was_never_migrated_is_a_sentence(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "payouts", "list"],
        cwd=tmp_path,
        env={**environment, "GATEWAY_DATABASE_URL": f"sqlite://{tmp_path}/empty.db"},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "gateway migrate" in done.stderr
    assert "Traceback" not in done.stderr
