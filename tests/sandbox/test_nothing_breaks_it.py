"""Random requests to every operation: each is answered as Stripe would answer, never with a crash."""

import random
from typing import cast
from urllib.parse import quote, urlencode

import orjson

from gateway.sandbox.refusals import Json
from gateway.sandbox.resources.every import ALL_OPERATIONS
from gateway.sandbox.wire.operation import Operation
from gateway.sandbox.wire.shapes import Anything, Either, ListOf, OneOf, Parts, Scalar, Shape, TextMap
from tests.sandbox.connect import creator, fund, transfer
from tests.sandbox.local_stripe import API_KEY, LocalStripe
from tests.sandbox.shop import deposit_session, open_shop, pay, subscribe

ROUNDS = 12
JUNK = ("", "0", "-1", "1e9", "true", "null", "2147483648", "ä\u0000", "x" * 600, "{", "usd", "USD", "now", "1.5")


PLAUSIBLE = {
    "currency": "usd",
    "contact_email": "a@example.com",
    "email": "a@example.com",
    "refresh_url": "https://a.test/",
    "customer_email": "b@example.com",
    "success_url": "https://a.test/{CHECKOUT_SESSION_ID}",
    "return_url": "https://a.test/",
    "url": "https://a.test/",
    "name": "A",
    "payment_method": "pm_card_visa",
    "default_payment_method": "pm_card_visa",
    "iban": "AT611904300234573201",
    "number": "4000000000000341",
    "": "customer.created",
}
PREFIXES = {
    "account": "acct_",
    "balance_transaction": "txn_",
    "destination": "acct_",
    "payout": "po_",
    "transfer": "tr_",
    "transfer_reversal": "tr_",
    "v2": "acct_",
    "billing_portal.configuration": "bpc_",
    "charge": "ch_",
    "checkout.session": "cs_",
    "configuration": "bpc_",
    "customer": "cus_",
    "dispute": "du_",
    "event": "evt_",
    "id": "si_",
    "invoice": "in_",
    "payment_intent": "pi_",
    "payment_method_kind": "pm_",
    "payment_page": "cs_",
    "price": "price_",
    "product": "prod_",
    "refund": "re_",
    "subscription": "sub_",
    "webhook_endpoint": "we_",
}


def _pairs(shape: Shape, name: str, known: list[str], chance: random.Random) -> list[tuple[str, str]]:
    """Mostly plausible values for a shape, some of them not."""
    if isinstance(shape, OneOf | Scalar | Anything) or chance.random() < 0.03:
        return [(name, _value(shape, name, known, chance))]
    match shape:
        case Parts(fields):
            picked = [one for one in fields if one.played and (one.required or chance.random() < 0.25)]
            return [
                pair
                for one in picked
                for pair in _pairs(one.shape, f"{name}[{one.name}]" if name else one.name, known, chance)
            ]
        case ListOf(item):
            return [
                pair
                for index in range(chance.randint(0, 2))
                for pair in _pairs(item, f"{name}[{index}]", known, chance)
            ]
        case TextMap():
            return [(f"{name}[k{chance.randint(0, 3)}]", chance.choice(["", "v", *JUNK]))]
        case Either(options):
            return _pairs(chance.choice(options), name, known, chance)
    raise AssertionError(shape)


def _value(shape: Shape, name: str, known: list[str], chance: random.Random) -> str:
    if chance.random() < 0.03:
        return chance.choice(JUNK)
    if isinstance(shape, OneOf):
        return chance.choice(shape.words)
    if not isinstance(shape, Scalar) or shape.kind == "text":
        return _text(name.rpartition("[")[2].strip("]"), known, chance)
    if shape.kind == "flag":
        return chance.choice(["true", "false"])
    return str(chance.choice([0, 1, 1, 2, 50, 500, 2500, 10**7, 10**10, -3, 1_800_000_000]))


