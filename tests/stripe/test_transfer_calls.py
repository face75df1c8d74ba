"""What the calls about transfers send to Stripe, and what they make of the answers."""

from datetime import UTC, datetime

import pytest

from gateway.domain.errors import ProviderRejected, ProviderUnavailable
from gateway.stripe_service import StripeService
from tests.stripe.scripted import ScriptedStripe, refuses, says
from tests.stripe.stripe_objects import CREATED, JsonObject, listing

CREATED_AT = datetime.fromtimestamp(CREATED, UTC)


def transfer(transfer_id: str = "tr_1", **changes: object) -> JsonObject:
    return {
        "id": transfer_id,
        "object": "transfer",
        "amount": 5_000,
        "amount_reversed": 0,
        "created": CREATED,
        "currency": "usd",
        "destination": "acct_1",
        "destination_payment": "py_1",
        "livemode": False,
        "metadata": {"gateway_payout": "p1"},
        "reversals": listing(),
        "transfer_group": "p1",
        **changes,
    }


def reversal(number: int, cents: int) -> JsonObject:
    return {"id": f"trr_{number}", "object": "transfer_reversal", "amount": cents, "created": CREATED + number}


async def make(service: StripeService) -> str:
    made = await service.create_transfer(
        amount_cents=5_000, destination="acct_1", payout_id="p1", idempotency_key="po:p1:1"
    )
    return made.transfer_id


async def test_a_transfer_is_made_under_its_key_in_the_group_of_its_payout(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(says(transfer()))

    assert await make(service) == "tr_1"

    assert script.last.idempotency_key == "po:p1:1"
    assert script.last.params == {
        "amount": "5000",
        "currency": "usd",
        "destination": "acct_1",
        "transfer_group": "p1",
        "metadata[gateway_payout]": "p1",
    }


async def test_too_little_on_the_balance_is_a_definite_no_with_its_code(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(refuses(400, code="balance_insufficient"))

    with pytest.raises(ProviderRejected) as caught:
        await make(service)
    assert caught.value.provider_code == "balance_insufficient"


async def test_an_answer_that_is_no_transfer_leaves_the_outcome_unknown(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(says(transfer(amount="5000")))

    with pytest.raises(ProviderUnavailable):
        await make(service)


async def test_a_group_is_looked_through_to_its_last_page_oldest_first(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(
        says(listing(transfer("tr_3"), transfer("tr_2"), has_more=True)),
        says(listing(transfer("tr_1", destination={"id": "acct_2", "object": "account"}))),
    )

    found = await service.transfers_of("p1")

    assert [(one.transfer_id, one.destination) for one in found] == [
        ("tr_1", "acct_2"),
        ("tr_2", "acct_1"),
        ("tr_3", "acct_1"),
    ]
    assert script.asked[0].params == {"transfer_group": "p1", "limit": "100"}
    assert script.asked[1].params["starting_after"] == "tr_2"


async def test_reversals_that_do_not_come_with_the_transfer_are_listed(
    service: StripeService, script: ScriptedStripe
) -> None:
    newest = [reversal(number, 7) for number in (13, 12)]
    rest = [reversal(number, 7) for number in (13, 12, 11)]
    script.will(
        says(transfer(amount_reversed=21, reversals=listing(*newest, has_more=True))),
        says(listing(*rest)),
    )

    found = await service.retrieve_transfer("tr_1")

    assert found is not None
    assert [one.reversal_id for one in found.reversals] == ["trr_11", "trr_12", "trr_13"]
    assert (found.reversed_cents, found.reversals[0].created_at.timestamp()) == (21, CREATED + 11)
    assert script.last.path == "/v1/transfers/tr_1/reversals"


@pytest.mark.parametrize("transfer_id", ["", "../balance", "tr_1?x=1"])
async def test_what_cannot_be_an_id_is_not_asked_about(
    service: StripeService, script: ScriptedStripe, transfer_id: str
) -> None:
    assert await service.retrieve_transfer(transfer_id) is None
    assert script.asked == []


async def test_a_transfer_nobody_knows_is_none(service: StripeService, script: ScriptedStripe) -> None:
    script.will(refuses(404, code="resource_missing"))

    assert await service.retrieve_transfer("tr_404") is None
