"""Keyset pages: opaque cursors that name a row, never a distance, so that new rows shift nothing."""

import base64
import binascii
from typing import Final

import strawberry
from graphql import GraphQLError

from gateway.services.snapshot import PAGE_ROWS_MAX, PageNeed

PAGE_ROWS_DEFAULT: Final = 25
CURSOR_CHARACTERS_MAX: Final = 64
_SEQUENCE_MAX: Final = 2**63 - 1
_PREFIX: Final = "v1:"


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Older rows follow.")
    has_previous_page: bool = strawberry.field(description="Newer rows come before.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first row of this page.")
    end_cursor: str | None = strawberry.field(description="Pass it as `after` to get the next page.")


class BadPage(GraphQLError):
    """Arguments that name no page."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "BAD_REQUEST"})


def encode_cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(f"{_PREFIX}{seq}".encode()).decode().rstrip("=")


def page_need(first: object, after: object) -> PageNeed:
    """The page that a connection's arguments ask for.

    Raises:
        BadPage: `first` is out of range, or `after` is not a cursor of ours.
    """
    if type(first) is not int or not 1 <= first <= PAGE_ROWS_MAX:
        raise BadPage(f"`first` is a whole number from 1 to {PAGE_ROWS_MAX}; got {str(first)[:20]}.")
    return PageNeed(first=first, before_seq=None if after is None else _decode_cursor(after))


def _decode_cursor(cursor: object) -> int:
    refusal = BadPage("`after` is not a cursor of this list; pass the endCursor of the page before.")
    if not isinstance(cursor, str) or not 0 < len(cursor) <= CURSOR_CHARACTERS_MAX or not cursor.isascii():
        raise refusal
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise refusal from None
    digits = text.removeprefix(_PREFIX)
    if digits == text or not digits.isdigit() or not 1 <= int(digits) <= _SEQUENCE_MAX:
        raise refusal
    return int(digits)
