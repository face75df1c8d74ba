"""Who is asking: bearer tokens checked against one configured secret or key set, never against their own word."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

import jwt
import orjson
from aiohttp import hdrs, web

from gateway.domain.clock import Clock, unix
from gateway.domain.identity import SUBJECT_CHARACTERS_MAX, TOKEN_SECRET_BYTES_MIN, Caller, is_subject
from gateway.server.jwks import RemoteKeys

TOKEN_CHARACTERS_MAX = 8 * 1024
LIFETIME_SECONDS_MAX = 24 * 60 * 60
LEEWAY_SECONDS = 10
AUDIENCES_MAX = 16
REMEMBERED_TOKENS_MAX = 2048
#: How long a good token is trusted without looking at its signature again; a withdrawn key counts after that.
REMEMBERED_SECONDS_MAX = 300

#: For the answer to a bad token (RFC 6750); the reason stays in our logs.
CHALLENGE = 'Bearer error="invalid_token"'


class BadToken(Exception):
    """A token was sent and is not good. The sentence is for logs at debug level; the sender only learns 401."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and the one algorithm it is used with, whatever a token claims about itself."""

    material: Any
    algorithm: str


class KeySource(Protocol):
    """Where the key for a token comes from."""

    async def key_for(self, header: Mapping[str, Any]) -> SigningKey:
        """The key that a token with this header must be signed with. Raises BadToken or KeysUnavailable."""
        ...


class SharedSecret:
    """HS256 with one secret that the issuer and we know. Raises ValueError for a secret that is too short."""

    def __init__(self, secret: str) -> None:
        encoded = secret.encode()
        if len(encoded) < TOKEN_SECRET_BYTES_MIN:
            raise ValueError(f"A token secret has at least {TOKEN_SECRET_BYTES_MIN} bytes; got {len(encoded)}.")
        self._key = SigningKey(encoded, "HS256")

    async def key_for(self, header: Mapping[str, Any]) -> SigningKey:
        return self._key


class IssuerKeys:
    """The issuer's public keys; the key's own type decides the algorithm. Headers jku, jwk and x5u are not read."""

    def __init__(self, keys: RemoteKeys) -> None:
        self._keys = keys

    async def key_for(self, header: Mapping[str, Any]) -> SigningKey:
        key_id = header.get("kid")
        if not isinstance(key_id, str) or not key_id:
            raise BadToken("The token does not name its key (kid).")
        key = await self._keys.key(key_id)
        if key is None:
            raise BadToken("The issuer has no key of that name.")
        return SigningKey(key.key, key.algorithm_name)


class TokenVerifier:
    """Turns a token into a Caller, or refuses it."""

    def __init__(
        self, *, keys: KeySource, clock: Clock, issuer: str | None = None, audience: str | None = None
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._signatures = jwt.PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})
        self._remembered: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """The caller the token speaks for. Raises BadToken, or KeysUnavailable when no key can be had to judge it."""
        now = self._clock.now().timestamp()
        remembered = self._remembered.get(token)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        claims = await self._claims(token)
        expires = self._check_times(claims, now=now)
        self._check_parties(claims)
        caller = Caller(subject=_subject(claims), scopes=_scopes(claims))
        self._remember(token, caller, until=min(expires, now + REMEMBERED_SECONDS_MAX))
        return caller

    async def _claims(self, token: str) -> Mapping[str, object]:
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise BadToken(f"A token has at most {TOKEN_CHARACTERS_MAX} characters; got {len(token)}.")
        try:
            key = await self._keys.key_for(self._signatures.get_unverified_header(token))
            decoded = self._signatures.decode(token, key=key.material, algorithms=[key.algorithm])
            claims: object = orjson.loads(decoded)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise BadToken(f"The token cannot be read or its signature is wrong: {type(error).__name__}.") from error
        if not isinstance(claims, dict):
            raise BadToken("The token's content is not an object.")
        return cast("Mapping[str, object]", claims)

    def _check_times(self, claims: Mapping[str, object], *, now: float) -> float:
        """The moment, leeway included, from which the token is no longer good."""
        expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
        starts = _seconds(claims, "nbf") if "nbf" in claims else issued
        if now >= expires + LEEWAY_SECONDS:
            raise BadToken("The token has expired.")
        if issued > now + LEEWAY_SECONDS or starts > now + LEEWAY_SECONDS:
            raise BadToken("The token is not valid yet.")
        if not 0 < expires - issued <= LIFETIME_SECONDS_MAX:
            raise BadToken(f"A token lives at most {LIFETIME_SECONDS_MAX} seconds; got {expires - issued}.")
        return expires + LEEWAY_SECONDS

    def _check_parties(self, claims: Mapping[str, object]) -> None:
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise BadToken("The token is from another issuer.")
        if self._audience is not None and self._audience not in _audiences(claims):
            raise BadToken("The token is for another audience.")

    def _remember(self, token: str, caller: Caller, *, until: float) -> None:
        self._remembered.pop(token, None)
        self._remembered[token] = (caller, until)
        if len(self._remembered) > REMEMBERED_TOKENS_MAX:
            self._remembered.popitem(last=False)


class Authenticator:
    """Reads the Authorization header of a request."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def authenticate(self, request: web.BaseRequest) -> Caller | None:
        """The caller, or None when no credentials were sent. Raises BadToken or KeysUnavailable."""
        sent = request.headers.getall(hdrs.AUTHORIZATION, None)
        if sent is None:
            return None
        scheme, _, token = sent[0].partition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer" or not token:
            raise BadToken("Exactly one Authorization header of the form 'Bearer <token>' is read.")
        return await self._verifier.verify(token)


def make_token(
    *,
    secret: str,
    subject: str,
    now: datetime,
    lifetime: timedelta = timedelta(hours=12),
    scopes: Sequence[str] = (),
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """A token signed with the shared secret, for development and tests; it need not be one that we would accept."""
    claims: dict[str, object] = {"sub": subject, "iat": unix(now), "exp": unix(now + lifetime)}
    optional = {"scope": " ".join(scopes), "iss": issuer, "aud": audience}
    claims.update({name: value for name, value in optional.items() if value})
    return jwt.encode(claims, secret, algorithm="HS256")


def _seconds(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken(f"The claim {name} must be a number of seconds.")
    return value


def _subject(claims: Mapping[str, object]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not is_subject(subject):
        raise BadToken(f"The claim sub is a text of 1 to {SUBJECT_CHARACTERS_MAX} printable characters.")
    return subject


def _audiences(claims: Mapping[str, object]) -> Sequence[str]:
    """Whom the token is for: one text, or an array of them (RFC 7519, 4.1.3)."""
    audience = claims.get("aud")
    listed = cast("list[object]", audience) if isinstance(audience, list) else [audience]
    texts = [one for one in listed if isinstance(one, str)]
    if len(texts) != len(listed) or not 1 <= len(texts) <= AUDIENCES_MAX:
        raise BadToken(f"The claim aud is a text, or an array of 1 to {AUDIENCES_MAX} texts.")
    return texts


def _scopes(claims: Mapping[str, object]) -> frozenset[str]:
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise BadToken("The claim scope must be a text of names between spaces.")
    return frozenset(scope.split())
