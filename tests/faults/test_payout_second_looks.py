"""A refusal of a transfer that was asked for before: the first one may have been made, so nothing is given back yet."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from gateway.db import Connection, Database
from gateway.domain.errors import ProviderMisconfigured, ProviderRejected
from gateway.services.jobs import Job, LeaseLost
from gateway.services.jobs.table import JobTable
from gateway.services.payouts import advance_payout, cancel_payout, do_payout_job, request_payout
from gateway.services.payouts.by_hand import retry_payout
from gateway.stripe_service import open_stripe
from models.payout import Payout
from tests.support.odd_stripe import OddDay, OddStripe
from tests.support.payouts import DOLLAR, Creator, PayoutWorld, open_payout_world
from tests.support.stripe_door import API_KEY

NOT_LET_IN = ProviderMisconfigured(
    "The payment provider refused the request.", provider_code="more_permissions_required"
)
ACCOUNT_INVALID = ProviderMisconfigured("The payment provider refused the request.", provider_code="account_invalid")
NO_SUCH_ACCOUNT = ProviderRejected("The payment provider refused the request.", provider_code="resource_missing")


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    async with open_payout_world(database) as world:
        yield world


def odd(paying: PayoutWorld) -> tuple[PayoutWorld, OddDay]:
    day = OddDay(paying.clock)
    return paying.beside(stripe=OddStripe(paying.billing.stripe.connection, day)), day


async def made_and_not_known(paying: PayoutWorld) -> tuple[Creator, Payout, PayoutWorld, OddDay]:
    """A transfer whose answer was lost, and which no list shows yet."""
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)
    node, day = odd(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await node.work(view.id)
    assert len(await paying.transfers(view.id)) == 1
    await paying.advance(minutes=1)
    day.lags = True
    return creator, await paying.payout(creator), node, day


async def standing(paying: PayoutWorld, creator: Creator) -> tuple[str, str | None, list[str]]:
    payout = await paying.payout(creator)
    return payout.state, payout.waits_for, [one.state for one in await paying.attempts(payout.id)]


async def test_a_key_that_is_not_let_in_any_more_ends_no_attempt(paying: PayoutWorld) -> None:
    creator, payout, node, day = await made_and_not_known(paying)

    day.refusal = NOT_LET_IN
    assert not await node.work(payout.id)

    assert await standing(paying, creator) == ("unknown", "operator", ["unknown"])
    assert (await paying.payout(creator)).due_at == paying.clock.now() + timedelta(minutes=15)
    assert not await cancel_payout(node.billing, payout.id)
    assert not await retry_payout(node.billing, payout.id, new_key=True)
    assert await paying.balances(creator) == {"transit": 50 * DOLLAR}

    day.refusal = None
    await paying.advance(minutes=15)
    assert await node.work(payout.id)
    assert len(await paying.transfers(payout.id)) == 1
    assert await standing(paying, creator) == ("in_transit", None, ["made"])
    await paying.assert_books()


async def test_a_key_that_was_never_let_in_is_tried_again_under_the_same_name(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)
    node, day = odd(paying)

    day.refusal = NOT_LET_IN
    for _ in range(3):
        assert not await node.work(view.id)
        await paying.advance(minutes=15)
    day.refusal = None

    assert await node.work(view.id)
    assert await standing(paying, creator) == ("in_transit", None, ["made"])
    await paying.assert_books()


@pytest.mark.parametrize("refusal", [ACCOUNT_INVALID, NO_SUCH_ACCOUNT], ids=["account_invalid", "resource_missing"])
async def test_a_refused_resend_waits_for_another_look_which_finds_the_first(
    paying: PayoutWorld, refusal: ProviderRejected
) -> None:
    creator, payout, node, day = await made_and_not_known(paying)

    day.refusal = refusal
    assert not await node.work(payout.id)
    assert await standing(paying, creator) == ("unknown", None, ["unknown"])
    assert not await cancel_payout(node.billing, payout.id)
    assert not await retry_payout(node.billing, payout.id, new_key=True)
    await paying.advance(minutes=59)
    assert not await node.work(payout.id)
    assert await paying.balances(creator) == {"transit": 50 * DOLLAR}

    day.lags = False
    await paying.advance(minutes=1)
    assert await node.work(payout.id)
    assert len(await paying.transfers(payout.id)) == 1
    assert await standing(paying, creator) == ("in_transit", None, ["made"])
    assert await paying.balances(creator) == {}
    await paying.assert_books()


async def test_a_lost_answer_is_never_asked_for_again_within_the_same_send(paying: PayoutWorld) -> None:
    """What the client repeats by itself would be a second send that nobody counted, and its refusal believed.

    Stripe may refuse before it looks at the key; here it has none to look at.
    """
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)

    async def account_is_refused_meanwhile(_seconds: float) -> None:
        await paying.door.control("idempotency_keys/forget")
        await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage="rejected")

    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    async with open_stripe(
        api_key=API_KEY, api_base=paying.door.url, max_network_retries=2, sleep=account_is_refused_meanwhile
    ) as persistent:
        assert not await paying.beside(stripe=persistent).work(view.id)
    assert await standing(paying, creator) == ("unknown", None, ["unknown"])
    assert await paying.balances(creator) == {"transit": 50 * DOLLAR}

    await paying.advance(minutes=1)
    assert await paying.work(view.id)
    assert len(await paying.transfers(view.id)) == 1
    assert len(await paying.door.requests("/v1/transfers", method="POST")) == 1
    assert await standing(paying, creator) == ("in_transit", None, ["made"])
    assert await paying.balances(creator) == {}
    await paying.assert_books()


async def test_a_refused_resend_gives_the_money_back_after_another_look_that_finds_nothing(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)
    node, day = odd(paying)
    await paying.door.fault("/v1/transfers", "drop_before", method="POST")
    assert not await node.work(view.id)
    await paying.advance(minutes=1)

    day.refusal = ACCOUNT_INVALID
    assert not await node.work(view.id)
    refused_at = paying.clock.now()
    await paying.advance(minutes=59)
    assert not await node.work(view.id)
    assert (await paying.payout(creator)).due_at == refused_at + timedelta(hours=1)
    await paying.advance(minutes=1)
    assert await node.work(view.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.failure_code) == ("failed", "account_invalid")
    assert [(one.state, one.sends) for one in await paying.attempts(view.id)] == [("refused", 2)]
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    await paying.assert_books()


async def test_a_first_send_that_is_refused_late_says_nothing_of_the_second(paying: PayoutWorld) -> None:
    """One worker's only send is refused when another has sent again meanwhile."""
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)

    class SentAgainMeanwhile(OddStripe):
        async def create_transfer(self, **order: object) -> object:  # type: ignore[override]  # whatever is asked
            await paying.door.fault("/v1/transfers", "drop_after", method="POST")
            await advance_payout(paying.billing, view.id)
            raise ACCOUNT_INVALID

    slow = paying.beside(stripe=SentAgainMeanwhile(paying.billing.stripe.connection, OddDay(paying.clock)))
    assert not await slow.work(view.id)

    assert await standing(paying, creator) == ("unknown", None, ["unknown"])
    await paying.advance(hours=1)
    assert await paying.work(view.id)
    assert len(await paying.transfers(view.id)) == 1
    assert await standing(paying, creator) == ("in_transit", None, ["made"])
    await paying.assert_books()


