"""Events whose effect cannot be had at once: tried again until they are true, and nobody else waits for them."""

import pytest

from tests.support.gateway import Platform, eventually

ENOUGH = 3
SESSION = "regex:^/v1/checkout/sessions/cs_"
SUBSCRIPTIONS = "regex:^/v1/subscriptions$"


async def attempts(platform: Platform) -> list[tuple[object, object]]:
    rows = await platform.database.fetch("SELECT state, attempts FROM stripe_event ORDER BY received_at, id")
    return [(row["state"], row["attempts"]) for row in rows]


@pytest.mark.parametrize("kind", ["status_500", "timeout_before", "timeout_after", "cut_body", "status_429"])
async def test_an_event_that_fails_is_tried_again_when_its_time_comes(platform: Platform, kind: str) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await platform.stripe.pay(page.url)
    await platform.delivered()
    await platform.stripe.fault(SESSION, kind, count=ENOUGH)

    first = await platform.work()
    failed = await attempts(platform)
    too_early = await platform.work()
    await platform.stripe.control("faults/clear")
    await platform.advance(seconds=1)
    second = await platform.work()

    assert (first, too_early, second) == (1, 0, 1)
    assert failed == [("new", 1)]
    assert await attempts(platform) == [("done", 2)]
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


async def test_the_pauses_between_tries_double(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page("2500")
    await each.stripe.pay(page.url)
    await each.delivered()
    await each.stripe.fault(SESSION, "status_500", count=1000)

    for seconds in (0.5, 1, 2, 4):
        assert await each.work() == 1
        await each.advance(seconds=seconds - 0.001)
        assert await each.work() == 0
        await each.advance(seconds=0.001)
    await each.stripe.control("faults/clear")

    assert await each.work() == 1
    assert await attempts(each) == [("done", 5)]
    await each.assert_true()


async def test_an_event_given_up_after_three_days_is_taken_up_when_stripe_sends_it_again(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page("2500")
    await each.stripe.pay(page.url)
    await each.delivered()
    await each.stripe.fault(SESSION, "status_500", count=1000)
    for number in range(1, 10):
        assert await each.work() == 1
        assert await attempts(each) == [("new", number)]
        await each.advance(hours=8)
    assert await each.work() == 1
    given_up = await attempts(each)
    await each.advance(hours=12)
    await each.stripe.control("faults/clear")
    assert await each.work() == 0

    await each.stripe.control("events/resend", type="checkout.session.completed")
    await each.settled()

    assert given_up == [("dead", 10)]
    assert await ann.balance_cents() == "2500"
    await each.assert_true()


async def test_an_event_that_cannot_be_applied_blocks_nobody(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    stuck, free = await ann.deposit_page("2500"), await bob.deposit_page("700")
    await platform.stripe.fault(f"/v1/checkout/sessions/{stuck.session_id}", "status_500", count=1000)
    for page in (stuck, free):
        await platform.stripe.pay(page.url)
    await platform.delivered()

    await platform.work()

    assert (await ann.balance_cents(), await bob.balance_cents()) == ("0", "700")
    await platform.stripe.control("faults/clear")
    await platform.advance(seconds=1)
    await platform.assert_true()
    assert await ann.balance_cents() == "2500"


async def test_a_plan_that_could_not_be_looked_up_is_held_later(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("PRO")
    await platform.stripe.pay(page.url)
    await platform.delivered()
    await platform.stripe.fault(SUBSCRIPTIONS, "status_500", count=1000)

    await platform.work()
    before = await ann.tier()
    await platform.stripe.control("faults/clear")
    await platform.advance(seconds=1)
    await platform.work()

    assert before == "FREE"
    assert await ann.tier() == "PRO"
    await platform.assert_true()


async def test_the_worker_heals_by_itself(by_itself: Platform) -> None:
    ann = by_itself.person()
    deposit, plan = await ann.deposit_page("2500"), await ann.checkout_page("PRO")
    await by_itself.stripe.fault(SESSION, "status_500", count=2 * ENOUGH)
    await by_itself.stripe.fault(SUBSCRIPTIONS, "cut_body", count=ENOUGH)

    await by_itself.stripe.pay(deposit.url)
    await by_itself.stripe.pay(plan.url)

    async def all_is_true() -> None:
        assert (await ann.balance_cents(), await ann.tier()) == ("2500", "PRO")

    await eventually(all_is_true)
    await by_itself.assert_true()
