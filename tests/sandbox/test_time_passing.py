"""Renewals, failures and retries as the clock moves."""

from datetime import UTC, datetime

import pytest

from gateway.sandbox.engine.periods import period_at, step_from
from gateway.sandbox.settings import SandboxSettings
from tests.sandbox.local_stripe import FAILS_LATER, LocalStripe, local_stripe
from tests.sandbox.shop import META, open_shop, subscribe, subscription

HOUR = 3600


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "ends"),
    [
        ("2026-01-31T10:00:00", "month", 1, ["2026-02-28T10:00:00", "2026-03-31T10:00:00", "2026-04-30T10:00:00"]),
        ("2028-01-31T10:00:00", "month", 1, ["2028-02-29T10:00:00", "2028-03-31T10:00:00"]),
        ("2028-02-29T00:00:00", "year", 1, ["2029-02-28T00:00:00", "2030-02-28T00:00:00", "2031-02-28T00:00:00",
                                            "2032-02-29T00:00:00"]),
        ("2026-11-30T23:59:59", "month", 3, ["2027-02-28T23:59:59", "2027-05-30T23:59:59"]),
        ("2026-12-15T00:00:00", "month", 1, ["2027-01-15T00:00:00"]),
        ("2026-01-01T00:00:00", "week", 2, ["2026-01-15T00:00:00"]),
        ("2026-02-28T00:00:00", "day", 1, ["2026-03-01T00:00:00"]),
    ],
)  # fmt: skip
def test_periods_follow_the_calendar(anchor: str, interval: str, count: int, ends: list[str]) -> None:
    stepped = [step_from(_at(anchor), interval=interval, count=count, steps=n + 1) for n in range(len(ends))]
    assert stepped == [_at(end) for end in ends]
    assert period_at(_at(anchor), _at(ends[0]) - 1, interval=interval, count=count) == (_at(anchor), _at(ends[0]))
    assert period_at(_at(anchor), _at(ends[0]), interval=interval, count=count)[0] == _at(ends[0])


