"""Bearer tokens: what is accepted, and every way in which one is not."""

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.domain.clock import ManualClock
from gateway.domain.identity import Caller
from gateway.server.auth import (
    AUDIENCES_MAX,
    REMEMBERED_SECONDS_MAX,
    REMEMBERED_TOKENS_MAX,
    TOKEN_CHARACTERS_MAX,
    Authenticator,
    BadToken,
    SharedSecret,
    SigningKey,
    TokenVerifier,
    make_token,
)
from tests.server.tokens import NOW, NOW_SECONDS, RSA_KEY, SECRET, claims, signed, unsigned

PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


class CountingSecret(SharedSecret):
    """The shared secret, counting how often it was asked for."""

    def __init__(self, secret: str) -> None:
        super().__init__(secret)
        self.asked = 0

    async def key_for(self, header: Mapping[str, Any]) -> SigningKey:
        self.asked += 1
        return await super().key_for(header)


class PublicKey:
    """An issuer whose one RSA key is known."""

    async def key_for(self, header: Mapping[str, Any]) -> SigningKey:
        return SigningKey(RSA_KEY.public_key(), "RS256")


def verifier(clock: ManualClock | None = None, issuer: str | None = None, audience: str | None = None) -> TokenVerifier:
    return TokenVerifier(keys=SharedSecret(SECRET), clock=clock or ManualClock(NOW), issuer=issuer, audience=audience)