async def test_a_transfer_by_hand_without_our_name_is_booked_with_what_came_back(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)
    await paying.door.fault("/v1/transfers", "drop_before", method="POST")
    assert not await paying.work(view.id)
    made = await paying.door.api(
        "POST",
        "/v1/transfers",
        amount="5000",
        currency="usd",
        destination=creator.stripe_account_id,
        transfer_group=str(view.id),
    )
    await paying.door.control("transfers/reverse", transfer=made["id"], amount=100)
    await paying.advance(minutes=1)

    assert await paying.work(view.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.transfer_id, payout.returned_cents) == ("in_transit", made["id"], 100)
    assert await paying.balances(creator) == {"earn_available": DOLLAR}
    await paying.assert_books()


async def test_a_worker_whose_job_was_taken_over_books_nothing(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)
    table = JobTable(paying.clock)

    async def claim(connection: Connection) -> list[Job]:
        return await table.claim(connection, limit=1)

    (slow,) = await paying.database.run(claim)
    held = await table.held(paying.database)
    await paying.database.run(lambda connection: table.reclaim(connection, held))
    (quick,) = await paying.database.run(claim)

    with pytest.raises(LeaseLost):
        await do_payout_job(paying.billing, slow)
    assert (await paying.payout(creator)).state == "processing"
    assert await paying.balances(creator) == {"transit": 50 * DOLLAR}

    await do_payout_job(paying.billing, quick)
    assert (await paying.payout(creator)).state == "in_transit"
    (job,) = await paying.database.fetch("SELECT state FROM job")
    assert job["state"] == "done"
    assert len(await paying.transfers(view.id)) == 1
    await paying.assert_books()


async def test_looks_that_fail_come_less_and_less_often(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)
    await paying.door.fault("/v1/transfers", "drop_before", method="POST")
    assert not await paying.work(view.id)

    seconds: list[float] = []
    for _ in range(10):
        await paying.door.fault("/v1/transfers", "status_500", method="GET")
        due_at = (await paying.payout(creator)).due_at
        assert due_at is not None
        await paying.advance(seconds=(due_at - paying.clock.now()).total_seconds())
        assert not await paying.work(view.id)
        due_at = (await paying.payout(creator)).due_at
        assert due_at is not None
        seconds.append((due_at - paying.clock.now()).total_seconds())

    assert seconds == [15, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    await paying.door.control("faults/clear")
    await paying.advance(hours=1)
    assert await paying.work(view.id)
    assert len(await paying.transfers(view.id)) == 1
    await paying.assert_books()


async def test_nothing_is_logged_as_failed_while_it_is_not(paying: PayoutWorld) -> None:
    _, payout, node, day = await made_and_not_known(paying)
    day.refusal = ACCOUNT_INVALID

    with capture_logs() as logs:
        assert not await node.work(payout.id)

    assert [entry["event"] for entry in logs if entry["event"].startswith("payout.")] == ["payout.refused"]
