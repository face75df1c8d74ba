"""Purchases whose end nobody told us: looked at again, ever less often, until they have one."""

from datetime import timedelta

import pytest
import structlog

from gateway.db.rows import moment
from gateway.domain.plans import BillingInterval, Tier
from gateway.services.purchases.checkout import start_checkout
from gateway.services.purchases.stale import LOOKED_AT_MAX, LOOKS_APART_MAX, pause_after, sweep_checkouts
from gateway.services.unanswered import SILENCES_A_ROUND_MAX
from tests.support.gateway import Platform
from tests.support.person import APP, Person
from tests.support.stripe_door import FAILS_LATER, PAYS_LATER, Json
from tests.support.weather import Poison

SESSIONS = "/v1/checkout/sessions"


async def nothing_is_delivered(platform: Platform) -> None:
    await platform.stripe.control("events/hold")


async def state_of(platform: Platform, person: Person) -> str:
    (row,) = await platform.checkouts(person.subject)
    return row["state"]


async def looks(platform: Platform) -> list[Json]:
    rows = await platform.database.fetch("SELECT state, looks FROM checkout ORDER BY created_at, id")
    return [dict(row) for row in rows]


async def sweep_after(platform: Platform, **by: float) -> bool:
    await platform.advance(**by)
    return await sweep_checkouts(platform.billing)