def by_hand(header: object, content: bytes, key: bytes) -> str:
    """A token with a true HMAC over a header that the library would refuse to write."""
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(content).rstrip(b"=")
    mac = hmac.digest(key, head + b"." + body, "sha256")
    return b".".join([head, body, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


async def test_a_good_token_names_the_caller_and_its_scopes() -> None:
    token = make_token(secret=SECRET, subject="user_1", now=NOW, scopes=["billing:charge", "billing:admin"])
    caller = await verifier().verify(token)
    assert caller == Caller("user_1", frozenset({"billing:charge", "billing:admin"}))


async def test_a_token_without_scope_may_do_nothing_special() -> None:
    assert await verifier().verify(signed()) == Caller("user_1", frozenset())


BAD = {
    "signed with another secret": signed(key="another secret that is long enough"),
    "another HMAC": signed(algorithm="HS512"),
    "none": unsigned("none"),
    "none in odd case": unsigned("nOnE"),
    "an RSA signature where a secret is expected": signed(key=RSA_KEY, algorithm="RS256"),
    "no exp": signed(claims(exp=None)),
    "no iat": signed(claims(iat=None)),
    "no sub": signed(claims(sub=None)),
    "expired": signed(claims(iat=NOW_SECONDS - 3600, exp=NOW_SECONDS - 10)),
    "exp in the year 292277026596": signed(claims(exp=2**63)),
    "exp of 10 to the 30": signed(claims(exp=10**30)),
    "exp before our era": signed(claims(exp=-(2**63))),
    "lives longer than a day": signed(claims(exp=NOW_SECONDS + 24 * 3600 + 1)),
    "exp before iat": signed(claims(iat=NOW_SECONDS + 5, exp=NOW_SECONDS + 5)),
    "exp as text": signed(claims(exp=str(NOW_SECONDS + 60))),
    "exp as true": signed(claims(exp=True)),
    "exp as a list": signed(claims(exp=[NOW_SECONDS + 60])),
    "iat as text": signed(claims(iat=str(NOW_SECONDS))),
    "iat in the future": signed(claims(iat=NOW_SECONDS + 11)),
    "nbf in the future": signed(claims(nbf=NOW_SECONDS + 11)),
    "nbf as text": signed(claims(nbf="now")),
    "sub as a number": signed(claims(sub=7)),
    "sub empty": signed(claims(sub="")),
    "sub blank": signed(claims(sub="  ")),
    "sub too long": signed(claims(sub="a" * 201)),
    "sub with a line break": signed(claims(sub="user\n1")),
    "sub with NUL": signed(claims(sub="user\x00")),
    "sub that turns the text around": signed(claims(sub="user\u202e1")),
    "scope as a list": signed(claims(scope=["billing:admin"])),
    "content is a list": signed([1, 2]),
    "content is null": signed("null"),
    "content is not JSON": by_hand({"alg": "HS256"}, b"{", SECRET.encode()),
    "content is not UTF-8": by_hand({"alg": "HS256"}, b"\xff\xfe", SECRET.encode()),
    "content has NaN": by_hand({"alg": "HS256"}, b'{"sub":"u","iat":0,"exp":NaN}', SECRET.encode()),
    "content is nested deep": by_hand({"alg": "HS256"}, b"[" * 2500, SECRET.encode()),
    "header is a list": by_hand(["HS256"], b"{}", SECRET.encode()),
    "header is nested deep": by_hand({"alg": "HS256", "x": [[[["y"]]]]}, b"{}", SECRET.encode())[:-2] + "xx",
    "alg is a list": by_hand({"alg": ["HS256"]}, b"{}", SECRET.encode()),
    "alg is missing": by_hand({"typ": "JWT"}, b"{}", SECRET.encode()),
    "a critical extension": by_hand({"alg": "HS256", "crit": ["exp"], "exp": 1}, b"{}", SECRET.encode()),
    "kid is a number": by_hand({"alg": "HS256", "kid": 7}, b"{}", SECRET.encode()),
    "unencoded payload": by_hand({"alg": "HS256", "b64": False, "crit": ["b64"]}, b"{}", SECRET.encode()),
    "empty": "",
    "one part": "abc",
    "two parts": "a.b",
    "five parts": "a.b.c.d.e",
    "dots": "..",
    "not ASCII": "é.é.é",
    "too long": signed(claims(x="a" * TOKEN_CHARACTERS_MAX)),
    "cut signature": signed()[:-3],
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
async def test_a_bad_token_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        await verifier().verify(token)


async def test_a_header_nested_past_the_recursion_limit_is_refused() -> None:
    header = base64.urlsafe_b64encode(b"[" * 5000).decode()
    with pytest.raises(BadToken):
        await verifier().verify(f"{header}.e30.x")


async def test_the_public_key_is_not_taken_for_a_shared_secret() -> None:
    """Key confusion: an attacker signs with HMAC, the public key as the secret, and says so in the header."""
    forged = by_hand({"alg": "HS256"}, json.dumps(claims()).encode(), PUBLIC_PEM)
    with pytest.raises(BadToken):
        await TokenVerifier(keys=PublicKey(), clock=ManualClock(NOW)).verify(forged)


async def test_headers_that_point_to_keys_are_not_read() -> None:
    token = signed(
        jku="https://evil.example/jwks", x5u="https://evil.example/x", kid="../../dev/null", jwk={"kty": "oct"}
    )
    assert (await verifier().verify(token)).subject == "user_1"


@pytest.mark.parametrize("changes", [{}, {"iss": "evil"}, {"iss": ["good"]}, {"iss": "good "}])
async def test_a_configured_issuer_must_match(changes: dict[str, object]) -> None:
    with pytest.raises(BadToken):
        await verifier(issuer="good").verify(signed(claims(**changes)))
    assert (await verifier(issuer="good").verify(signed(claims(iss="good")))).subject == "user_1"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": "other"},
        {"aud": "billing "},
        {"aud": ["other"]},
        {"aud": []},
        {"aud": ["billing", 7]},
        {"aud": [["billing"]]},
        {"aud": {"billing": "billing"}},
        {"aud": None},
        {"aud": ["billing"] * (AUDIENCES_MAX + 1)},
    ],
)
async def test_a_token_for_another_audience_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadToken):
        await verifier(audience="billing").verify(signed(claims(**changes)))


@pytest.mark.parametrize(
    "audience", ["billing", ["billing"], ["other", "billing"], ["billing", *["other"] * (AUDIENCES_MAX - 1)]]
)
async def test_a_token_for_this_audience_among_others_is_good(audience: object) -> None:
    assert (await verifier(audience="billing").verify(signed(claims(aud=audience)))).subject == "user_1"


