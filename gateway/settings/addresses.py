"""What a setting that holds an address may look like."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


def split_address(text: str) -> SplitResult | None:
    """The parts of an address, or None where it is none; `urlsplit` itself forgives blanks and raises late on ports."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def is_origin(text: str, parts: SplitResult) -> bool:
    """Whether an address is scheme, host and port alone: no login, no path, no trailing slash."""
    return parts.scheme in {"http", "https"} and text == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc


def is_loopback(host: str | None) -> bool:
    name = (host or "").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
