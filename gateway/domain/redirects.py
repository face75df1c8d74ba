"""Where a browser may be sent back to, and which pages may call us: a list of origins, read by one strict grammar.

Browsers repair URLs in ways that differ from every parser of the standard library: they drop tabs, turn backslashes
into slashes, decode the host and map look-alike letters. So nothing is repaired here. A URL is either spelled in the
narrow grammar below, in which all readers agree, or it is refused.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from gateway.domain.errors import RedirectNotAllowed

URL_CHARACTERS_MAX = 2048
SESSION_PLACEHOLDER = "{CHECKOUT_SESSION_ID}"

_PORT_MAX = 65_535
_HOST_CHARACTERS_MAX = 253
_SHOWN_CHARACTERS_MAX = 100
_LABELS_BEHIND_WILDCARD_MIN = 2
_DEFAULT_PORTS = {"https": 443, "http": 80}

#: Printable ASCII without space, double quote, backslash, caret and backtick; braces stay for Stripe's placeholder.
_REST = r"[/?#][\x21\x23-\x5b\x5d\x5f\x61-\x7e]*"
_AUTHORITY = r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
_URL = re.compile(rf"{_AUTHORITY}(?P<rest>(?:{_REST})?)", re.ASCII | re.IGNORECASE)
_PATTERN = re.compile(_AUTHORITY.replace("(?P<host>", r"(?P<wildcard>(?:\*\.)?)(?P<host>"), re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
#: A last label that browsers take for a number makes the whole host an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Origin:
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


@dataclass(frozen=True, slots=True)
class Allowlist:
    """Origins that are trusted: exact ones, and `https://*.example.com` for exactly one label before a parent."""

    patterns: tuple[str, ...]
    exact: frozenset[_Origin]
    parents: frozenset[_Origin]

    @classmethod
    def parse(cls, patterns: Iterable[str], *, secure_only: bool = False) -> Self:
        """The list of the given patterns; `secure_only` (production) refuses plain http and this very machine.

        Raises ValueError, with a sentence to show to an operator, on the first pattern that is not an origin.
        """
        spelled = tuple(patterns)
        if not spelled:
            raise ValueError("The list of redirect origins is empty; name at least one, like https://app.example.com.")
        exact: set[_Origin] = set()
        parents: set[_Origin] = set()
        for pattern in spelled:
            origin, wildcard = _read_pattern(pattern)
            if secure_only and (origin.scheme == "http" or _is_loopback(origin.host)):
                raise ValueError(f"In production a redirect origin is https and not this machine; got {pattern!r}.")
            (parents if wildcard else exact).add(origin)
        return cls(patterns=spelled, exact=frozenset(exact), parents=frozenset(parents))

    def check(self, url: str, *, path: tuple[str, ...] | None = None) -> str:
        """The URL in its normal spelling, to be handed on instead of the given one.

        Raises RedirectNotAllowed, with `path` as the input field at fault.
        """
        match = _URL.fullmatch(url) if len(url) <= URL_CHARACTERS_MAX else None
        origin = _origin_of(match) if match else None
        if match is None or origin is None or not self._holds(origin):
            shown = url if len(url) <= _SHOWN_CHARACTERS_MAX else url[:_SHOWN_CHARACTERS_MAX] + "…"
            allowed = ", ".join(self.patterns)
            raise RedirectNotAllowed(f"A return address must begin with one of {allowed}; got {shown!r}.", path=path)
        rest: str = match["rest"]
        return f"{origin}{rest}" if rest.startswith("/") else f"{origin}/{rest}"

    def allows_origin(self, origin: str) -> bool:
        """Whether a browser's Origin header, in the one spelling that browsers send, is on the list."""
        match = _URL.fullmatch(origin) if len(origin) <= URL_CHARACTERS_MAX else None
        read = _origin_of(match) if match else None
        return read is not None and str(read) == origin and self._holds(read)

    def _holds(self, origin: _Origin) -> bool:
        if origin in self.exact:
            return True
        label, _, parent = origin.host.partition(".")
        # A punycode label can look like any other label to a person, so a wildcard does not cover it.
        return not label.startswith("xn--") and _Origin(origin.scheme, parent, origin.port) in self.parents


def with_session_id(url: str) -> str:
    """The URL with Stripe's session placeholder in its query, braces literal, as Stripe wants it.

    A URL that holds the placeholder already, wherever it stands, comes back unchanged.
    """
    if SESSION_PLACEHOLDER in url:
        return url
    address, hash_sign, fragment = url.partition("#")
    joint = "&" if "?" in address else "?"
    if address.endswith(("?", "&")):
        joint = ""
    return f"{address}{joint}session_id={SESSION_PLACEHOLDER}{hash_sign}{fragment}"


def _origin_of(match: re.Match[str]) -> _Origin | None:
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[scheme]
    if port > _PORT_MAX or len(host) > _HOST_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, host.split("."))):
        return None
    return _Origin(scheme, host, port)


def _read_pattern(pattern: str) -> tuple[_Origin, bool]:
    match = _PATTERN.fullmatch(pattern)
    origin = _origin_of(match) if match else None
    if match is None or origin is None:
        raise ValueError(
            f"A redirect origin is like https://app.example.com, https://*.example.com or http://localhost:5173, "
            f"in lower case and without a path; got {pattern!r}."
        )
    wildcard = bool(match["wildcard"])
    if wildcard and origin.host.count(".") + 1 < _LABELS_BEHIND_WILDCARD_MIN:
        raise ValueError(f"A wildcard stands before at least two labels, like https://*.example.com; got {pattern!r}.")
    if _NUMBER.fullmatch(origin.host.rpartition(".")[2]) and (wildcard or not _is_ipv4(origin.host)):
        raise ValueError(f"A host that ends in a number is an IPv4 address of four decimal parts; got {pattern!r}.")
    return origin, wildcard


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if _is_ipv4(host):
        return ipaddress.IPv4Address(host).is_loopback or host == "0.0.0.0"  # noqa: S104 - refused, not bound
    return host == "localhost" or host.endswith(".localhost")
