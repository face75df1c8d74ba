"""Signing in, and what others may not learn."""

import pytest

from tests.support.gateway import JWT_SECRET, Platform
from tests.support.person import APP, CHECKOUT, DEPOSIT, PORTAL, VERIFY_CHECKOUT, VERIFY_DEPOSIT, Json, Person

PAGE_URLS = {"successUrl": f"{APP}/done", "cancelUrl": f"{APP}/plans"}
READS = ("plan", "wallet")
ACTIONS: dict[str, tuple[str, Json]] = {
    "checkout": (CHECKOUT, {"tier": "PRO", "interval": "MONTHLY", **PAGE_URLS}),
    "deposit": (DEPOSIT, {"amountCents": "2500", **PAGE_URLS}),
    "verifyCheckout": (VERIFY_CHECKOUT, {"sessionId": "cs_test_a1"}),
    "verifyDeposit": (VERIFY_DEPOSIT, {"sessionId": "cs_test_a1"}),
    "portal": (PORTAL, {"returnUrl": f"{APP}/billing"}),
}


def signed_with(token: str, stranger: Person) -> Person:
    return Person(subject="", url=stranger.url, http=stranger.http, token=lambda: token)


async def test_who_is_not_signed_in_reads_nothing_but_the_catalogue(platform: Platform) -> None:
    stranger = platform.stranger()
    for field in READS:
        reply = await stranger.post(f"{{ {field} {{ __typename }} plans {{ tier }} }}")

        assert reply.status == 200
        assert reply.codes == ["UNAUTHENTICATED"]
        assert reply.body["errors"][0]["path"] == [field]
        assert reply.body["data"][field] is None
        assert len(reply.body["data"]["plans"]) == 4
    assert await platform.stripe.requests() == []


async def test_who_is_not_signed_in_does_nothing(platform: Platform) -> None:
    stranger = platform.stranger()
    for field, (document, given) in ACTIONS.items():
        reply = await stranger.post(document, input=given)

        assert (field, reply.status, reply.codes) == (field, 200, ["UNAUTHENTICATED"])
        assert reply.body["data"] is None
        assert reply.body["errors"][0]["path"] == [field]
    assert await platform.stripe.requests() == []
    assert await platform.database.fetch("SELECT id FROM customer") == []


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.", JWT_SECRET],
    ids=["empty", "no token", "no JSON", "unsigned", "the secret itself"],
)
async def test_a_bad_token_is_401_for_everything(platform: Platform, token: str) -> None:
    liar = signed_with(token, platform.stranger())

    replies = [await liar.post("{ plans { tier } }")]
    replies += [await liar.post(document, input=given) for document, given in ACTIONS.values()]

    assert {reply.status for reply in replies} == {401}
    assert {reply.headers["WWW-Authenticate"] for reply in replies} == {'Bearer error="invalid_token"'}
    assert all(reply.codes == ["UNAUTHENTICATED"] and "data" not in reply.body for reply in replies)
    assert await platform.stripe.requests() == []


async def test_a_foreign_session_looks_like_one_that_does_not_exist(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    deposit, plan = await ann.deposit_page(), await ann.checkout_page()
    await platform.stripe.pay(deposit.url)
    await ann.verify_deposit(deposit.session_id)
    await platform.settled()
    await platform.stripe.forget_requests()
    unknown = ["cs_test_a1", "cs_live_a1", "", "x", "cs_test_", "cs_test_" + "a" * 5000, "../customers", "cs_test_é"]

    for document in (VERIFY_DEPOSIT, VERIFY_CHECKOUT):
        replies = [
            await bob.post(document, input={"sessionId": session_id})
            for session_id in [deposit.session_id, plan.session_id, *unknown]
        ]
        assert len({reply.raw for reply in replies}) == 1
        (answer,) = replies[0].body["data"].values()
        assert (answer["__typename"], answer["code"]) == ("BillingProblem", "SESSION_NOT_FOUND")

    assert await platform.stripe.requests() == []
    await platform.assert_true()


async def test_a_session_of_the_other_kind_is_not_found_either(platform: Platform) -> None:
    ann = platform.person()
    deposit, plan = await ann.deposit_page(), await ann.checkout_page()
    await platform.stripe.forget_requests()

    as_plan = await ann.verify_checkout(deposit.session_id)
    as_deposit = await ann.verify_deposit(plan.session_id)

    assert (as_plan["code"], as_deposit["code"]) == ("SESSION_NOT_FOUND", "SESSION_NOT_FOUND")
    assert await platform.stripe.requests() == []


async def test_two_people_never_see_each_other(each: Platform) -> None:
    ann, bob = each.person(), each.person()
    for person, cents in ((ann, "2500"), (bob, "700")):
        page = await person.deposit_page(cents)
        await each.stripe.pay(page.url)
        await person.verify_deposit(page.session_id)
    page = await ann.checkout_page("PRO")
    await each.stripe.pay(page.url)
    await ann.verify_checkout(page.session_id)

    assert (await ann.tier(), await bob.tier()) == ("PRO", "FREE")
    assert (await ann.balance_cents(), await bob.balance_cents()) == ("2500", "700")
    assert (await ann.wallet())["id"] != (await bob.wallet())["id"]
    of_ann, of_bob = (await ann.entries())["edges"], (await bob.entries())["edges"]
    assert [edge["node"]["amount"]["amount"] for edge in of_ann] == ["25.00"]
    assert [edge["node"]["amount"]["amount"] for edge in of_bob] == ["7.00"]
    await each.assert_true()


@pytest.mark.parametrize("subject", ["auth0|5f7c8ec7c33c6c004bbafe82", "zoë@example.com", "人", "u" * 200])
async def test_any_legal_subject_can_buy(platform: Platform, subject: str) -> None:
    person = platform.person(subject)
    page = await person.deposit_page("500")

    await platform.stripe.pay(page.url)

    assert (await person.verify_deposit(page.session_id))["deposited"] is True
    await platform.assert_true()
