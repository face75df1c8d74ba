"""Who is calling: API keys, accounts and versions named in the request's headers."""

import base64
import binascii
import re
from collections.abc import Mapping

from gateway.sandbox.catalogue import API_VERSIONS
from gateway.sandbox.engine.world import Scope, World
from gateway.sandbox.refusals import Refusal

_KEY = re.compile(r"(?:sk|rk)_(test|live)_[A-Za-z0-9_]+")


def read_scope(headers: Mapping[str, str], world: World) -> Scope:
    """The account and mode that the key and `Stripe-Account` name.

    Raises:
        Refusal: 401 for a missing or bad key, 403 for an account that is not connected.
    """
    key = _key(headers.get("Authorization", ""))
    match = _KEY.fullmatch(key)
    accepted = world.around.settings.accepted_keys
    if match is None or (accepted and key not in accepted):
        raise Refusal(f"Invalid API Key provided: {_masked(key)}", status=401)
    livemode = match.group(1) == "live"
    account = headers.get("Stripe-Account") or headers.get("Stripe-Context")
    if account is not None and not world.is_connected(account, livemode=livemode):
        raise Refusal(
            f"The provided key '{_masked(key)}' does not have access to account '{account}' "
            "(or that account does not exist). Application access may have been revoked.",
            status=403,
            code="account_invalid",
        )
    return Scope(account=account, livemode=livemode)


def _key(authorization: str) -> str:
    kind, _, rest = authorization.partition(" ")
    if kind.lower() == "bearer":
        return rest.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return rest
    raise Refusal(
        "You did not provide an API key. You need to provide your API key in the Authorization header, "
        "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        status=401,
    )


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}" if len(key) > 12 else "*" * len(key)  # noqa: PLR2004


def read_version(headers: Mapping[str, str]) -> str | None:
    """The version the caller names; None when it names none and so gets the account's.

    Raises:
        Refusal: 400 for a version that does not exist.
    """
    version = headers.get("Stripe-Version")
    if version is not None and version not in API_VERSIONS:
        raise Refusal(
            f"Invalid Stripe API version: {version}. You can see all available versions in the API changelog.",
            code="invalid_api_version",
        )
    return version
