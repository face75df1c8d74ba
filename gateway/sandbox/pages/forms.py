"""Posted forms, read within limits, and what a person may type into them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.sandbox.pages.rendering import render_message

FORM_BYTES_MAX = 16 * 1024
FORM_FIELDS_MAX = 32
FORM_READ_SECONDS_MAX = 10.0

CARD_DIGITS_MIN = 12
CARD_DIGITS_MAX = 19
EMAIL_CHARACTERS_MAX = 254

_FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"

Form: TypeAlias = Mapping[str, str]


class FormRefused(Exception):
    """A posted body that is no form of ours; `sentence` says why and may be shown."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class InvalidInput(Exception):
    """A field that cannot be used as typed; the sentence stands beside it and never repeats the value."""


async def read_form(request: web.Request) -> Form:
    """The posted fields, the last of equal names; an empty body is an empty form. Raises FormRefused."""
    try:
        async with asyncio.timeout(FORM_READ_SECONDS_MAX):
            body = await _read_body(request)
    except TimeoutError:
        raise FormRefused(408, f"The form did not arrive within {FORM_READ_SECONDS_MAX:.0f} seconds.") from None
    except web.RequestPayloadError:
        raise FormRefused(400, "The form arrived damaged.") from None
    if not body:
        return {}
    if request.content_type != _FORM_CONTENT_TYPE:
        raise FormRefused(415, f"This address takes a web form ({_FORM_CONTENT_TYPE}).")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX))
    except ValueError:  # bytes that are no text, or too many fields
        raise FormRefused(400, f"This is not a web form of at most {FORM_FIELDS_MAX} fields.") from None


async def _read_body(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise FormRefused(413, f"A form here is at most {FORM_BYTES_MAX // 1024} KiB.")
    return bytes(body)


async def answer_form(request: web.Request, act: Callable[[Form], web.Response], *, back_to: str) -> web.Response:
    """What `act` makes of the posted form, or a page that says why the form was refused and links to `back_to`."""
    try:
        form = await read_form(request)
    except FormRefused as refusal:
        return render_message(
            status=refusal.status,
            heading="That did not arrive as it should",
            sentence=f"{refusal.sentence} Nothing was changed.",
            tone="bad",
            link=("Back to the page", back_to),
        )
    return act(form)


def parse_card_number(typed: str) -> str:
    """The digits of a card number typed with or without spaces and hyphens. Raises InvalidInput."""
    digits = "".join(typed.split()).replace("-", "")
    if not digits:
        raise InvalidInput("Enter the card number.")
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidInput("A card number holds digits only.")
    if not CARD_DIGITS_MIN <= len(digits) <= CARD_DIGITS_MAX:
        raise InvalidInput(
            f"A card number has {CARD_DIGITS_MIN} to {CARD_DIGITS_MAX} digits; this one has {len(digits)}."
        )
    if not _check_digit_fits(digits):
        raise InvalidInput("This is not a card number: its check digit does not fit. Look for a mistyped digit.")
    return digits


def _check_digit_fits(digits: str) -> bool:
    """ISO/IEC 7812-1 (Luhn): every second digit from the right doubled, the sum a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the digit sum of 10 to 18
    return total % 10 == 0


def parse_email(typed: str) -> str | None:
    """An e-mail address, or None for an empty field. Raises InvalidInput."""
    email = typed.strip()
    if not email:
        return None
    name, at, domain = email.rpartition("@")
    usable = name and at and domain and email.isprintable() and not any(map(str.isspace, email))
    if not usable or "@" in name or len(email) > EMAIL_CHARACTERS_MAX:
        raise InvalidInput("This is not an e-mail address. Write it like name@example.com, or leave it empty.")
    return email