async def test_a_renewal_is_drafted_at_the_period_end_and_paid_an_hour_later(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    end = bought["items"]["data"][0]["current_period_end"]

    await local.advance(to=end)

    renewed = await subscription(local, bought["id"])
    assert renewed["items"]["data"][0]["current_period_start"] == end
    invoice = await local.ok("GET", f"/v1/invoices/{renewed['latest_invoice']}")
    assert (invoice["status"], invoice["billing_reason"], invoice["number"]) == ("draft", "subscription_cycle", None)
    assert (invoice["period_start"], invoice["period_end"]) == (bought["items"]["data"][0]["current_period_start"], end)

    await local.advance(seconds=HOUR)

    paid = await local.ok("GET", f"/v1/invoices/{renewed['latest_invoice']}", "expand[]=payments")
    assert (paid["status"], paid["amount_paid"], paid["attempt_count"]) == ("paid", 2900, 1)
    assert paid["parent"]["subscription_details"]["metadata"] == META
    assert paid["lines"]["data"][0]["period"]["start"] == end
    assert paid["status_transitions"]["paid_at"] == end + HOUR
    assert paid["number"].endswith("-0002")


async def test_a_year_of_renewals_comes_in_order(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    await local.advance(days=366)
    paid = local.objects("invoice.paid")
    assert len(paid) == 13
    assert [one["number"][-4:] for one in paid] == [f"{number:04d}" for number in range(1, 14)]
    moments = [event["created"] for event in local.events]
    assert moments == sorted(moments)
    assert (await subscription(local, bought["id"]))["status"] == "active"


async def test_a_failed_renewal_is_tried_again_and_then_ends(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local), card=FAILS_LATER)
    end = bought["items"]["data"][0]["current_period_end"]

    await local.advance(to=end + HOUR)

    owing = await subscription(local, bought["id"])
    assert owing["status"] == "past_due"
    (failed,) = local.objects("invoice.payment_failed")
    assert (failed["status"], failed["attempt_count"], failed["amount_remaining"]) == ("open", 1, 2900)
    invoice = await local.ok("GET", f"/v1/invoices/{owing['latest_invoice']}")
    assert invoice["next_payment_attempt"] == end + HOUR + 3 * 86_400
    customer = await local.ok("GET", f"/v1/customers/{bought['customer']}")
    assert customer["delinquent"] is True

    await local.advance(days=3)
    assert [one["attempt_count"] for one in local.objects("invoice.payment_failed")] == [1, 2]
    await local.advance(days=12)
    assert [one["attempt_count"] for one in local.objects("invoice.payment_failed")] == [1, 2, 3, 4]
    ended = await subscription(local, bought["id"])
    assert (ended["status"], ended["cancellation_details"]["reason"]) == ("canceled", "payment_failed")
    assert local.types().count("payment_intent.created") == 2
    before = len(local.events)
    await local.advance(days=100)
    assert len(local.events) == before


@pytest.mark.parametrize(("after_retries", "status"), [("unpaid", "unpaid"), ("past_due", "past_due")])
async def test_what_follows_the_last_retry_is_a_setting(after_retries: str, status: str) -> None:
    settings = SandboxSettings(after_retries=after_retries, payment_retry_days=(1,))
    async with local_stripe(settings) as local:
        bought = await subscribe(local, await open_shop(local), card=FAILS_LATER)
        end = bought["items"]["data"][0]["current_period_end"]
        await local.advance(to=end + HOUR + 86_400)
        assert (await subscription(local, bought["id"]))["status"] == status


async def test_an_unpaid_subscription_gets_drafts_only(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    await local.control("subscriptions/status", {"subscription": bought["id"], "status": "unpaid"})
    await local.advance(days=40)
    (draft,) = (await local.ok("GET", "/v1/invoices", "status=draft"))["data"]
    assert draft["auto_advance"] is False
    assert local.types().count("invoice.paid") == 1


async def test_paying_the_open_invoice_makes_it_active_again(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, card=FAILS_LATER)
    await local.advance(days=32)
    (owed,) = (await local.ok("GET", "/v1/invoices", f"subscription={bought['id']}&status=open"))["data"]

    status, code, _, _ = await local.refused("POST", f"/v1/invoices/{owed['id']}/pay")
    assert (status, code) == (402, "card_declined")
    method = await local.ok("POST", "/v1/payment_methods/pm_card_visa/attach", f"customer={shop.customer}")
    paid = await local.ok("POST", f"/v1/invoices/{owed['id']}/pay", f"payment_method={method['id']}")

    assert (paid["status"], paid["attempt_count"]) == ("paid", 3)
    assert (await subscription(local, bought["id"]))["status"] == "active"
    assert (await local.ok("GET", f"/v1/customers/{shop.customer}"))["delinquent"] is False
    assert (await local.refused("POST", f"/v1/invoices/{owed['id']}/pay"))[1] == "invoice_already_paid"
    await local.advance(days=20)
    assert (await subscription(local, bought["id"]))["status"] == "active"


async def test_a_retry_uses_the_card_saved_meanwhile(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, card=FAILS_LATER)
    await local.advance(days=32)
    method = await local.ok("POST", "/v1/payment_methods/pm_card_visa/attach", f"customer={shop.customer}")
    await local.ok("POST", f"/v1/subscriptions/{bought['id']}", f"default_payment_method={method['id']}")
    await local.advance(days=3)
    assert (await subscription(local, bought["id"]))["status"] == "active"
    assert [one["amount_paid"] for one in local.objects("invoice.paid")] == [2900, 2900]


async def test_paid_elsewhere_counts_without_a_payment(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local), card=FAILS_LATER)
    await local.advance(days=32)
    owed = (await subscription(local, bought["id"]))["latest_invoice"]
    await local.ok("POST", f"/v1/invoices/{owed}/pay", "paid_out_of_band=true")
    assert (await subscription(local, bought["id"]))["status"] == "active"
    assert local.types().count("invoice.paid") == 2
    assert local.types().count("invoice.payment_succeeded") == 1


@pytest.mark.parametrize(
    ("behavior", "left"), [("void", "void"), ("mark_uncollectible", "uncollectible"), ("keep_as_draft", "draft")]
)
async def test_while_collection_is_paused_nothing_is_charged(local: LocalStripe, behavior: str, left: str) -> None:
    bought = await subscribe(local, await open_shop(local))
    await local.ok("POST", f"/v1/subscriptions/{bought['id']}", f"pause_collection[behavior]={behavior}")
    await local.advance(days=32)
    paused = await local.ok("GET", f"/v1/subscriptions/{bought['id']}", "expand[]=latest_invoice")
    assert (paused["status"], paused["latest_invoice"]["status"]) == ("active", left)
    assert local.types().count("charge.succeeded") == 1


async def test_the_clock_only_moves_forward(local: LocalStripe) -> None:
    before = await local.look("clock")
    moved = await local.advance(days=2)
    assert moved["now"] - before["now"] in range(2 * 86_400, 2 * 86_400 + 5)
    assert moved["real_now"] - before["real_now"] < 5
    for fields in ({}, {"seconds": -1}, {"to": 1}, {"seconds": 1, "days": 1}, {"seconds": "1"}, {"days": 4000}):
        await local.control("clock/advance", dict[str, object](fields), answers=400)


async def test_the_next_thing_due_can_be_brought_about(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    await local.control("clock/advance", {"to_next_due": True})
    while "invoice.finalized" not in local.types()[local.types().index("checkout.session.completed") :]:
        await local.control("clock/advance", {"to_next_due": True})
    assert (await subscription(local, bought["id"]))["status"] == "active"
    assert local.types().count("invoice.paid") == 2
