"""Many who want the same payment handed over at the same moment."""

import asyncio

from tests.support.gateway import Platform

MANY = 50


async def test_fifty_verifications_and_fifty_deliveries_credit_once(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(page.url)

    *answers, released = await asyncio.gather(
        *(ann.verify_deposit(page.session_id) for _ in range(MANY)),
        platform.stripe.control("events/release", copies=MANY // 2),
        platform.stripe.control("events/resend", type="checkout.session.completed", copies=MANY // 2),
    )

    assert released["deliveries"] == MANY // 2
    assert [answer.get("deposited") for answer in answers[:MANY]] == [True] * MANY
    assert {answer["wallet"]["balance"]["amountCents"] for answer in answers[:MANY]} == {"2500"}
    await platform.assert_true()
    assert await platform.effects() == 1
    assert await ann.balance_cents() == "2500"


async def test_fifty_verifications_and_fifty_deliveries_change_the_plan_once(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(page.url)

    answers = await asyncio.gather(
        *(ann.verify_checkout(page.session_id) for _ in range(MANY)),
        platform.stripe.control("events/release", copies=10, seed=7),
        platform.stripe.control("events/resend", type="checkout.session.completed", copies=MANY),
    )

    assert [answer.get("tier") for answer in answers[:MANY]] == ["PRO"] * MANY
    await platform.assert_true()
    assert [row["state"] for row in await platform.checkouts(ann.subject)] == ["settled"]
    assert len(await platform.database.fetch("SELECT id FROM subscription")) == 1
    assert await ann.tier() == "PRO"


async def test_an_event_delivered_fifty_times_is_stored_and_applied_once(by_hand: Platform) -> None:
    ann = by_hand.person()
    page = await ann.deposit_page("2500")
    await by_hand.stripe.control("events/hold")
    await by_hand.stripe.pay(page.url)

    await by_hand.stripe.control("events/resend", type="checkout.session.completed", copies=MANY)
    await by_hand.stripe.control("events/release")
    await by_hand.delivered()
    tried = await by_hand.work()

    (row,) = await by_hand.database.fetch("SELECT state, deliveries, attempts FROM stripe_event")
    assert (row["state"], row["attempts"]) == ("done", 1)
    assert tried == 1
    assert await ann.balance_cents() == "2500"
    await by_hand.assert_true()


async def test_a_verification_before_the_webhook_leaves_it_nothing_to_do(by_hand: Platform) -> None:
    ann = by_hand.person()
    page = await ann.deposit_page("2500")
    await by_hand.stripe.pay(page.url)
    await by_hand.delivered()

    verified = await ann.verify_deposit(page.session_id)
    await by_hand.work()

    assert verified["deposited"] is True
    assert await by_hand.events_in("done") == 1
    assert await by_hand.effects() == 1
    await by_hand.assert_true()


async def test_a_verification_after_the_webhook_answers_the_same(by_hand: Platform) -> None:
    ann = by_hand.person()
    page = await ann.deposit_page("2500")
    await by_hand.stripe.pay(page.url)
    await by_hand.delivered()

    await by_hand.work()
    await by_hand.stripe.forget_requests()
    verified = await ann.verify_deposit(page.session_id)

    assert verified["deposited"] is True
    assert await by_hand.stripe.requests() == []
    assert await by_hand.effects() == 1
    await by_hand.assert_true()


async def test_many_workers_share_an_inbox_and_apply_each_event_once(pair: Platform) -> None:
    people = [pair.person() for _ in range(10)]
    await pair.stripe.control("events/hold")
    for person in people:
        page = await person.deposit_page("700")
        await pair.stripe.pay(page.url)

    await pair.stripe.control("events/release", copies=3, seed=3)
    await pair.assert_true()

    assert [await person.balance_cents() for person in people] == ["700"] * len(people)
    assert await pair.effects() == len(people)


async def test_two_gateways_verify_the_same_payments_side_by_side(pair: Platform) -> None:
    ann, same_ann = pair.person("ann"), pair.person("ann", node=1)
    deposit = await ann.deposit_page("2500")
    plan = await same_ann.checkout_page("PRO", "MONTHLY")
    await asyncio.gather(pair.stripe.pay(deposit.url), pair.stripe.pay(plan.url))

    deposits = await asyncio.gather(
        *(person.verify_deposit(deposit.session_id) for person in (ann, same_ann) * (MANY // 2))
    )
    plans = await asyncio.gather(*(person.verify_checkout(plan.session_id) for person in (ann, same_ann) * 10))

    assert [answer.get("deposited") for answer in deposits] == [True] * MANY
    assert [answer.get("tier") for answer in plans] == ["PRO"] * 20
    await pair.assert_true()
    assert await same_ann.balance_cents() == "2500"
    assert await pair.effects() == 1
