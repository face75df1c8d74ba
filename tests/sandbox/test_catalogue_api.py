"""Products, prices, lookup keys, lists and expansion."""

import pytest

from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import LocalStripe, plain
from tests.sandbox.shop import open_shop


async def test_prices_are_found_by_lookup_key(local: LocalStripe) -> None:
    shop = await open_shop(local)
    found = await plain(
        local.sdk.v1.prices.list_async(
            {"lookup_keys": ["pro_monthly", "pro_yearly", "none"], "active": True, "expand": ["data.product"]}
        )
    )
    assert [price["id"] for price in found["data"]] == [shop.yearly, shop.monthly]
    assert found["data"][0]["product"]["name"] == "Pro"
    assert (found["object"], found["has_more"], found["url"]) == ("list", False, "/v1/prices")


async def test_a_lookup_key_belongs_to_one_price_until_it_is_transferred(local: LocalStripe) -> None:
    shop = await open_shop(local)
    form = f"product={shop.product}&currency=usd&unit_amount=3100&recurring[interval]=month&lookup_key=pro_monthly"
    status, _, param, message = await local.refused("POST", "/v1/prices", form)
    assert (status, param) == (400, "lookup_key")
    assert shop.monthly in message

    moved = await local.ok("POST", "/v1/prices", f"{form}&transfer_lookup_key=true")

    assert moved["lookup_key"] == "pro_monthly"
    assert (await local.ok("GET", f"/v1/prices/{shop.monthly}"))["lookup_key"] is None
    assert local.events[-2]["data"]["previous_attributes"] == {"lookup_key": "pro_monthly"}


async def test_a_lookup_key_moves_by_an_update(local: LocalStripe) -> None:
    shop = await open_shop(local)
    await local.refused("POST", f"/v1/prices/{shop.dearer}", "lookup_key=pro_monthly")
    await local.ok("POST", f"/v1/prices/{shop.dearer}", "lookup_key=pro_monthly&transfer_lookup_key=true")
    await local.ok("POST", f"/v1/prices/{shop.dearer}", "lookup_key=pro_monthly")
    assert (await local.ok("GET", f"/v1/prices/{shop.monthly}"))["lookup_key"] is None


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("currency=usd&unit_amount=100", "product"),
        ("currency=usd&unit_amount=100&product=prod_none", "product"),
        ("currency=usd&product_data[name]=A", "unit_amount"),
        ("currency=xyz&unit_amount=100&product_data[name]=A", "currency"),
        ("currency=usd&unit_amount=-1&product_data[name]=A", "unit_amount"),
        ("currency=usd&unit_amount=100000000&product_data[name]=A", "unit_amount"),
        ("currency=usd&unit_amount=1&unit_amount_decimal=1&product_data[name]=A", "unit_amount"),
        ("currency=usd&unit_amount_decimal=0.5&product_data[name]=A", "unit_amount"),
        ("currency=usd&unit_amount=1&product_data[name]=A&recurring[interval]=fortnight", "recurring[interval]"),
        ("currency=usd&unit_amount=1&product_data[name]=A&recurring[interval]=year&recurring[interval_count]=4",
         "recurring[interval_count]"),
        ("unit_amount=1&product_data[name]=A", "currency"),
        ("currency=usd&unit_amount=1&product_data[name]=A&lookup_key=" + "k" * 201, "lookup_key"),
    ],
)  # fmt: skip
async def test_prices_that_make_no_sense_are_refused_and_leave_nothing(
    local: LocalStripe, form: str, param: str
) -> None:
    status, _, named, _ = await local.refused("POST", "/v1/prices", form)
    assert (status, named) == (400, param)
    assert local.events == []


async def test_a_price_can_bring_its_product(local: LocalStripe) -> None:
    made = await local.ok(
        "POST", "/v1/prices", "currency=USD&unit_amount_decimal=900&product_data[name]=A&expand[]=product"
    )
    assert (made["currency"], made["unit_amount"], made["unit_amount_decimal"]) == ("usd", 900, "900")
    assert (made["product"]["name"], made["type"]) == ("A", "one_time")


async def test_the_amount_of_a_price_never_changes(local: LocalStripe) -> None:
    shop = await open_shop(local)
    refused = await local.refused("POST", f"/v1/prices/{shop.monthly}", "unit_amount=1")
    assert refused[1:3] == ("parameter_unknown", "unit_amount")


