"""The last stretch of a payout: which of Stripe's payouts carries it to the bank, and how often that may change."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.db import Connection
from gateway.services.events.applying import apply_event
from gateway.services.events.inbox import claim_events, store_event
from gateway.services.payouts import follow_bank_payouts, request_payout, settle_bank_payout
from gateway.services.payouts.following import LOOK_EVERY
from gateway.stripe_service import StripeBankPayout, StripeService, WebhookEvent
from models.bank_payout import BankPayout
from models.payout import Payout
from models.stripe_event import EventState
from tests.support.payouts import DOLLAR, Creator, PayoutWorld
from tests.support.reading import find_payout, payout_settings

Json = dict[str, Any]


async def sent(paying: PayoutWorld, creator: Creator) -> Payout:
    """A payout whose money is in the creator's balance at Stripe."""
    view = await request_payout(paying.billing, subject=creator.subject)
    assert await paying.work(view.id)
    return await Payout.get(id=view.id, using_db=paying.database.orm)


async def paid_out(paying: PayoutWorld, creator: Creator) -> str:
    """Stripe's schedule pays out all the creator has there; the id of that payout."""
    await paying.door.control("balance/available", account=creator.stripe_account_id)
    made = await paying.door.control("payouts/create", account=creator.stripe_account_id, automatic=True)
    return str(made["id"])


async def settle(paying: PayoutWorld, creator: Creator, bank_payout: str) -> None:
    assert await settle_bank_payout(
        paying.billing, stripe_account_id=creator.stripe_account_id, bank_payout_id=bank_payout
    )


async def seen(paying: PayoutWorld, payout: Payout) -> tuple[str, str | None]:
    now = await Payout.get(id=payout.id, using_db=paying.database.orm)
    return now.state, now.failure_code


