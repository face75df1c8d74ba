"""Keyset pages: opaque cursors that name a row, never a distance, so that new rows shift nothing."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import strawberry
from graphql import GraphQLError

from gateway.services.snapshot import PAGE_ROWS_MAX, EarningPageNeed, PageNeed, PayoutPageNeed

PAGE_ROWS_DEFAULT: Final = 25
CURSOR_CHARACTERS_MAX: Final = 64
_SEQUENCE_MAX: Final = 2**63 - 1
#: A cursor says of which list it is, so that one list's cursor is not read as another's.
_SEQUENCE_PREFIX: Final = "v1:"
_EARNING_PREFIX: Final = "e1:"
_PAYOUT_PREFIX: Final = "p1:"


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
    return _encode(f"{_SEQUENCE_PREFIX}{seq}")


def encode_earning_cursor(earning_id: UUID) -> str:
    return _encode(f"{_EARNING_PREFIX}{earning_id.hex}")


def encode_payout_cursor(payout_id: UUID) -> str:
    return _encode(f"{_PAYOUT_PREFIX}{payout_id.hex}")


def page_info(cursors: Sequence[str], *, has_older: bool, has_newer: bool) -> PageInfo:
    """Where a page stands whose rows have these cursors."""
    return PageInfo(
        has_next_page=has_older,
        has_previous_page=has_newer,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def page_need(first: object, after: object) -> PageNeed:
    """The page of wallet entries that a connection's arguments ask for.

    Raises:
        BadPage: `first` is out of range, or `after` is not a cursor of this list.
    """
    return PageNeed(first=checked_first(first), before_seq=None if after is None else _decode_sequence(after))


def earning_page_need(first: object, after: object) -> EarningPageNeed:
    """The page of a creator's statement that a connection's arguments ask for.

    Raises:
        BadPage: `first` is out of range, or `after` is not a cursor of this list.
    """
    before_id = None if after is None else _decode_id(after, prefix=_EARNING_PREFIX)
    return EarningPageNeed(first=checked_first(first), before_id=before_id)


def payout_page_need(first: object, after: object) -> PayoutPageNeed:
    """The page of payouts that a connection's arguments ask for.

    Raises:
        BadPage: `first` is out of range, or `after` is not a cursor of this list.
    """
    before_id = None if after is None else _decode_id(after, prefix=_PAYOUT_PREFIX)
    return PayoutPageNeed(first=checked_first(first), before_id=before_id)


def checked_first(first: object) -> int:
    """The size of a page.

    Raises:
        BadPage: it is out of range.
    """
    if type(first) is not int or not 1 <= first <= PAGE_ROWS_MAX:
        raise BadPage(f"`first` is a whole number from 1 to {PAGE_ROWS_MAX}; got {str(first)[:20]}.")
    return first


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_sequence(cursor: object) -> int:
    digits = _decode(cursor, prefix=_SEQUENCE_PREFIX)
    if not digits.isdigit() or not 1 <= int(digits) <= _SEQUENCE_MAX:
        raise _no_cursor()
    return int(digits)


def _decode_id(cursor: object, *, prefix: str) -> UUID:
    text = _decode(cursor, prefix=prefix)
    try:
        row_id = UUID(hex=text)
    except ValueError:
        raise _no_cursor() from None
    if row_id.hex != text:
        raise _no_cursor()
    return row_id


def _decode(cursor: object, *, prefix: str) -> str:
    """What stands behind the prefix of a cursor."""
    if not isinstance(cursor, str) or not 0 < len(cursor) <= CURSOR_CHARACTERS_MAX or not cursor.isascii():
        raise _no_cursor()
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise _no_cursor() from None
    if not text.startswith(prefix):
        raise _no_cursor()
    return text.removeprefix(prefix)


def _no_cursor() -> BadPage:
    return BadPage("`after` is not a cursor of this list; pass the endCursor of the page before.")