async def test_products_are_updated_field_by_field(local: LocalStripe) -> None:
    made = await local.ok("POST", "/v1/products", "name=A&metadata[a]=1&metadata[b]=2&description=d")
    changed = await local.ok(
        "POST", f"/v1/products/{made['id']}", "metadata[a]=&metadata[c]=3&description=&active=false"
    )
    assert changed["metadata"] == {"b": "2", "c": "3"}
    assert (changed["description"], changed["active"], changed["name"]) == (None, False, "A")
    cleared = await local.ok("POST", f"/v1/products/{made['id']}", "metadata=")
    assert cleared["metadata"] == {}


async def test_a_product_may_choose_its_id_once(local: LocalStripe) -> None:
    await local.ok("POST", "/v1/products", "id=pro&name=A")
    assert (await local.refused("POST", "/v1/products", "id=pro&name=A"))[1] == "resource_already_exists"


async def test_lists_are_paged_newest_first(local: LocalStripe) -> None:
    made = [(await local.ok("POST", "/v1/customers", f"name={index}"))["id"] for index in range(5)]
    newest_first = made[::-1]

    first = await local.ok("GET", "/v1/customers", "limit=2")
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (newest_first[:2], True)
    second = await local.ok("GET", "/v1/customers", f"limit=3&starting_after={newest_first[1]}")
    assert ([one["id"] for one in second["data"]], second["has_more"]) == (newest_first[2:], False)
    before = await local.ok("GET", "/v1/customers", f"limit=2&ending_before={newest_first[4]}")
    assert ([one["id"] for one in before["data"]], before["has_more"]) == (newest_first[2:4], True)
    every = [one.id async for one in (await local.sdk.v1.customers.list_async({"limit": 2})).auto_paging_iter()]
    assert every == newest_first


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("starting_after=cus_none", "starting_after"),
        ("ending_before=cus_none", "ending_before"),
        ("starting_after=a&ending_before=b", "starting_after"),
        ("colour=red", "colour"),
        ("created[since]=1", "created[since]"),
    ],
)
async def test_bad_list_parameters_are_refused(local: LocalStripe, query: str, param: str) -> None:
    status, _, named, _ = await local.refused("GET", "/v1/customers", query)
    assert (status, named) == (400, param)


async def test_lists_filter_by_the_time_of_creation(local: LocalStripe) -> None:
    old = await local.ok("POST", "/v1/customers")
    await local.advance(seconds=1000)
    young = await local.ok("POST", "/v1/customers")

    async def listed(query: str) -> list[str]:
        return [one["id"] for one in (await local.ok("GET", "/v1/customers", query))["data"]]

    assert await listed(f"created[gt]={old['created']}") == [young["id"]]
    assert await listed(f"created[lte]={old['created']}") == [old["id"]]
    assert await listed(f"created={young['created']}") == [young["id"]]
    assert await listed(f"created[gte]={old['created']}&created[lt]={young['created']}") == [old["id"]]


@pytest.mark.parametrize(
    ("path", "expand"),
    [
        ("/v1/prices", "product"),
        ("/v1/prices", "data.unit_amount"),
        ("/v1/prices", "data"),
        ("/v1/prices", "data.product.nothing"),
        ("/v1/checkout/sessions", "data.line_items.data.price.nothing"),
        ("/v1/subscriptions", "data.items.data.price"),
        ("/v1/subscriptions", "data.latest_invoice.payments.data.payment.payment_intent.latest_charge.customer"),
    ],
)
async def test_what_cannot_be_expanded_is_refused(local: LocalStripe, path: str, expand: str) -> None:
    status, _, param, _ = await local.refused("GET", path, f"expand[]={expand}")
    assert (status, param) == (400, "expand[0]")


async def test_an_update_that_cannot_be_expanded_changes_nothing(local: LocalStripe) -> None:
    await local.refused("POST", "/v1/customers", "name=A&expand[]=nothing")
    assert local.events == []


async def test_an_event_tells_which_request_made_it(local: LocalStripe) -> None:
    _, made, headers = await local.api("POST", "/v1/customers", "name=A", headers={"Idempotency-Key": "k1"})
    event: Json = local.events[0]
    assert event["request"] == {"id": headers["Request-Id"], "idempotency_key": "k1"}
    assert event["data"]["object"] == made
    assert (event["api_version"], event["livemode"], event["object"]) == ("2026-10-28.endive", False, "event")
