"""`billingTimeline`: the owner sees what happened, others see nothing, and Stripe is asked once at most."""

from typing import cast

from tests.support.gateway import Platform
from tests.support.person import Json, Person

TIMELINE = """query ($id: ID!) { billingTimeline(sessionId: $id) {
    verdict message nextStep entries { at kind message } } }"""


async def timeline(person: Person, session_id: str) -> Json:
    return cast("Json", (await person.ask(TIMELINE, id=session_id))["billingTimeline"])


async def test_the_owner_sees_a_deposit_from_beginning_to_end(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page("2500")
    waiting = await timeline(ann, page.session_id)
    await each.stripe.pay(page.url)
    unapplied = await timeline(ann, page.session_id)
    await ann.verify_deposit(page.session_id)
    await each.stripe.forget_requests()

    applied = await timeline(ann, page.session_id)

    assert (waiting["verdict"], unapplied["verdict"]) == ("WAITING_FOR_PAYMENT", "PAID_NOT_APPLIED")
    assert (applied["verdict"], applied["nextStep"]) == ("PAID_AND_APPLIED", None)
    assert [(entry["kind"], entry["message"]) for entry in applied["entries"]] == [
        ("STARTED", "The purchase of a deposit of $25.00 began."),
        ("PAGE_MADE", "Stripe made the payment page."),
        ("PAID", "$25.00 was paid."),
        ("APPLIED", "The wallet was credited with $25.00."),
    ]
    assert len(await each.stripe.requests()) == 1
    await each.assert_true()


async def test_neither_events_nor_ids_nor_commands_reach_the_owner(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page("2500")
    await each.stripe.pay(page.url)
    await each.delivered()
    async with each.database.transaction() as connection:
        await connection.execute("UPDATE stripe_event SET state = 'dead'")

    reply = await ann.post(TIMELINE, id=page.session_id)

    assert reply.body["data"]["billingTimeline"]["verdict"] == "PAID_NOT_APPLIED"
    for secret in ("evt_", "cus_", "ch_", "pi_", page.session_id, "gateway ", "dead", "somebody@example.com"):
        assert secret not in reply.raw.decode()


async def test_unknown_and_foreign_sessions_look_alike_and_stripe_is_not_asked(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    page = await ann.deposit_page()
    await platform.stripe.forget_requests()

    foreign = await bob.post(TIMELINE, id=page.session_id)
    unknown = await bob.post(TIMELINE, id="cs_test_unknown")
    malformed = await bob.post(TIMELINE, id="../../v1/charges")

    assert foreign.raw == unknown.raw == malformed.raw == b'{"data":{"billingTimeline":null}}'
    assert await platform.stripe.requests() == []


async def test_a_session_from_before_the_key_changed_its_mode_is_for_support(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page("2500")
    await each.stripe.pay(page.url)
    await ann.verify_deposit(page.session_id)
    before = page.session_id.replace("cs_test_", "cs_live_")
    async with each.database.transaction() as connection:
        await connection.execute("UPDATE checkout SET session_id = $1", (before,))

    told = await timeline(ann, before)

    assert (told["verdict"], told["message"], told["nextStep"]) == (
        "NEEDS_SUPPORT",
        "Something about this payment has to be looked at by us.",
        "Contact support and name this session.",
    )


async def test_a_page_that_another_purchase_replaced_is_not_said_to_have_run_out_of_time(each: Platform) -> None:
    ann = each.person()
    first = await ann.checkout_page("PRO", idempotencyKey="first")
    await ann.checkout_page("STARTER")

    told = await timeline(ann, first.session_id)
    verified = await ann.verify_checkout(first.session_id)
    again = await ann.checkout("PRO", idempotencyKey="first")

    replaced = "it was not used in time, or another purchase replaced it"
    assert (told["verdict"], told["entries"][-1]["message"]) == (
        "EXPIRED",
        "The payment page closed without a payment.",
    )
    assert told["message"] == f"The payment page is closed: {replaced}; nothing was taken."
    assert (verified["code"], verified["message"]) == (
        "SESSION_EXPIRED",
        f"The payment page is closed: {replaced}. Start again.",
    )
    assert (again["code"], again["message"]) == (
        "SESSION_EXPIRED",
        f"This page is closed: {replaced}. Start again, with a new idempotency key.",
    )


async def test_who_is_not_signed_in_is_told_so(platform: Platform) -> None:
    reply = await platform.stranger().post(TIMELINE, id="cs_test_unknown")

    assert reply.codes == ["UNAUTHENTICATED"]


async def test_a_request_looks_once_however_it_is_written(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page()
    await platform.stripe.forget_requests()
    many = " ".join(f"t{n}: billingTimeline(sessionId: $id) {{ verdict }}" for n in range(10))

    aliased = await ann.post(f"query ($id: ID!) {{ {many} plan {{ tier }} }}", id=page.session_id)
    one = {"query": TIMELINE, "variables": {"id": page.session_id}}
    batch = await ann.send([one] * 5)

    assert aliased.body["data"]["t0"] == {"verdict": "WAITING_FOR_PAYMENT"}
    assert aliased.body["data"]["plan"] == {"tier": "FREE"}
    assert aliased.codes == ["QUERY_TOO_COMPLEX"] * 9
    assert [entry["data"]["billingTimeline"] is None for entry in batch.body] == [False, True, True, True, True]
    assert len(await platform.stripe.requests()) == 2


async def test_mutations_between_them_earn_no_second_look(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page()
    look = {"query": TIMELINE, "variables": {"id": page.session_id}}
    change = {"query": "mutation { updatePayoutSettings(input: { frequency: MANUAL }) { __typename } }"}
    await each.stripe.forget_requests()

    batch = await ann.send([look, change] * 4)

    assert [answer["data"]["billingTimeline"] is None for answer in batch.body[::2]] == [False, True, True, True]
    assert [answer["data"]["updatePayoutSettings"]["__typename"] for answer in batch.body[1::2]] == [
        "UpdatePayoutSettingsSuccess"
    ] * 4
    assert len(await each.stripe.requests()) == 1


async def test_a_stripe_that_does_not_answer_leaves_our_own_rows(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page()
    await platform.stripe.fault("/v1", "status_500", count=100)

    found = await timeline(ann, page.session_id)

    assert found["verdict"] == "PROVIDER_UNREACHABLE"
    assert [entry["kind"] for entry in found["entries"]] == ["STARTED"]