async def test_a_paid_deposit_is_credited_ten_minutes_later_at_the_latest(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await nothing_is_delivered(platform)
    await platform.stripe.pay(page.url)

    await sweep_after(platform, minutes=10, seconds=-1)
    before = await ann.balance_cents()
    await sweep_after(platform, seconds=1)

    assert (before, await ann.balance_cents()) == ("0", "2500")
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_a_paid_plan_is_held(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("PRO")
    await nothing_is_delivered(platform)
    await platform.stripe.pay(page.url)

    await sweep_after(platform, minutes=10)

    assert await ann.tier() == "PRO"
    assert await state_of(platform, ann) == "settled"


async def test_a_page_left_open_is_closed_when_its_day_is_over(platform: Platform) -> None:
    ann = platform.person()
    await ann.deposit_page("2500")
    await nothing_is_delivered(platform)

    for _ in range(10):
        await sweep_after(platform, hours=4)

    assert await state_of(platform, ann) == "expired"


@pytest.mark.parametrize(
    ("card", "outcome", "state", "cents"),
    [(PAYS_LATER, "settle", "settled", "2500"), (FAILS_LATER, "fail", "failed", "0")],
)
async def test_a_payment_on_its_way_is_looked_at_until_it_arrives_or_fails(
    platform: Platform, card: str, outcome: str, state: str, cents: str
) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await nothing_is_delivered(platform)
    await platform.stripe.pay(page.url, card=PAYS_LATER)
    for _ in range(30):
        await sweep_after(platform, minutes=30)
    pending = await state_of(platform, ann)
    await platform.stripe.control(f"payments/{outcome}", checkout_session=page.session_id)

    await sweep_after(platform, hours=4)

    assert card in {PAYS_LATER, FAILS_LATER}
    assert pending == "pending"
    assert await state_of(platform, ann) == state
    assert await ann.balance_cents() == cents


async def test_looks_come_ever_less_often_and_never_end(platform: Platform) -> None:
    assert [pause_after(looks) / timedelta(minutes=10) for looks in range(1, 7)] == [2, 4, 8, 16, 24, 24]
    assert pause_after(10_000) == LOOKS_APART_MAX

    page = await platform.person().deposit_page("2500")
    await nothing_is_delivered(platform)
    await platform.stripe.pay(page.url, card=PAYS_LATER)
    await platform.stripe.forget_requests()
    for _ in range(24 * 60 // 5):
        await sweep_after(platform, minutes=5)

    asked = len(await platform.stripe.requests(SESSIONS))
    assert 8 <= asked <= 12  # 10, 30, 70, 150, 310 minutes, then every four hours
    assert (await looks(platform))[0]["state"] == "pending"


async def test_a_session_stripe_does_not_know_is_an_alarm_and_a_later_look(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    await ann.deposit_page("2500")
    page = await bob.deposit_page("700")
    await nothing_is_delivered(platform)
    await platform.stripe.pay(page.url)
    await platform.database.run(
        lambda connection: connection.execute(
            "UPDATE checkout SET session_id = 'cs_test_gone' WHERE session_id <> $1", (page.session_id,)
        )
    )

    with structlog.testing.capture_logs() as logs:
        await sweep_after(platform, minutes=10)
        await sweep_after(platform, seconds=1)

    alarms = [line for line in logs if line["event"] == "checkout.session_missing"]
    assert [line["log_level"] for line in alarms] == ["error"]
    assert await state_of(platform, ann) == "open"
    assert await bob.balance_cents() == "700"


async def test_a_session_that_does_not_fit_its_row_is_an_alarm_and_pays_nothing(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await nothing_is_delivered(platform)
    await platform.stripe.pay(page.url)
    await platform.database.run(lambda connection: connection.execute("UPDATE checkout SET amount_cents = 2600"))

    with structlog.testing.capture_logs() as logs:
        await sweep_after(platform, minutes=10)
        await sweep_after(platform, minutes=1)

    assert [line["wrong"] for line in logs if line["event"] == "checkout.mismatch"] == [["amount"]]
    assert (await state_of(platform, ann), await ann.balance_cents()) == ("open", "0")


async def test_a_page_open_past_its_end_is_an_alarm_and_a_later_look(platform: Platform) -> None:
    ann = platform.person()
    await ann.deposit_page("2500")
    await platform.database.run(
        lambda connection: connection.execute(
            "UPDATE checkout SET expires_at = $1", (platform.clock.now() - timedelta(hours=4),)
        )
    )

    with structlog.testing.capture_logs() as logs:
        await sweep_after(platform, minutes=10)
        await sweep_after(platform, minutes=1)

    assert [line["log_level"] for line in logs if line["event"] == "checkout.open_past_its_end"] == ["error"]
    assert await state_of(platform, ann) == "open"


async def paid_unheard(platform: Platform, count: int) -> tuple[list[Person], list[str]]:
    """People who have paid a deposit each, and their sessions; nobody has told."""
    people = [platform.person() for _ in range(count)]
    pages = [await person.deposit_page("2500") for person in people]
    await nothing_is_delivered(platform)
    for page in pages:
        await platform.stripe.pay(page.url)
    return people, [page.session_id for page in pages]


async def test_a_silent_stripe_counts_as_no_look_and_ends_the_round(platform: Platform) -> None:
    people, _ = await paid_unheard(platform, SILENCES_A_ROUND_MAX + 2)
    await platform.stripe.fault(SESSIONS, "status_500", count=1000)
    await platform.stripe.forget_requests()

    await sweep_after(platform, minutes=10)
    asked = len({row["path"] for row in await platform.stripe.requests(SESSIONS)})
    silent = await looks(platform)
    now = platform.clock.now()
    due = [moment(row, "look_at") for row in await platform.database.fetch("SELECT look_at FROM checkout")]
    await platform.stripe.control("faults/clear")
    await sweep_after(platform, minutes=1)

    assert asked == SILENCES_A_ROUND_MAX
    assert [row["looks"] for row in silent] == [0] * len(people)
    assert sorted(due) == [now, now, *[now + timedelta(minutes=1)] * SILENCES_A_ROUND_MAX]
    assert [await person.balance_cents() for person in people] == ["2500"] * len(people)


@pytest.mark.parametrize("status", [500, 401])
async def test_a_purchase_that_stripe_never_answers_about_keeps_nobody_else_waiting(
    platform: Platform, poison: Poison, status: int
) -> None:
    people, (stuck, *_) = await paid_unheard(platform, 4)
    poison.status = status
    poison.about.add(stuck)
    await sweep_after(platform, minutes=10)
    balances = [await person.balance_cents() for person in people]
    looked_after_minutes: list[int] = []
    for minute in range(1, 61):
        poison.asked.clear()
        await sweep_after(platform, minutes=1)
        if poison.asked:
            looked_after_minutes.append(minute)
    poison.cured()
    await sweep_after(platform, minutes=15)

    assert balances == ["0", "2500", "2500", "2500"]
    assert looked_after_minutes == [1, 3, 7, 15, 30, 45, 60]
    assert await people[0].balance_cents() == "2500"
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_many_poisoned_purchases_keep_nobody_else_waiting(platform: Platform, poison: Poison) -> None:
    people, sessions = await paid_unheard(platform, LOOKED_AT_MAX + 1)
    poison.about.update(sessions[:-1])
    await platform.advance(minutes=10)
    rounds = 0
    while await people[-1].balance_cents() == "0":
        await sweep_checkouts(platform.billing)
        rounds += 1

    assert rounds <= LOOKED_AT_MAX // SILENCES_A_ROUND_MAX + 1
    poison.cured()
    await sweep_after(platform, minutes=15)
    assert [await person.balance_cents() for person in people] == ["2500"] * len(people)


async def test_many_are_looked_at_in_bounded_rounds(platform: Platform) -> None:
    people = [platform.person() for _ in range(LOOKED_AT_MAX + 1)]
    for person in people:
        await person.deposit_page("500")

    assert await sweep_after(platform, minutes=11)
    assert sum(row["looks"] for row in await looks(platform)) == LOOKED_AT_MAX
    assert not await sweep_checkouts(platform.billing)
    assert [row["looks"] for row in await looks(platform)] == [1] * len(people)


async def test_a_purchase_a_node_died_over_is_looked_at_by_the_next(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await nothing_is_delivered(platform)
    await platform.stripe.pay(page.url)
    now = await platform.advance(minutes=10)
    await platform.database.run(
        lambda connection: connection.execute(
            "UPDATE checkout SET looks = 1, look_at = $1", (now + timedelta(minutes=10),)
        )
    )

    await sweep_checkouts(platform.billing)
    before = await ann.balance_cents()
    await sweep_after(platform, minutes=10)

    assert (before, await ann.balance_cents()) == ("0", "2500")


async def half_made(platform: Platform, person: Person, *, kind: str) -> None:
    """A purchase whose answer from Stripe never came."""
    await person.deposit("500")  # the Stripe Customer is there already
    await platform.stripe.fault(SESSIONS, kind, count=1000, method="POST")
    answer = await person.checkout("PRO")
    assert answer["code"] == "PROVIDER_UNAVAILABLE"
    await platform.stripe.control("faults/clear")


async def plan_purchase(platform: Platform, person: Person) -> Json:
    (row,) = [row for row in await platform.checkouts(person.subject) if row["mode"] == "subscription"]
    return row


async def test_a_page_whose_answer_was_lost_is_found_again(platform: Platform) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await half_made(platform, ann, kind="timeout_after")
    before = await plan_purchase(platform, ann)

    await sweep_after(platform, minutes=10)

    found = await plan_purchase(platform, ann)
    assert (before["state"], before["session_id"]) == ("creating", None)
    assert found["state"] == "open"
    assert len([one for one in await platform.stripe.sessions() if one["mode"] == "subscription"]) == 1


async def test_a_lost_page_that_was_paid_all_the_same_is_settled(platform: Platform) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await half_made(platform, ann, kind="timeout_after")
    (page,) = [one for one in await platform.stripe.sessions() if one["mode"] == "subscription"]
    await platform.stripe.pay(page["url"])

    await sweep_after(platform, minutes=10)

    assert (await plan_purchase(platform, ann))["state"] == "settled"
    assert await ann.tier() == "PRO"


async def test_a_purchase_stripe_never_heard_of_is_closed(platform: Platform) -> None:
    ann = platform.person()
    await half_made(platform, ann, kind="timeout_before")
    await platform.stripe.forget_requests()

    await sweep_after(platform, minutes=10)

    assert (await plan_purchase(platform, ann))["state"] == "expired"
    assert await platform.stripe.made(SESSIONS) == []
    page = await ann.checkout_page("PRO")
    await platform.stripe.pay(page.url)
    await platform.settled()
    assert await ann.tier() == "PRO"


async def test_a_purchase_of_a_deleted_customer_is_closed(platform: Platform) -> None:
    ann = platform.person()
    await half_made(platform, ann, kind="timeout_before")
    await nothing_is_delivered(platform)
    await platform.stripe.api("DELETE", f"/v1/customers/{(await plan_purchase(platform, ann))['stripe_customer_id']}")

    await sweep_after(platform, minutes=10)

    assert (await plan_purchase(platform, ann))["state"] == "expired"


async def test_only_the_index_of_what_is_unsettled_is_walked(platform: Platform) -> None:
    explain = "EXPLAIN QUERY PLAN" if platform.database.dialect == "sqlite" else "EXPLAIN"

    async def plan_of(sql: str) -> str:
        async with platform.database.transaction() as connection:
            if platform.database.dialect == "postgres":
                await connection.execute("SET LOCAL enable_seqscan = off")  # a table of no rows is not worth an index
            rows = await connection.fetch(f"{explain} {sql}", (platform.clock.now(),))
        return " ".join(str(value) for row in rows for value in row.values())

    assert "checkout_to_look_at" in await plan_of(
        "SELECT id FROM checkout WHERE state IN ('creating', 'open', 'pending') AND look_at <= $1 ORDER BY look_at"
    )
    assert "plan_to_sync" in await plan_of(
        "SELECT customer_id FROM plan WHERE sync_due_at IS NOT NULL AND sync_due_at <= $1 ORDER BY sync_due_at"
    )
    assert "stripe_event_due" in await plan_of(
        "SELECT id FROM stripe_event WHERE state IN ('new', 'doing') AND state = 'new' AND due_at <= $1 ORDER BY due_at"
    )


async def test_a_purchase_begun_just_now_is_not_swept_away(platform: Platform) -> None:
    page = await start_checkout(
        platform.billing,
        subject="ann",
        tier=Tier.PRO,
        interval=BillingInterval.MONTHLY,
        success_url=f"{APP}/done",
        cancel_url=f"{APP}/plans",
        client_key=None,
    )
    await platform.stripe.forget_requests()

    await sweep_after(platform, minutes=9)

    assert page.session_id
    assert await platform.stripe.requests(SESSIONS) == []
