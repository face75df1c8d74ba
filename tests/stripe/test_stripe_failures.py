"""What a failed call becomes: a definite no, or no clear answer; tried again or not, with one key throughout."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.domain.errors import ProviderError, ProviderRejected, ProviderUnavailable
from gateway.stripe_service import StripeService, open_stripe
from tests.stripe.scripted import (
    Answer,
    ScriptedStripe,
    cuts_the_body,
    hangs_up,
    refuses,
    says,
    says_bytes,
    says_nothing,
    stops_in_the_body,
)
from tests.stripe.stripe_objects import customer, session

PRIVATE = "ada@example.com"


async def write(service: StripeService) -> None:
    await service.create_customer(customer_id="ada", idempotency_key="customer:1")


@pytest.mark.parametrize(
    ("answer", "provider_code"),
    [
        (refuses(400, code="parameter_unknown"), "parameter_unknown"),
        (refuses(400), None),
        (refuses(402, code="card_declined", kind="card_error"), "card_declined"),
        (refuses(404, code="resource_missing"), "resource_missing"),
        (refuses(401, code="api_key_expired"), "api_key_expired"),
        (refuses(401), None),
        (refuses(403, code="account_invalid"), "account_invalid"),
        (refuses(400, kind="idempotency_error"), "idempotency_error"),
        (refuses(405), None),
    ],
)
async def test_a_definite_no_is_rejected_and_not_tried_again(
    service: StripeService, script: ScriptedStripe, answer: Answer, provider_code: str | None
) -> None:
    script.will(answer)

    with pytest.raises(ProviderRejected) as caught:
        await write(service)

    assert len(script.asked) == 1
    assert (caught.value.provider_code, caught.value.request_id) == (provider_code, "req_1")
    assert PRIVATE not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        refuses(429, code="rate_limit"),
        refuses(429, code="lock_timeout"),
        refuses(400, code="rate_limit"),
        refuses(400, code="lock_timeout"),
        refuses(424),
        refuses(500, kind="api_error", headers={"Stripe-Should-Retry": "false"}),
        refuses(409, code="idempotency_key_in_use", headers={"Stripe-Should-Retry": "false"}),
    ],
)
async def test_a_passing_no_is_unavailable_and_left_to_the_caller(
    service: StripeService, script: ScriptedStripe, answer: Answer
) -> None:
    script.will(answer)

    with pytest.raises(ProviderUnavailable) as caught:
        await write(service)

    assert len(script.asked) == 1
    assert PRIVATE not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        refuses(500, kind="api_error"),
        refuses(503, kind="api_error"),
        refuses(409, code="idempotency_key_in_use"),
        refuses(400, headers={"Stripe-Should-Retry": "true"}),
        says_nothing,
        stops_in_the_body,
        cuts_the_body,
        hangs_up,
        says_bytes(b"<html>Bad gateway</html>", status=502, content_type="text/html"),
        says_bytes(b"<html>Forbidden</html>", status=403, content_type="text/html"),
        says_bytes(b"<html>Not found</html>", status=404, content_type="text/html"),
        says_bytes(b"<html>Welcome</html>", content_type="text/html"),
        says_bytes(b""),
        says_bytes(b'{"id": "cus_1", "obj'),
        says_bytes(b"\xff\xfe"),
        says_bytes(b"{}", headers={"Content-Encoding": "gzip"}),
        says([]),
        says("cus_1"),
        says(None),
        says({"error": "invalid_request"}, status=400),
        says({"error": ["invalid_request"]}, status=500),
        says({"message": "no route"}, status=404),
        says({}, status=302, headers={"Location": "/v1/elsewhere"}),
    ],
)
async def test_no_clear_answer_is_tried_three_times_with_one_key_and_then_unavailable(
    hasty_service: StripeService, script: ScriptedStripe, pauses: list[float], answer: Answer
) -> None:
    script.will(answer, answer, answer)

    with pytest.raises(ProviderUnavailable):
        await write(hasty_service)

    assert [request.idempotency_key for request in script.asked] == ["customer:1"] * 3
    assert len({tuple(request.params.items()) for request in script.asked}) == 1
    assert len(pauses) == 2


@pytest.mark.parametrize("answer", [says_nothing, stops_in_the_body, cuts_the_body, hangs_up])
async def test_a_second_try_brings_the_first_ones_answer(
    hasty_service: StripeService, script: ScriptedStripe, answer: Answer
) -> None:
    script.will(answer, says(customer(), headers={"Idempotent-Replayed": "true"}))

    with capture_logs() as logs:
        made = await hasty_service.create_customer(customer_id="ada", idempotency_key="customer:1")

    assert made.stripe_customer_id == "cus_1"
    assert [request.idempotency_key for request in script.asked] == ["customer:1"] * 2
    assert logs[-1]["replayed"] is True


@pytest.mark.parametrize("answer", [says_nothing, stops_in_the_body, cuts_the_body, hangs_up])
async def test_a_read_is_tried_again_too(hasty_service: StripeService, script: ScriptedStripe, answer: Answer) -> None:
    script.will(answer, says(session()))

    found = await hasty_service.retrieve_session("cs_test_a1")

    assert found is not None
    assert all(request.idempotency_key is None for request in script.asked)


async def test_an_answer_that_is_too_long_is_no_answer(service: StripeService, script: ScriptedStripe) -> None:
    long = says_bytes(b" " * (17 * 1024 * 1024))
    script.will(long, long, long)

    with pytest.raises(ProviderUnavailable):
        await service.retrieve_session("cs_test_a1")


@pytest.mark.parametrize(
    "answer",
    [
        says({"id": "cus_1"}),
        says({"object": "customer"}),
        says({"id": 5, "object": "customer"}),
        says({"id": "cus_1", "object": "customer", "created": "yesterday"}),
        says({"id": "cus_1", "object": "customer", "created": -1}),
        says({"id": "cus_1", "object": "customer", "created": 10**15}),
        says({"id": "cus_1", "object": "customer", "livemode": "no"}),
    ],
)
async def test_an_answer_of_another_shape_is_no_clear_answer(
    service: StripeService, script: ScriptedStripe, answer: Answer
) -> None:
    script.will(answer)

    with pytest.raises(ProviderUnavailable):
        await write(service)
    assert len(script.asked) == 1


async def test_nobody_at_the_address_is_unavailable() -> None:
    async with open_stripe(api_key="sk_test_abc", api_base="http://127.0.0.1:1", max_network_retries=0) as lonely:
        with pytest.raises(ProviderUnavailable):
            await lonely.retrieve_customer("cus_1")


async def test_a_notice_to_developers_is_logged_not_warned(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(customer(), headers={"Stripe-Notice": "Please upgrade."}))

    with capture_logs() as logs:
        await service.retrieve_customer("cus_1")

    assert {"event": "stripe.notice", "notice": "Please upgrade.", "log_level": "warning"} in logs


async def test_every_call_is_logged_without_what_it_says(service: StripeService, script: ScriptedStripe) -> None:
    script.will(
        says(customer(email=PRIVATE)), refuses(400, code="email_invalid"), refuses(404, code="resource_missing")
    )

    with capture_logs() as logs:
        await service.create_customer(customer_id="ada", email=PRIVATE, idempotency_key="customer:1")
        with pytest.raises(ProviderRejected):
            await service.create_customer(customer_id="ada", email=PRIVATE, idempotency_key="customer:2")
        await service.retrieve_customer("cus_404")

    assert [(log["event"], log["call"], log["outcome"], log["request_id"]) for log in logs] == [
        ("stripe.call", "customers.create", "ok", "req_1"),
        ("stripe.call", "customers.create", "provider_rejected", "req_1"),
        ("stripe.call", "customers.retrieve", "missing", "req_1"),
    ]
    assert all(isinstance(log["ms"], int) for log in logs)
    assert PRIVATE not in str(logs)
    assert "sk_test" not in str(logs)


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (refuses(401), "error"),
        (refuses(403), "error"),
        (refuses(400, kind="idempotency_error"), "error"),
        (refuses(400), "warning"),
        (refuses(429), "warning"),
    ],
)
async def test_what_only_a_human_can_mend_is_logged_as_an_error(
    service: StripeService, script: ScriptedStripe, answer: Answer, level: str
) -> None:
    script.will(answer)

    with capture_logs() as logs, pytest.raises(ProviderError):
        await write(service)

    assert logs[-1]["log_level"] == level


async def test_a_cancelled_call_says_so_and_stays_cancelled(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says_nothing)

    with capture_logs() as logs:
        call = asyncio.create_task(write(service))
        while not script.asked:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert logs[-1]["outcome"] == "cancelled"


async def test_stripes_own_words_are_not_behind_the_error(service: StripeService, script: ScriptedStripe) -> None:
    script.will(refuses(400))

    with pytest.raises(ProviderRejected) as caught:
        await write(service)

    formatted = structlog.tracebacks.extract(type(caught.value), caught.value, caught.value.__traceback__)
    assert PRIVATE not in str([stack.exc_value for stack in formatted.stacks])