async def test_issuer_and_audience_are_not_looked_at_when_not_configured() -> None:
    assert (await verifier().verify(signed(claims(iss="any", aud=["a", "b"])))).subject == "user_1"


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": NOW_SECONDS - 60, "exp": NOW_SECONDS - 9},
        {"iat": NOW_SECONDS + 10},
        {"nbf": NOW_SECONDS + 10},
        {"exp": NOW_SECONDS + 24 * 3600},
        {"iat": NOW_SECONDS - 0.5, "exp": NOW_SECONDS + 0.5},
        {"sub": "a" * 200},
        {"sub": "Žofie Ω"},
    ],
)
async def test_the_last_good_value_is_good(changes: dict[str, object]) -> None:
    assert await verifier().verify(signed(claims(**changes)))


async def test_a_remembered_token_expires_on_time() -> None:
    clock = ManualClock(NOW)
    keys = CountingSecret(SECRET)
    checked = TokenVerifier(keys=keys, clock=clock)
    token = signed(claims(exp=NOW_SECONDS + 60))
    await checked.verify(token)
    clock.advance(timedelta(seconds=69))
    await checked.verify(token)
    assert keys.asked == 1
    clock.advance(timedelta(seconds=1))
    with pytest.raises(BadToken, match="expired"):
        await checked.verify(token)


async def test_a_remembered_token_is_looked_at_again_after_a_while() -> None:
    clock = ManualClock(NOW)
    keys = CountingSecret(SECRET)
    checked = TokenVerifier(keys=keys, clock=clock)
    await checked.verify(signed())
    clock.advance(timedelta(seconds=REMEMBERED_SECONDS_MAX))
    await checked.verify(signed())
    assert keys.asked == 2


async def test_the_memory_of_tokens_is_bounded() -> None:
    keys = CountingSecret(SECRET)
    checked = TokenVerifier(keys=keys, clock=ManualClock(NOW))
    tokens = [signed(claims(sub=f"user_{n}")) for n in range(REMEMBERED_TOKENS_MAX + 1)]
    for token in tokens:
        await checked.verify(token)
    await checked.verify(tokens[-1])
    assert keys.asked == len(tokens)
    await checked.verify(tokens[0])
    assert keys.asked == len(tokens) + 1


def test_a_short_secret_stops_the_start() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes; got 5"):
        SharedSecret("short")


async def authenticate(*values: str) -> Caller | None:
    headers = CIMultiDict[str]([("Authorization", value) for value in values])
    return await Authenticator(verifier()).authenticate(make_mocked_request("POST", "/", headers=headers))


async def test_no_credentials_are_no_caller() -> None:
    assert await authenticate() is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    caller = await authenticate(f"{scheme} {signed()}")
    assert caller is not None
    assert caller.subject == "user_1"


@pytest.mark.parametrize(
    "values",
    [("",), ("Bearer",), ("Bearer ",), ("Basic dTpw",), (signed(),), (f"Bearer  {signed()}",),
     (f"Bearer {signed()} x",), (f"Bearer {signed()}", f"Bearer {signed()}")],
)  # fmt: skip
async def test_other_credentials_are_bad_not_absent(values: tuple[str, ...]) -> None:
    with pytest.raises(BadToken):
        await authenticate(*values)


@given(st.one_of(st.text(max_size=200), st.lists(st.binary(max_size=40), min_size=3, max_size=3)))
async def test_junk_is_refused_and_never_breaks(junk: str | list[bytes]) -> None:
    token = junk if isinstance(junk, str) else ".".join(base64.urlsafe_b64encode(part).decode() for part in junk)
    with pytest.raises(BadToken):
        await verifier().verify(token)


def test_a_made_token_holds_what_was_asked_for() -> None:
    token = make_token(
        secret=SECRET, subject="u", now=NOW, lifetime=timedelta(minutes=1), scopes=["a", "b"], issuer="i", audience="w"
    )
    assert jwt.decode(token, options={"verify_signature": False}) == {
        "sub": "u",
        "iat": NOW_SECONDS,
        "exp": NOW_SECONDS + 60,
        "scope": "a b",
        "iss": "i",
        "aud": "w",
    }
