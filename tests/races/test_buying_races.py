"""Many clicks at once, of one person, in one window or several."""

import asyncio
from uuid import UUID

from gateway.db import Database
from gateway.services.customers import add_customer, customer_id_of
from tests.support.gateway import Platform
from tests.support.person import Page

CLICKS = 50


async def test_fifty_first_clicks_make_one_customer_and_one_page(platform: Platform) -> None:
    ann = platform.person()

    answers = await asyncio.gather(
        *(ann.checkout("PRO", "MONTHLY") if click % 2 else ann.deposit("2500") for click in range(CLICKS))
    )

    assert {answer["__typename"] for answer in answers} == {"CheckoutSuccess", "DepositSuccess"}
    assert len({answer["sessionId"] for answer in answers if answer["__typename"] == "CheckoutSuccess"}) == 1
    assert len({answer["sessionId"] for answer in answers if answer["__typename"] == "DepositSuccess"}) == CLICKS // 2
    assert len(await platform.database.fetch("SELECT id FROM customer")) == 1
    assert await platform.stripe.count("customer") == 1
    asked = await platform.stripe.requests("/v1/customers", method="POST")
    assert len({row["idempotency_key"] for row in asked}) == 1
    assert [one["mode"] for one in await platform.stripe.sessions()].count("subscription") == 1
    await platform.assert_true()


async def test_one_key_thirty_times_makes_one_page(platform: Platform) -> None:
    ann = platform.person()

    plans = await asyncio.gather(*(ann.checkout_page("PRO", idempotencyKey="p") for _ in range(30)))
    deposits = await asyncio.gather(*(ann.deposit_page("2500", idempotencyKey="d") for _ in range(30)))

    assert len(set(plans)) == 1
    assert len(set(deposits)) == 1
    assert await platform.stripe.count("checkout.session") == 2
    await platform.assert_true()


async def test_one_key_with_two_inputs_at_once_serves_one_and_refuses_the_other(platform: Platform) -> None:
    ann = platform.person()

    answers = await asyncio.gather(
        *(ann.deposit("2500" if click % 2 else "2600", idempotencyKey="key") for click in range(20))
    )

    pages = {answer["sessionId"] for answer in answers if answer["__typename"] == "DepositSuccess"}
    refused = [answer for answer in answers if answer["__typename"] != "DepositSuccess"]
    assert len(pages) == 1
    assert len(refused) == 10
    assert {(answer["code"], tuple(answer["path"])) for answer in refused} == {
        ("IDEMPOTENCY_CONFLICT", ("input", "idempotencyKey"))
    }
    assert await platform.stripe.count("checkout.session") == 1


async def test_the_page_of_an_older_tab_cannot_be_paid_any_more(platform: Platform) -> None:
    ann = platform.person()
    older = await ann.checkout_page("STARTER", "MONTHLY")

    newer = await ann.checkout_page("BUSINESS", "MONTHLY")
    refused = await platform.stripe.pay(older.url)
    paid = await platform.stripe.pay(newer.url)

    assert (refused.status, paid.status) == (410, 303)
    assert (await platform.stripe.session(older.session_id))["status"] == "expired"
    assert (await ann.verify_checkout(newer.session_id))["tier"] == "BUSINESS"
    assert (await ann.verify_checkout(older.session_id))["code"] == "SESSION_EXPIRED"
    assert len(await platform.stripe.subscriptions()) == 1
    await platform.assert_true()


