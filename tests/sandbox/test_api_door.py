"""Keys, versions, addresses and headers of the API."""

import base64
import io

import pytest
import stripe

from gateway.sandbox.settings import SandboxSettings
from tests.sandbox.local_stripe import API_KEY, LocalStripe, local_stripe


async def test_answers_name_their_request_and_version(local: LocalStripe) -> None:
    status, _, headers = await local.api(
        "POST", "/v1/customers", headers={"Stripe-Version": "2026-09-30.endive", "Idempotency-Key": "k"}
    )
    assert status == 200
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == "2026-09-30.endive"
    assert headers["Idempotency-Key"] == "k"
    assert headers["Content-Type"] == "application/json"


async def test_without_a_version_the_accounts_own_counts(local: LocalStripe) -> None:
    _, _, headers = await local.api("GET", "/v1/customers")
    assert headers["Stripe-Version"] == "2026-10-28.endive"


@pytest.mark.parametrize("version", ["2026-10-28", "2026-10-28.basil", "latest", ""])
async def test_an_unknown_version_is_refused(local: LocalStripe, version: str) -> None:
    status, _, _, message = await local.refused("GET", "/v1/customers", headers={"Stripe-Version": version})
    assert status == 400
    assert "Invalid Stripe API version" in message


@pytest.mark.parametrize("key", ["", "pk_test_abc", "sk_abc", "sk_test_", "sk_test_a b", "whsec_x", "sk_prod_abc"])
async def test_a_bad_key_is_401_without_a_code(local: LocalStripe, key: str) -> None:
    status, code, _, _ = await local.refused("GET", "/v1/customers", key=key)
    assert (status, code) == (401, None)


async def test_no_key_at_all_is_401(local: LocalStripe) -> None:
    async with local.http.get(f"{local.url}/v1/customers") as response:
        assert response.status == 401
        assert "You did not provide an API key" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("rest", ["!!!", base64.b64encode(b"\xff\xfe").decode(), base64.b64encode(b"nokey:").decode()])
async def test_basic_auth_that_is_no_key_is_401(local: LocalStripe, rest: str) -> None:
    status, *_ = await local.refused("GET", "/v1/customers", headers={"Authorization": f"Basic {rest}"})
    assert status == 401


async def test_the_key_may_come_as_basic_auth(local: LocalStripe) -> None:
    encoded = base64.b64encode(f"{API_KEY}:".encode()).decode()
    await local.ok("GET", "/v1/customers", headers={"Authorization": f"Basic {encoded}"})


async def test_only_accepted_keys_may_call_when_some_are_named() -> None:
    async with local_stripe(SandboxSettings(accepted_keys=("sk_test_right",))) as local:
        assert (await local.refused("GET", "/v1/customers", key="sk_test_wrong"))[0] == 401
        status, _, _ = await local.api("GET", "/v1/customers", key="sk_test_right")
        assert status == 200


async def test_test_and_live_mode_do_not_see_each_other(local: LocalStripe) -> None:
    _, live, _ = await local.api("POST", "/v1/customers", key="sk_live_x")
    assert live["livemode"] is True
    status, code, param, message = await local.refused("GET", f"/v1/customers/{live['id']}")
    assert (status, code, param) == (404, "resource_missing", "id")
    assert message == (
        f"No such customer: '{live['id']}'; a similar object exists in live mode, "
        "but a test mode key was used to make this request."
    )


async def test_an_account_that_is_not_connected_is_403(local: LocalStripe) -> None:
    status, code, *_ = await local.refused("GET", "/v1/customers", headers={"Stripe-Account": "acct_none"})
    assert (status, code) == (403, "account_invalid")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("PUT", "/v1/customers"), ("POST", "/v1/charges"), ("GET", "/v1/")]
)
async def test_an_unknown_address_is_404(local: LocalStripe, method: str, path: str) -> None:
    status, _, _, message = await local.refused(method, path)
    assert status == 404
    assert message.startswith(f"Unrecognized request URL ({method}: {path})")


async def test_an_empty_id_lists_as_stripe_does(local: LocalStripe) -> None:
    listed = await local.ok("GET", "/v1/checkout/sessions/")
    assert listed["object"] == "list"


async def test_an_id_cannot_reach_another_address(local: LocalStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        await local.sdk.v1.customers.retrieve_async("../products")


async def test_json_bodies_are_refused(local: LocalStripe) -> None:
    status, *_ = await local.refused("POST", "/v1/customers", "{}", headers={"Content-Type": "application/json"})
    assert status == 400


async def test_bodies_that_are_not_utf8_are_refused(local: LocalStripe) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    async with local.http.post(f"{local.url}/v1/customers", data=b"name=\xff", headers=headers) as response:
        assert response.status == 400


async def test_a_huge_body_is_refused(local: LocalStripe) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    body = io.BytesIO(b"name=" + b"x" * 1_100_000)
    async with local.http.post(f"{local.url}/v1/customers", data=body, headers=headers) as response:
        assert response.status == 413


async def test_the_sdk_maps_each_refusal_to_its_error(local: LocalStripe) -> None:
    sdk = local.sdk.v1
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await sdk.prices.retrieve_async("price_none")
    assert (missing.value.http_status, missing.value.code, missing.value.param) == (404, "resource_missing", "id")
    with pytest.raises(stripe.InvalidRequestError) as absent:
        await sdk.products.create_async({})  # pyright: ignore[reportArgumentType]  # that it is refused is the point
    assert (absent.value.code, absent.value.param) == ("parameter_missing", "name")
    assert absent.value.request_id is not None
    with pytest.raises(stripe.AuthenticationError):
        await sdk.products.list_async({}, {"api_key": "sk_test_"})
    with pytest.raises(stripe.PermissionError):
        await sdk.products.list_async({}, {"stripe_account": "acct_other"})
