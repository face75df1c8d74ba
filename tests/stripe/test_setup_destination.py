"""The event destination for thin events: made once, repaired when changed, and no obstacle when Stripe says no."""

from typing import Any

from gateway.domain.clock import ManualClock
from gateway.stripe_service import THIN_EVENTS, StripeService
from gateway.stripe_service.setup_destination import set_up_destination
from gateway.stripe_service.setup_journal import SetupRun
from tests.stripe.local_stripe import START
from tests.stripe.scripted import ScriptedStripe, refuses, says

URL = "https://billing.example.com/api/billing/webhook"


def destination(**changes: object) -> dict[str, Any]:
    return {
        "id": "ed_1",
        "object": "v2.core.event_destination",
        "enabled_events": list(THIN_EVENTS),
        "metadata": {"gateway_setup": "thin_destination"},
        "status": "enabled",
        "webhook_endpoint": {"url": URL},
        **changes,
    }


def page(*destinations: dict[str, Any]) -> dict[str, Any]:
    return {"data": list(destinations), "next_page_url": None}


async def set_up(service: StripeService) -> tuple[str | None, list[str]]:
    run = SetupRun(connection=service.connection, started_at=ManualClock(START).now())
    secret = await set_up_destination(run, url=URL)
    return secret, [str(line) for line in run.lines]


async def test_it_is_made_with_a_key_and_its_secret_handed_out(script: ScriptedStripe, service: StripeService) -> None:
    foreign = destination(id="ed_0", metadata={})
    made = destination(webhook_endpoint={"url": URL, "signing_secret": "whsec_thin"})
    script.will(says(page(foreign)), says(made))

    secret, lines = await set_up(service)

    assert secret == "whsec_thin"
    assert lines == [f"created event destination for thin events ed_1 ({URL})"]
    assert (script.last.method, script.last.path) == ("POST", "/v2/core/event_destinations")
    assert (script.last.idempotency_key or "").startswith("setup:create destination:")


async def test_one_that_is_right_is_left_alone(script: ScriptedStripe, service: StripeService) -> None:
    script.will(says(page(destination())))

    secret, lines = await set_up(service)

    assert secret is None
    assert lines == [f"unchanged event destination for thin events ed_1 ({URL})"]
    assert [one.method for one in script.asked] == ["GET"]


async def test_one_that_was_changed_and_switched_off_is_repaired(
    script: ScriptedStripe, service: StripeService
) -> None:
    changed = destination(enabled_events=["v2.core.account.closed"], status="disabled")
    script.will(says(page(changed)), says(destination()), says(destination()))

    secret, lines = await set_up(service)

    assert secret is None
    assert lines == [f"repaired event destination for thin events ed_1 ({URL})"]
    assert [one.path for one in script.asked[1:]] == [
        "/v2/core/event_destinations/ed_1",
        "/v2/core/event_destinations/ed_1/enable",
    ]


async def test_a_refusal_is_told_and_stops_nothing(script: ScriptedStripe, service: StripeService) -> None:
    script.will(says(page()), refuses(403, code="more_permissions_required"))

    secret, lines = await set_up(service)

    assert secret is None
    assert len(lines) == 1
    assert lines[0].startswith("skipped event destination for thin events (Stripe refused: more_permissions_required;")
