"""Asking twice under one key does once."""

import asyncio

import pytest
import stripe

from tests.sandbox.local_stripe import LocalStripe

KEY = {"Idempotency-Key": "deposit:1"}


async def test_the_first_answer_is_replayed(local: LocalStripe) -> None:
    first = await local.ok("POST", "/v1/customers", "email=a@example.com", headers=KEY)
    status, again, headers = await local.api("POST", "/v1/customers", "email=a@example.com", headers=KEY)
    assert (status, again) == (200, first)
    assert headers["Idempotent-Replayed"] == "true"
    assert len((await local.ok("GET", "/v1/customers"))["data"]) == 1
    assert local.types() == ["customer.created"]


async def test_parameters_in_another_order_are_the_same_request(local: LocalStripe) -> None:
    first = await local.ok("POST", "/v1/customers", "email=a@example.com&name=A", headers=KEY)
    assert await local.ok("POST", "/v1/customers", "name=A&email=a@example.com", headers=KEY) == first


async def test_other_parameters_under_the_key_are_an_error(local: LocalStripe) -> None:
    await local.ok("POST", "/v1/customers", "name=A", headers=KEY)
    with pytest.raises(stripe.IdempotencyError):
        await local.sdk.v1.customers.create_async({"name": "B"}, {"idempotency_key": "deposit:1"})
    assert len((await local.ok("GET", "/v1/customers"))["data"]) == 1


async def test_another_address_under_the_key_is_an_error(local: LocalStripe) -> None:
    await local.ok("POST", "/v1/customers", "name=A", headers=KEY)
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await local.sdk.v1.products.create_async({"name": "A"}, {"idempotency_key": "deposit:1"})


async def test_a_request_that_was_not_valid_leaves_the_key_free(local: LocalStripe) -> None:
    assert (await local.refused("POST", "/v1/customers", "nom=A", headers=KEY))[1] == "parameter_unknown"
    await local.ok("POST", "/v1/customers", "name=A", headers=KEY)


async def test_a_missing_object_leaves_the_key_free(local: LocalStripe) -> None:
    form = "charge=ch_none"
    assert (await local.refused("POST", "/v1/refunds", form, headers=KEY))[1] == "resource_missing"
    _, _, headers = await local.api("POST", "/v1/refunds", form, headers=KEY)
    assert "Idempotent-Replayed" not in headers


async def test_modes_do_not_share_keys(local: LocalStripe) -> None:
    first = await local.ok("POST", "/v1/customers", "name=A", headers=KEY)
    _, live, headers = await local.api("POST", "/v1/customers", "name=A", headers=KEY, key="sk_live_x")
    assert live["id"] != first["id"]
    assert "Idempotent-Replayed" not in headers


async def test_a_key_is_forgotten_after_a_day(local: LocalStripe) -> None:
    first = await local.ok("POST", "/v1/customers", "name=A", headers=KEY)
    await local.advance(seconds=24 * 3600 - 60)
    assert (await local.ok("POST", "/v1/customers", "name=A", headers=KEY))["id"] == first["id"]
    await local.advance(seconds=120)
    assert (await local.ok("POST", "/v1/customers", "name=A", headers=KEY))["id"] != first["id"]


async def test_a_key_in_use_is_409(local: LocalStripe) -> None:
    await local.control("faults", {"path": "/v1/customers", "kind": "slow", "seconds": 0.3})
    slow = asyncio.create_task(local.api("POST", "/v1/customers", "name=A", headers=KEY))
    while not (await local.look("requests"))["requests"]:
        await asyncio.sleep(0.01)
    status, code, *_ = await local.refused("POST", "/v1/customers", "name=A", headers=KEY)
    assert (status, code) == (409, "idempotency_key_in_use")
    first = (await slow)[1]
    assert await local.ok("POST", "/v1/customers", "name=A", headers=KEY) == first


async def test_reads_ignore_keys(local: LocalStripe) -> None:
    await local.ok("GET", "/v1/customers", headers=KEY)
    await local.ok("GET", "/v1/products", headers=KEY)


async def test_a_key_that_is_too_long_is_refused(local: LocalStripe) -> None:
    status, *_ = await local.refused("POST", "/v1/customers", headers={"Idempotency-Key": "k" * 256})
    assert status == 400


async def test_fifty_at_once_make_one(local: LocalStripe) -> None:
    answers = await asyncio.gather(*(local.ok("POST", "/v1/customers", "name=A", headers=KEY) for _ in range(50)))
    assert len({answer["id"] for answer in answers}) == 1
    assert local.types() == ["customer.created"]
