"""The door Stripe's events come through: who signed, when, and whether it is an event of ours at all.

The signature itself is the SDK's work; everything it lets through and we do not is refused here.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import orjson
import stripe

from gateway.domain.clock import Clock, from_unix
from gateway.stripe_service.connection import StripeSettingsError
from gateway.stripe_service.events import ACCOUNT_EVENTS, CONNECT_EVENTS, THIN_EVENTS
from gateway.stripe_service.fields import UNIX_SECONDS_MAX, Fields, MalformedAnswer
from gateway.stripe_service.objects import WebhookEvent
from gateway.stripe_service.reading import read_event
from gateway.stripe_service.thin_events import is_about_accounts, is_thin, read_thin_event

TOLERANCE_SECONDS: Final = 300
#: A sender's clock may run ahead by this much; the SDK would take a signature from any future.
FUTURE_SECONDS_MAX: Final = 300
#: Stripe's header is about 200 characters with two signatures in it.
HEADER_CHARACTERS_MAX: Final = 2_048
SIGNATURES_MAX: Final = 16

_HEADER_PART = re.compile(r"(?P<scheme>[A-Za-z0-9]{1,16})=(?P<value>[A-Za-z0-9_-]{1,256})", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+", re.ASCII)
_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,250}", re.ASCII)
_EVENT_TYPE = re.compile(r"[a-z0-9_.\[\]]{1,255}", re.ASCII)
_OBJECT_TYPE = re.compile(r"[a-z0-9_.]{1,100}", re.ASCII)
_OBJECT_ID = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)
_ACCOUNT_ID = re.compile(r"acct_[A-Za-z0-9]{1,250}", re.ASCII)
_USED_TYPES: Final = frozenset((*ACCOUNT_EVENTS, *CONNECT_EVENTS, *THIN_EVENTS))
_API_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class WebhookRefusal(StrEnum):
    """Why a delivery was not taken; the `code` of the answer."""

    BAD_SIGNATURE = "bad_signature"
    STALE_SIGNATURE = "stale_signature"
    THIN_EVENT = "thin_event"
    BAD_PAYLOAD = "bad_payload"
    WRONG_MODE = "wrong_mode"


class WebhookRefused(Exception):
    """A delivery that is no event for us. Both code and message may be shown to the sender.

    `expected` is True for what a rightly configured Stripe sends all the same: a live endpoint for connected accounts
    gets their test events too (docs.stripe.com/connect/webhooks). Refusing those could have the endpoint disabled.
    """

    def __init__(self, code: WebhookRefusal, message: str, *, expected: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.expected = expected


def checked_secrets(secrets: Sequence[str]) -> tuple[str, ...]:
    """The signing secrets, freed of the white space that copying brings.

    Raises:
        StripeSettingsError: there is none, or one does not look like `whsec_…`.
    """
    stripped = tuple(secret.strip() for secret in secrets)
    if not stripped or not all(_SECRET.fullmatch(secret) for secret in stripped):
        raise StripeSettingsError("Each webhook signing secret must look like whsec_…, and there must be at least one.")
    return stripped


def parse_event(
    raw: bytes,
    signature_header: str | None,
    *,
    secrets: Sequence[str],
    livemode: bool,
    clock: Clock,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> WebhookEvent:
    """The event in a delivery, checked over its raw bytes; any of the secrets may have signed it.

    Raises:
        WebhookRefused: nothing a stranger can send raises anything else.
        StripeSettingsError: the secrets cannot be used.
    """
    assert tolerance_seconds > 0, "a tolerance of nothing would turn the check off"
    usable_secrets = checked_secrets(secrets)
    signed_at = _check_signature(raw, signature_header, usable_secrets)
    _check_age(signed_at, now=clock.now(), tolerance_seconds=tolerance_seconds)
    event = _read(raw)
    if event.livemode is not livemode:
        theirs, ours = ("live", "test") if event.livemode else ("test", "live")
        raise WebhookRefused(
            WebhookRefusal.WRONG_MODE,
            f"This is a {theirs} mode event, and this gateway has a {ours} mode key.",
            expected=event.account is not None and livemode,
        )
    return event


def _check_signature(raw: bytes, header: str | None, secrets: Sequence[str]) -> datetime:
    """When the body was signed, by somebody who knows one of the secrets."""
    signed_at = _read_header(header)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise WebhookRefused(WebhookRefusal.BAD_PAYLOAD, "The body must be UTF-8.") from None
    if not any(_is_signed(text, header, secret) for secret in secrets):
        raise WebhookRefused(WebhookRefusal.BAD_SIGNATURE, "No signature in the Stripe-Signature header is ours.")
    return signed_at


def _is_signed(text: str, header: str | None, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(text, header, secret, tolerance=None)
    except stripe.SignatureVerificationError:
        return False
    return True


def _read_header(header: str | None) -> datetime:
    """The moment in a well-formed header; the SDK takes the first of several and anything `int` takes."""
    if not header:
        raise WebhookRefused(WebhookRefusal.BAD_SIGNATURE, "The Stripe-Signature header is missing.")
    parts = [_HEADER_PART.fullmatch(part) for part in header.split(",")] if len(header) <= HEADER_CHARACTERS_MAX else []
    pairs = [(part["scheme"], part["value"]) for part in parts if part is not None]
    moments = [value for scheme, value in pairs if scheme == "t"]
    signatures = [value for scheme, value in pairs if scheme == "v1"]
    well_formed = (
        len(pairs) == len(parts)
        and len(moments) == 1
        and _SECONDS.fullmatch(moments[0]) is not None
        and 0 < len(signatures) <= SIGNATURES_MAX
    )
    if not well_formed or int(moments[0]) > UNIX_SECONDS_MAX:
        raise WebhookRefused(
            WebhookRefusal.BAD_SIGNATURE, "The Stripe-Signature header must look like t=1700000000,v1=0123abcd…."
        )
    return from_unix(int(moments[0]))


def _check_age(signed_at: datetime, *, now: datetime, tolerance_seconds: int) -> None:
    age = now - signed_at
    if age > timedelta(seconds=tolerance_seconds):
        raise WebhookRefused(
            WebhookRefusal.STALE_SIGNATURE, f"The delivery was signed more than {tolerance_seconds} seconds ago."
        )
    if -age > timedelta(seconds=FUTURE_SECONDS_MAX):
        raise WebhookRefused(
            WebhookRefusal.STALE_SIGNATURE,
            f"The delivery was signed more than {FUTURE_SECONDS_MAX} seconds in the future; check the clocks.",
        )


def _read(raw: bytes) -> WebhookEvent:
    try:
        fields = Fields.of(orjson.loads(raw), name="The body")
        if is_thin(fields) and not is_about_accounts(fields):
            raise WebhookRefused(
                WebhookRefusal.THIN_EVENT, "This is a thin event; set the endpoint's payload style to snapshot."
            )
        event = read_thin_event(fields) if is_thin(fields) else read_event(fields)
        event = _without_chosen_id(event)
        _check_shapes(event)
    except orjson.JSONDecodeError:
        raise WebhookRefused(WebhookRefusal.BAD_PAYLOAD, "The body is not valid JSON.") from None
    except MalformedAnswer as error:
        raise WebhookRefused(WebhookRefusal.BAD_PAYLOAD, f"The body is not a Stripe event: {error}.") from None
    return event


def _without_chosen_id(event: WebhookEvent) -> WebhookEvent:
    """Of types that are not used: people choose the ids of coupons and plans, with blanks and whatever they like."""
    if event.type in _USED_TYPES or event.object_id is None or _OBJECT_ID.fullmatch(event.object_id):
        return event
    return replace(event, object_id=None)


def _check_shapes(event: WebhookEvent) -> None:
    """Ids go into keys, logs and further calls: each has the shape and length of Stripe's."""
    for name, value, shape in (
        ("id", event.event_id, _EVENT_ID),
        ("type", event.type, _EVENT_TYPE),
        ("data.object.id", event.object_id, _OBJECT_ID),
        ("data.object.object", event.object_type, _OBJECT_TYPE),
        ("account", event.account, _ACCOUNT_ID),
        ("api_version", event.api_version, _API_VERSION),
    ):
        if value is not None and shape.fullmatch(value) is None:
            raise MalformedAnswer(f"{name} is not of Stripe's form")
