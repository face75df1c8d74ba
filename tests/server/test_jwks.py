"""Keys by URL: one fetch for many callers, rotation, outages, and an issuer that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.domain.clock import ManualClock
from gateway.server.auth import BadToken, IssuerKeys, TokenVerifier
from gateway.server.jwks import (
    KEY_SET_BYTES_MAX,
    KEYS_FRESH,
    KEYS_STALE_MAX,
    REFRESH_COOLDOWN,
    KeysUnavailable,
    RemoteKeys,
)
from tests.server.tokens import (
    EC_KEY,
    ED_KEY,
    NOW,
    OTHER_RSA_KEY,
    RSA_KEY,
    claims,
    ec_jwk,
    ed_jwk,
    rsa_jwk,
    signed,
)


@dataclass
class Issuer:
    """A key server whose answers a test can change."""

    keys: list[Any] = field(default_factory=lambda: [rsa_jwk(RSA_KEY, "k1")])
    answer: Callable[[], web.StreamResponse] | None = None
    hits: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.hits += 1
        await asyncio.sleep(0)
        if self.answer is not None:
            return self.answer()
        return web.Response(body=orjson.dumps({"keys": self.keys}), content_type="application/json")


@dataclass
class World:
    issuer: Issuer
    clock: ManualClock
    keys: RemoteKeys

    async def subject(self, token: str) -> str:
        verifier = TokenVerifier(keys=IssuerKeys(self.keys), clock=self.clock)
        return (await verifier.verify(token)).subject

    async def settle(self) -> None:
        """Lets a fetch in the background come to its end."""
        hits = self.issuer.hits
        for _ in range(100):
            await asyncio.sleep(0.01)
            if self.issuer.hits > hits:
                await asyncio.sleep(0.05)
                return
        raise AssertionError("no fetch came")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    issuer, clock = Issuer(), ManualClock(NOW)
    app = web.Application()
    app.router.add_get("/keys", issuer.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        keys = RemoteKeys(session=session, url=str(server.make_url("/keys")), clock=clock)
        yield World(issuer, clock, keys)
        await keys.close()


def rs256(key_id: str = "k1", **changes: object) -> str:
    return signed(claims(**changes), key=RSA_KEY, algorithm="RS256", kid=key_id)


async def test_each_kind_of_key_verifies_its_own_algorithm(world: World) -> None:
    world.issuer.keys = [rsa_jwk(RSA_KEY, "k1"), ec_jwk("k2"), ed_jwk("k3")]
    assert await world.subject(rs256()) == "user_1"
    assert await world.subject(signed(key=EC_KEY, algorithm="ES256", kid="k2")) == "user_1"
    assert await world.subject(signed(key=ED_KEY, algorithm="EdDSA", kid="k3")) == "user_1"
    assert world.issuer.hits == 1


@pytest.mark.parametrize(
    "token",
    [
        signed(kid="k1"),
        signed(key=RSA_KEY, algorithm="RS512", kid="k1"),
        signed(key=RSA_KEY, algorithm="PS256", kid="k1"),
        signed(key=OTHER_RSA_KEY, algorithm="RS256", kid="k1"),
        signed(key=EC_KEY, algorithm="ES256", kid="k1"),
        signed(key=RSA_KEY, algorithm="RS256"),
        signed(key=RSA_KEY, algorithm="RS256", kid=""),
        signed(key=RSA_KEY, algorithm="RS256", kid="unknown"),
    ],
    ids=["HMAC", "RS512", "PS256", "another key", "another type", "no kid", "empty kid", "unknown kid"],
)
async def test_a_token_must_fit_the_key_it_names(world: World, token: str) -> None:
    with pytest.raises(BadToken):
        await world.subject(token)


async def test_a_hundred_cold_requests_fetch_once(world: World) -> None:
    assert await asyncio.gather(*(world.subject(rs256()) for _ in range(100))) == ["user_1"] * 100
    assert world.issuer.hits == 1


async def test_a_caller_that_goes_away_does_not_end_the_fetch_of_the_others(world: World) -> None:
    first = asyncio.create_task(world.subject(rs256()))
    second = asyncio.create_task(world.subject(rs256()))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "user_1"
    assert world.issuer.hits == 1


async def test_unknown_key_ids_do_not_hammer_the_issuer(world: World) -> None:
    await world.subject(rs256())
    outcomes = await asyncio.gather(*(world.subject(rs256(f"evil{n}")) for n in range(200)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {BadToken}
    assert world.issuer.hits == 1


async def test_a_new_key_is_found_after_the_cooldown(world: World) -> None:
    await world.subject(rs256())
    world.issuer.keys = [rsa_jwk(RSA_KEY, "k1"), rsa_jwk(OTHER_RSA_KEY, "k2")]
    token = signed(key=OTHER_RSA_KEY, algorithm="RS256", kid="k2")
    with pytest.raises(BadToken):
        await world.subject(token)
    world.clock.advance(REFRESH_COOLDOWN)
    assert await world.subject(token) == "user_1"
    assert world.issuer.hits == 2


async def test_a_withdrawn_key_is_forgotten_after_the_next_fetch(world: World) -> None:
    await world.subject(rs256())
    world.issuer.keys = [rsa_jwk(OTHER_RSA_KEY, "k2")]
    world.clock.advance(KEYS_FRESH)
    assert await world.subject(rs256()) == "user_1"
    await world.settle()
    with pytest.raises(BadToken):
        await world.subject(rs256())


async def test_an_outage_is_ridden_out_with_the_keys_at_hand(world: World) -> None:
    await world.subject(rs256())
    world.issuer.answer = lambda: web.Response(status=503)
    world.clock.advance(KEYS_STALE_MAX - timedelta(seconds=1))
    token = rs256(iat=int(world.clock.now().timestamp()), exp=int(world.clock.now().timestamp()) + 60)
    assert await world.subject(token) == "user_1"
    await world.settle()
    world.clock.advance(timedelta(seconds=1))
    with pytest.raises(KeysUnavailable):
        await world.subject(token)


async def test_a_new_key_that_cannot_be_fetched_is_no_fault_of_its_token(world: World) -> None:
    await world.subject(rs256())
    world.issuer.keys = [rsa_jwk(RSA_KEY, "k1"), rsa_jwk(OTHER_RSA_KEY, "k2")]
    world.issuer.answer = lambda: web.Response(status=503)
    world.clock.advance(REFRESH_COOLDOWN)
    token = signed(key=OTHER_RSA_KEY, algorithm="RS256", kid="k2")
    for _ in range(2):  # the second one within the cooldown
        with pytest.raises(KeysUnavailable):
            await world.subject(token)
    assert world.issuer.hits == 2
    assert await world.subject(rs256()) == "user_1"

    world.issuer.answer = None
    world.clock.advance(REFRESH_COOLDOWN)
    assert await world.subject(token) == "user_1"
    with pytest.raises(BadToken):
        await world.subject(rs256("evil"))


async def test_keys_come_back_after_an_outage(world: World) -> None:
    world.issuer.answer = lambda: web.Response(status=503)
    with pytest.raises(KeysUnavailable):
        await world.subject(rs256())
    world.issuer.answer = None
    with pytest.raises(KeysUnavailable):
        await world.subject(rs256())
    assert world.issuer.hits == 1
    world.clock.advance(REFRESH_COOLDOWN)
    assert await world.subject(rs256()) == "user_1"


def redirect() -> web.Response:
    return web.Response(status=302, headers={"Location": "/keys"})


def huge() -> web.Response:
    return web.Response(body=b" " * (KEY_SET_BYTES_MAX + 1))


MISBEHAVIOUR: dict[str, Callable[[], web.Response]] = {
    "redirect": redirect,
    "too large": huge,
    "not JSON": lambda: web.Response(body=b"<html>"),
    "a list": lambda: web.Response(body=b"[]"),
    "no keys": lambda: web.Response(body=b"{}"),
    "keys is text": lambda: web.Response(body=b'{"keys":"k1"}'),
    "empty": lambda: web.Response(body=b'{"keys":[]}'),
    "junk entries": lambda: web.Response(body=b'{"keys":[1,null,{},{"kty":"RSA"},{"kty":7},{"kty":"EC","crv":[]}]}'),
    "a shared secret": lambda: web.Response(body=b'{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"k1"}]}'),
    "for encryption": lambda: web.Response(body=orjson.dumps({"keys": [{**rsa_jwk(RSA_KEY, "k1"), "use": "enc"}]})),
    "another algorithm": lambda: web.Response(
        body=orjson.dumps({"keys": [{**rsa_jwk(RSA_KEY, "k1"), "alg": "RS512"}]})
    ),
    "an odd id": lambda: web.Response(body=orjson.dumps({"keys": [{**rsa_jwk(RSA_KEY, "k1"), "kid": 7}]})),
}


@pytest.mark.parametrize("answer", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR.keys())
async def test_an_issuer_that_misbehaves_counts_as_an_outage(world: World, answer: Callable[[], web.Response]) -> None:
    world.issuer.answer = answer
    with pytest.raises(KeysUnavailable):
        await world.subject(rs256())
    assert world.issuer.hits == 1


async def test_a_bad_answer_does_not_replace_good_keys(world: World) -> None:
    await world.subject(rs256())
    world.issuer.answer = MISBEHAVIOUR["empty"]
    world.clock.advance(KEYS_FRESH)
    await world.subject(rs256())
    await world.settle()
    assert await world.subject(rs256()) == "user_1"


async def test_closing_ends_a_fetch_under_way(world: World) -> None:
    waiting = asyncio.create_task(world.subject(rs256()))
    await asyncio.sleep(0)
    await world.keys.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
