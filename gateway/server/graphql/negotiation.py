"""Which of the two media types an answer is sent in (GraphQL over HTTP, RFC 9110 section 12.5.1)."""

from collections.abc import Iterable
from functools import lru_cache

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
HTML = "text/html"

#: How specific a media range is; of two ranges that fit, the more specific one decides.
_SPECIFICITY = {"*/*": 0, "application/*": 1}


@lru_cache(maxsize=128)
def media_type_for(accept: str) -> str | None:
    """The answer's media type for an Accept header, "" when none was sent; None when nothing we have is accepted.

    Plain JSON unless the client prefers the GraphQL type by name, so that clients which know nothing of it see
    what they have always seen.
    """
    if not accept.strip():
        return JSON
    ranges = list(_ranges(accept))
    best: tuple[float, int, int] | None = None
    chosen: str | None = None
    for media_type in (JSON, GRAPHQL_RESPONSE):
        rank = _rank(media_type, ranges)
        if rank is not None and (best is None or rank > best):
            best, chosen = rank, media_type
    return chosen


def accepts_html(accept: str) -> bool:
    """Whether a browser, or a tool that takes anything, is asking."""
    named = {name for name, quality in _ranges(accept) if quality > 0}
    return not accept.strip() or bool(named & {HTML, "text/*", "*/*"})


def _rank(media_type: str, ranges: list[tuple[str, float]]) -> tuple[float, int, int] | None:
    """(quality, specificity, earliness) of the most specific range that covers the type; None when refused."""
    covering = [
        (_SPECIFICITY.get(name, 2), quality, -position)
        for position, (name, quality) in enumerate(ranges)
        if name == media_type or name in _SPECIFICITY
    ]
    if not covering:
        return None
    specificity, quality, earliness = max(covering, key=lambda cover: (cover[0], cover[2]))
    return (quality, specificity, earliness) if quality > 0 else None


def _ranges(accept: str) -> Iterable[tuple[str, float]]:
    """Media ranges with their qualities; a range whose quality cannot be read is left out."""
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        if name and quality is not None:
            yield name, quality


def _quality(parameters: list[str]) -> float | None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
            return quality if 0 <= quality <= 1 else None
    return 1.0