def _text(name: str, known: list[str], chance: random.Random) -> str:
    """What a parameter of that name may well hold."""
    if name in PLAUSIBLE:
        return PLAUSIBLE[name]
    fitting = [one for one in known if one.startswith(PREFIXES.get(name, "none"))]
    return chance.choice(fitting or [*known, *JUNK])


async def _known_ids(local: LocalStripe) -> list[str]:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    paid = await pay(local, await deposit_session(local, customer=shop.customer))
    intent = await local.ok("GET", f"/v1/payment_intents/{paid['payment_intent']}")
    return [
        shop.customer,
        shop.product,
        shop.monthly,
        shop.yearly,
        bought["id"],
        bought["items"]["data"][0]["id"],
        bought["latest_invoice"],
        paid["id"],
        intent["id"],
        intent["latest_charge"],
        *await _connected_ids(local),
    ]


async def _connected_ids(local: LocalStripe) -> list[str]:
    await fund(local)
    old, new = await creator(local), await creator(local, v2=True)
    moved = await transfer(local, old, 1500)
    await transfer(local, new, 700)
    payout = await local.control("payouts/create", {"account": old, "amount": 300})
    (event,) = (await local.ok("GET", "/v2/core/events", "limit=1"))["data"]
    return [old, new, moved["id"], payout["id"], event["id"]]


def _tree(pairs: list[tuple[str, str]]) -> Json | list[Json]:
    """The pairs as JSON of the same shape; sometimes as a list, which no operation takes."""
    root: Json = {}
    for name, value in pairs:
        holder = root
        *way, last = name.replace("]", "").split("[")
        for step in way:
            inner: object = holder.setdefault(step, {})
            if not isinstance(inner, dict):
                return [root]
            holder = cast("Json", inner)
        holder[last] = {"true": True, "false": False, "null": None}.get(value, value)
    return root


def _id(kind: str, known: list[str], chance: random.Random) -> str:
    fitting = [one for one in known if one.startswith(PREFIXES.get(kind, "none"))]
    return chance.choice([*fitting, *fitting, *fitting, "none", "a/b", "%00"])


async def _ask(local: LocalStripe, operation: Operation, known: list[str], chance: random.Random) -> Json:
    path = operation.path
    while "{id}" in path:
        path = path.replace("{id}", quote(_id(operation.kind, known, chance), safe=""), 1)
    pairs = _pairs(operation.shape, "", known, chance)
    if chance.random() < 0.05:
        pairs.append((chance.choice(["nothing", "a[b", "[]", "expand[]", "expand", "metadata[]"]), chance.choice(JUNK)))
    second_generation = path.startswith("/v2/")
    kind = "application/json" if second_generation else "application/x-www-form-urlencoded"
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": kind}
    acting = [one for one in known if one.startswith("acct_")]
    if acting and chance.random() < 0.1:
        headers["Stripe-Account"] = chance.choice([*acting, "acct_none"])
    form = urlencode(pairs)
    query = f"?{form}" if operation.method != "POST" and form else ""
    body = None
    if operation.method == "POST":
        body = orjson.dumps(_tree(pairs)) if second_generation else form.encode()
    async with local.http.request(
        operation.method, f"{local.url}{path}{query}", data=body, headers=headers
    ) as response:
        answer: Json = await response.json()
        assert response.status in {200, 400, 402, 403, 404}, (operation.method, path, form, answer)
        assert response.status == 200 or answer["error"]["message"], answer
        return answer


async def test_random_requests_are_answered_or_refused(local: LocalStripe) -> None:
    chance = random.Random(20261122)
    known = await _known_ids(local)
    for _ in range(ROUNDS):
        for operation in ALL_OPERATIONS:
            answer = await _ask(local, operation, known, chance)
            if "id" in answer and len(known) < 400:
                known.append(answer["id"])
        await local.advance(days=chance.randint(0, 20))
    assert len(known) > 100
