"""Transfers that come back, in parts or whole, told of in any order: booked once each, never more than was sent."""

import asyncio

from structlog.testing import capture_logs

from gateway.domain.ledger import STRIPE
from gateway.services.events.applying import apply_event
from gateway.services.events.inbox import claim_events, store_event
from gateway.services.ledger import balance
from gateway.services.payouts import request_payout, settle_transfer
from gateway.stripe_service import WebhookEvent
from models.payout import Payout
from models.stripe_event import EventState
from tests.support.payouts import DOLLAR, Creator, PayoutWorld
from tests.support.reading import find_payout


async def sent(paying: PayoutWorld) -> tuple[Creator, Payout]:
    creator = await paying.creator(cents=5_000)
    view = await request_payout(paying.billing, subject=creator.subject)
    assert await paying.work(view.id)
    return creator, await paying.payout(creator)


async def settle(paying: PayoutWorld, payout: Payout) -> None:
    assert payout.transfer_id is not None
    assert await settle_transfer(paying.billing, transfer_id=payout.transfer_id)


async def take_back(paying: PayoutWorld, payout: Payout, cents: int) -> None:
    await paying.door.control("transfers/reverse", transfer=payout.transfer_id, amount=cents)


async def test_two_parts_and_the_rest_come_back_once_each(paying: PayoutWorld) -> None:
    creator, payout = await sent(paying)
    before = await balance(paying.database, STRIPE)
    await take_back(paying, payout, 1_000)
    await settle(paying, payout)
    await settle(paying, payout)
    assert await paying.balances(creator) == {"earn_available": 10 * DOLLAR}
    assert (await paying.payout(creator)).state == "in_transit"

    await take_back(paying, payout, 500)
    await take_back(paying, payout, 3_500)
    await settle(paying, payout)
    await settle(paying, payout)

    view = await find_payout(paying.billing, creator.subject, payout.id)
    assert view is not None
    assert (view.returned_cents, view.state) == (5_000, "failed")
    assert view.failure_message is not None
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    assert await balance(paying.database, STRIPE) == before - 50 * DOLLAR
    assert await paying.statement(creator) == sorted(
        [
            ("PAYOUT", -50 * DOLLAR),
            *(("PAYOUT_RETURNED", cents * DOLLAR // 100) for cents in (1_000, 500, 3_500)),
        ]
    )
    again = await request_payout(paying.billing, subject=creator.subject)
    assert await paying.work(again.id)
    await paying.assert_books()


async def test_many_reversals_told_at_once_are_each_booked_once(paying: PayoutWorld) -> None:
    creator, payout = await sent(paying)
    for _ in range(13):
        await take_back(paying, payout, 7)

    await asyncio.gather(*(settle(paying, payout) for _ in range(5)))

    assert (await paying.payout(creator)).returned_cents == 91
    assert await paying.balances(creator) == {"earn_available": 910_000}
    await paying.assert_books()


async def test_a_transfer_nobody_has_recorded_is_recorded_with_what_came_back_of_it(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    view = await request_payout(paying.billing, subject=creator.subject)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await paying.work(view.id)
    (transfer,) = await paying.transfers(view.id)
    await paying.door.control("transfers/reverse", transfer=transfer["id"], amount=2_000)

    assert await settle_transfer(paying.billing, transfer_id=transfer["id"])

    payout = await paying.payout(creator)
    assert (payout.state, payout.transfer_id, payout.returned_cents) == ("in_transit", transfer["id"], 2_000)
    assert [one.state for one in await paying.attempts(payout.id)] == ["made"]
    assert await paying.work(payout.id)
    assert await paying.balances(creator) == {"earn_available": 20 * DOLLAR}
    await paying.assert_books()


async def test_transfers_of_others_are_none_of_ours(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    for metadata in ({}, {"metadata[gateway_payout]": "x"}, {"metadata[gateway_payout]": str(creator.id)}):
        made = await paying.door.api(
            "POST", "/v1/transfers", amount="500", currency="usd", destination=creator.stripe_account_id, **metadata
        )
        assert not await settle_transfer(paying.billing, transfer_id=made["id"])
    assert not await settle_transfer(paying.billing, transfer_id="tr_unknown")
    assert not await settle_transfer(paying.billing, transfer_id="")
    await paying.assert_books()


async def test_events_of_a_second_transfer_are_closed_and_tell_of_it_while_it_stands(paying: PayoutWorld) -> None:
    creator, payout = await sent(paying)
    second = await paying.billing.stripe.create_transfer(
        amount_cents=5_000,
        destination=creator.stripe_account_id,
        payout_id=str(payout.id),
        idempotency_key="by hand",
    )

    told: list[list[dict[str, object]]] = []
    for kind, cents in (("transfer.created", 0), ("transfer.updated", 2_000), ("transfer.reversed", 3_000)):
        if cents:
            await paying.door.control("transfers/reverse", transfer=second.transfer_id, amount=cents)
        with capture_logs() as logs:
            assert await apply(paying, kind, second.transfer_id) is EventState.DONE
        told.append([dict(entry) for entry in logs if entry["event"].startswith("payout.")])

    twice = {
        "event": "payout.transferred_twice",
        "log_level": "error",
        "payout_id": str(payout.id),
        "booked": payout.transfer_id,
        "others": [second.transfer_id],
    }
    assert told == [[twice], [twice], []]
    after = await paying.payout(creator)
    assert (after.state, after.transfer_id, after.returned_cents) == ("in_transit", payout.transfer_id, 0)
    assert await paying.balances(creator) == {}
    await paying.assert_books()


async def apply(paying: PayoutWorld, kind: str, transfer_id: str) -> EventState:
    """An event of a transfer comes in and is applied."""
    now = paying.clock.now()
    event = WebhookEvent(
        event_id=f"evt_{kind}_{transfer_id}".replace(".", "_"),
        type=kind,
        object_id=transfer_id,
        object_type="transfer",
        account=None,
        created_at=now,
        api_version=None,
        livemode=False,
        payload="{}",
    )
    await store_event(paying.database, event, now=now)
    (claimed,) = await claim_events(paying.database, now=now, limit=10)
    return await apply_event(paying.billing, claimed)


async def test_events_of_a_transfer_are_pointers_and_close_with_their_effect(paying: PayoutWorld) -> None:
    creator, payout = await sent(paying)
    await take_back(paying, payout, 1_000)
    for number, (kind, object_id) in enumerate(
        [
            ("transfer.reversed", payout.transfer_id),
            ("transfer.updated", payout.transfer_id),
            ("transfer.created", payout.transfer_id),
            ("transfer.reversed", "tr_foreign"),
        ]
    ):
        event = WebhookEvent(
            event_id=f"evt_{number}",
            type=kind,
            object_id=object_id,
            object_type="transfer",
            account=None,
            created_at=paying.clock.now(),
            api_version=None,
            livemode=False,
            payload="{}",
        )
        await store_event(paying.database, event, now=paying.clock.now())

    claimed = await claim_events(paying.database, now=paying.clock.now(), limit=10)
    states = {event.event_id: await apply_event(paying.billing, event) for event in claimed}

    assert states == {
        "evt_0": EventState.DONE,
        "evt_1": EventState.DONE,
        "evt_2": EventState.DONE,
        "evt_3": EventState.IGNORED,
    }
    rows = await paying.database.fetch("SELECT state FROM stripe_event ORDER BY id")
    assert [row["state"] for row in rows] == ["done", "done", "done", "ignored"]
    assert await paying.balances(creator) == {"earn_available": 10 * DOLLAR}
    await paying.assert_books()