async def test_an_older_page_paid_first_settles_and_refuses_the_newer(platform: Platform) -> None:
    ann = platform.person()
    older = await ann.checkout_page("STARTER", "MONTHLY")
    await platform.stripe.control("events/hold")

    await platform.stripe.pay(older.url)
    refused = await ann.checkout("BUSINESS", "MONTHLY")

    assert refused["code"] == "ALREADY_SUBSCRIBED"
    assert refused["plan"]["tier"] == "STARTER"
    assert len(await platform.stripe.subscriptions()) == 1
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_paying_the_older_page_at_the_very_moment_never_makes_two_subscriptions(platform: Platform) -> None:
    for _ in range(5):
        ann = platform.person()
        older = await ann.checkout_page("STARTER", "MONTHLY")

        paid, answer = await asyncio.gather(platform.stripe.pay(older.url), ann.checkout("BUSINESS", "MONTHLY"))

        if paid.status == 303:
            assert answer["code"] == "ALREADY_SUBSCRIBED", answer
            assert answer["plan"]["tier"] == "STARTER"
        else:
            assert (paid.status, answer["__typename"]) == (410, "CheckoutSuccess"), answer
            await platform.stripe.pay(answer["url"])
            assert (await ann.verify_checkout(answer["sessionId"]))["tier"] == "BUSINESS"
    assert len(await platform.stripe.subscriptions()) == 5
    await platform.assert_true()


async def test_tabs_that_want_different_plans_leave_one_page_open(platform: Platform) -> None:
    ann = platform.person()

    answers = await asyncio.gather(
        *(ann.checkout(("STARTER", "PRO", "BUSINESS")[click % 3], "MONTHLY") for click in range(12))
    )

    open_pages = [one for one in await platform.stripe.sessions() if one["status"] == "open"]
    served = [answer for answer in answers if answer["__typename"] == "CheckoutSuccess"]
    assert {answer.get("code") for answer in answers} <= {None, "IN_PROGRESS"}, answers
    assert len(open_pages) == 1
    assert open_pages[0]["id"] in {answer["sessionId"] for answer in served}
    for page in {Page(answer["sessionId"], answer["url"]) for answer in served}:
        await platform.stripe.pay(page.url)
    assert len(await platform.stripe.subscriptions()) == 1
    await platform.assert_true()


async def test_two_gateways_serve_the_first_clicks_of_one_person(pair: Platform) -> None:
    ann, same_ann = pair.person("ann"), pair.person("ann", node=1)

    answers = await asyncio.gather(
        *(person.checkout("PRO", "MONTHLY") for person in (ann, same_ann) * 10),
        *(person.deposit("2500", idempotencyKey="once") for person in (ann, same_ann) * 10),
    )

    pages = {(answer["__typename"], answer["sessionId"]) for answer in answers}
    assert sorted(name for name, _ in pages) == ["CheckoutSuccess", "DepositSuccess"]
    assert await pair.stripe.count("customer") == 1
    assert await pair.stripe.count("checkout.session") == 2
    await pair.assert_true()


async def test_two_gateways_never_sell_two_subscriptions(pair: Platform) -> None:
    for round_number in range(4):
        subject = f"ann-{round_number}"
        ann, same_ann = pair.person(subject), pair.person(subject, node=1)

        answers = await asyncio.gather(ann.checkout("STARTER"), same_ann.checkout("BUSINESS"))
        paid = await asyncio.gather(*(pair.stripe.pay(answer["url"]) for answer in answers if "url" in answer))
        await asyncio.gather(*(ann.verify_checkout(answer["sessionId"]) for answer in answers if "sessionId" in answer))

        assert [answer.status for answer in paid].count(303) == 1
        assert len(await pair.stripe.subscriptions()) == round_number + 1
    await pair.assert_true()


async def test_two_gateways_meet_the_same_new_people_at_once(pair: Platform) -> None:
    subjects = [f"person-{number}" for number in range(30)]

    async def meet(database: Database, subject: str) -> UUID:
        return await database.run(lambda connection: add_customer(connection, subject, pair.clock.now()))

    met = await asyncio.gather(
        *(meet(node.gateway.database, subject) for subject in subjects for node in (*pair.nodes, *pair.nodes))
    )

    assert set(met) == {customer_id_of(subject) for subject in subjects}
    assert len(await pair.database.fetch("SELECT id FROM customer")) == len(subjects)