async def test_what_the_bank_took_is_paid_and_has_arrived(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await settle(paying, creator, bank_payout)
    assert await seen(paying, payout) == ("in_transit", None)

    arrived = await paying.door.control("payouts/arrive", payout=bank_payout)
    await settle(paying, creator, bank_payout)
    await settle(paying, creator, bank_payout)

    view = await find_payout(paying.billing, creator.subject, payout.id)
    assert view is not None
    assert (view.state, view.failure_message) == ("paid", None)
    assert view.arrival_at is not None
    assert int(view.arrival_at.timestamp()) == arrived["arrival_date"]
    await paying.assert_books()


async def test_one_payment_to_the_bank_carries_two_payouts(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    first = await sent(paying, creator)
    await paying.earn(creator, micros=20 * DOLLAR)
    second = await sent(paying, creator)

    bank_payout = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)
    await settle(paying, creator, bank_payout)

    assert await seen(paying, first) == ("paid", None)
    assert await seen(paying, second) == ("paid", None)
    await paying.assert_books()


async def test_what_the_bank_refused_is_sent_again_to_another_bank_account(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    first = await paid_out(paying, creator)
    await paying.door.control("payouts/fail", payout=first, reason="account_closed")
    await settle(paying, creator, first)
    assert await seen(paying, payout) == ("failed", "account_closed")
    view = await find_payout(paying.billing, creator.subject, payout.id)
    assert view is not None
    assert view.failure_message == (
        "The bank refused the payment (account_closed). The money is in your Stripe account: give another bank account "
        "there, and Stripe sends it again."
    )
    assert await paying.balances(creator) == {}, "the money is the creator's at Stripe, not available here twice"

    await paying.door.control("accounts/bank", account=creator.stripe_account_id)
    second = await paid_out(paying, creator)
    await settle(paying, creator, second)
    assert await seen(paying, payout) == ("in_transit", None)
    await paying.door.control("payouts/arrive", payout=second)
    await settle(paying, creator, second)
    await settle(paying, creator, first)

    assert await seen(paying, payout) == ("paid", None), "a late word of the first does not undo the second"
    await paying.assert_books()


async def test_a_paid_payout_that_the_bank_sends_back_later_is_failed(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)
    await settle(paying, creator, bank_payout)
    assert await seen(paying, payout) == ("paid", None)

    await paying.door.control("payouts/fail", payout=bank_payout, reason="no_account")
    await settle(paying, creator, bank_payout)

    assert await seen(paying, payout) == ("failed", "no_account")
    await paying.assert_books()


async def test_the_second_try_may_be_heard_of_before_the_first(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    first = await paid_out(paying, creator)
    await paying.door.control("payouts/fail", payout=first)
    await paying.door.control("accounts/bank", account=creator.stripe_account_id)
    second = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=second)

    await settle(paying, creator, second)

    assert await seen(paying, payout) == ("paid", None)
    await settle(paying, creator, first)
    assert await seen(paying, payout) == ("paid", None)
    await paying.assert_books()


async def test_an_older_look_changes_nothing(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await settle(paying, creator, bank_payout)
    later = 1_000_000

    async def write(connection: Connection) -> None:
        await BankPayout.filter(id=bank_payout).using_db(connection.orm).update(applied_ticket=later)

    await paying.database.run(write)
    await paying.door.control("payouts/arrive", payout=bank_payout)

    await settle(paying, creator, bank_payout)

    assert await seen(paying, payout) == ("in_transit", None)
    await paying.assert_books()


async def test_what_came_back_to_the_platform_whole_is_never_paid(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await paying.door.control("transfers/reverse", transfer=payout.transfer_id)
    await store(paying, "transfer.reversed", payout.transfer_id or "", account=None)
    await paying.door.control("payouts/arrive", payout=bank_payout)

    await settle(paying, creator, bank_payout)

    assert await seen(paying, payout) == ("failed", "transfer_reversed")
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    await paying.assert_books()


async def test_a_look_now_and_then_finds_what_no_event_told(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)

    assert await follow_bank_payouts(paying.billing) is False

    assert await seen(paying, payout) == ("paid", None)
    await paying.door.forget_requests()
    await follow_bank_payouts(paying.billing)
    assert await paying.door.requests("/v1/payouts") == [], "nothing is left to ask about"
    await paying.assert_books()


async def test_a_look_once_a_day_finds_what_a_bank_sent_back_after_it_was_paid(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)
    await follow_bank_payouts(paying.billing)
    assert await seen(paying, payout) == ("paid", None)

    await paying.door.control("payouts/fail", payout=bank_payout, reason="no_account")
    await paying.advance(hours=23)
    await follow_bank_payouts(paying.billing)
    assert await seen(paying, payout) == ("paid", None), "its account was asked today"
    await paying.advance(hours=1)
    await follow_bank_payouts(paying.billing)

    assert await seen(paying, payout) == ("failed", "no_account")
    await paying.assert_books()


async def test_what_was_paid_two_weeks_ago_is_not_asked_about_any_more(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)
    await settle(paying, creator, bank_payout)

    asked: list[int] = []
    for days in (13, 1, 30):
        await paying.advance(days=days)
        await paying.door.forget_requests()
        await follow_bank_payouts(paying.billing)
        asked.append(len(await paying.door.requests("/v1/payouts")))

    assert asked == [1, 0, 0]
    await paying.assert_books()


async def test_an_account_is_asked_once_an_hour_while_money_is_on_its_way(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    await sent(paying, creator)
    await paying.door.forget_requests()

    await follow_bank_payouts(paying.billing)
    await follow_bank_payouts(paying.billing)
    assert len(await paying.door.requests("/v1/payouts")) == 1

    await paying.advance(seconds=LOOK_EVERY / timedelta(seconds=1))
    await follow_bank_payouts(paying.billing)
    assert len(await paying.door.requests("/v1/payouts")) == 2
    await paying.assert_books()


async def test_a_silent_stripe_keeps_other_accounts_from_nothing(paying: PayoutWorld) -> None:
    first, second = await paying.creator(cents=5_000), await paying.creator(cents=5_000)
    payouts = [await sent(paying, first), await sent(paying, second)]
    for creator in (first, second):
        await paying.door.control("payouts/arrive", payout=await paid_out(paying, creator))
    await paying.door.fault("/v1/payouts", "status_500", count=1)

    await follow_bank_payouts(paying.billing)

    assert sorted([(await seen(paying, payout))[0] for payout in payouts]) == ["in_transit", "paid"]
    await paying.assert_books()


async def test_events_of_the_account_settle_its_payouts(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)

    state = await store(paying, "payout.paid", bank_payout, account=creator.stripe_account_id)

    assert state is EventState.DONE
    assert await seen(paying, payout) == ("paid", None)
    await paying.assert_books()


async def test_events_of_strangers_and_of_the_platforms_own_payouts_are_ignored(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)

    assert await store(paying, "payout.paid", bank_payout, account="acct_stranger") is EventState.IGNORED
    assert await store(paying, "payout.paid", bank_payout, account=None) is EventState.IGNORED
    assert await store(paying, "payout.paid", "po_nobody", account=creator.stripe_account_id) is EventState.IGNORED

    assert await seen(paying, payout) == ("in_transit", None)
    await paying.assert_books()


class Canceled(StripeService):
    """Stripe after its support has stopped a payment."""

    async def retrieve_bank_payout(self, payout_id: str, *, account: str) -> StripeBankPayout | None:
        found = await super().retrieve_bank_payout(payout_id, account=account)
        return None if found is None else replace(found, status="canceled")


async def test_a_payment_that_was_canceled_is_not_said_to_be_refused_by_the_bank(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await sent(paying, creator)
    bank_payout = await paid_out(paying, creator)

    await settle(paying.beside(stripe=Canceled(paying.billing.stripe.connection)), creator, bank_payout)

    now = await Payout.get(id=payout.id, using_db=paying.database.orm)
    assert (now.state, now.failure_code) == ("failed", "canceled")
    assert now.failure_message == (
        "The payment to the bank was canceled. The money is in your Stripe account, and Stripe sends it with the next "
        "one."
    )
    await paying.assert_books()


@pytest.mark.parametrize("newest", ["failed", "paid"])
async def test_only_what_the_bank_said_last_stands_in_the_way(paying: PayoutWorld, newest: str) -> None:
    creator = await paying.creator(cents=5_000)

    async def plant(connection: Connection) -> None:
        now = paying.clock.now()
        older = "paid" if newest == "failed" else "failed"
        for days, status in ((2, older), (1, newest)):
            await connection.execute(
                "INSERT INTO bank_payout (id, connected_account_id, status, amount_minor, currency, failure_code, "
                "applied_ticket, synced_at, created_at) VALUES ($1, $2, $3, 1, 'usd', $4, 1, $5, $6)",
                (f"po_{status}", creator.account_id, status, f"{status}_code", now, now - timedelta(days=days)),
            )
        await connection.execute(
            "UPDATE connected_account SET status = 'restricted' WHERE id = $1", (creator.account_id,)
        )

    await paying.database.run(plant)

    (blocker,) = (await payout_settings(paying.billing, creator.subject)).blockers
    assert (
        blocker.message
        == {
            "failed": "The bank refused the last payment (failed_code); give another bank account.",
            "paid": "Stripe has restricted the payout account.",
        }[newest]
    )


async def store(paying: PayoutWorld, type_: str, object_id: str, *, account: str | None) -> EventState:
    """An event comes in and is applied."""
    now = paying.clock.now()
    event = WebhookEvent(
        event_id=f"evt_{type_}_{object_id}_{account}".replace(".", "_"),
        type=type_,
        object_id=object_id,
        object_type="payout",
        account=account,
        api_version=None,
        livemode=False,
        created_at=now,
        payload="{}",
    )
    await store_event(paying.database, event, now=now)
    (claimed,) = await claim_events(paying.database, now=now, limit=10)
    return await apply_event(paying.billing, claimed)
