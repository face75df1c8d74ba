"""The list of redirect origins against URLs that browsers and parsers read differently."""

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import ErrorCode, RedirectNotAllowed
from gateway.domain.redirects import URL_CHARACTERS_MAX, Allowlist, with_session_id

PATTERNS = (
    "https://app.aerostack.dev",
    "https://aerostack-admin.pages.dev",
    "https://*.aerostack-admin.pages.dev",
    "http://localhost:5173",
)
ALLOWLIST = Allowlist.parse(PATTERNS)

ALLOWED = {
    "https://app.aerostack.dev": "https://app.aerostack.dev/",
    "https://app.aerostack.dev/": "https://app.aerostack.dev/",
    "https://app.aerostack.dev/billing/done": "https://app.aerostack.dev/billing/done",
    "https://app.aerostack.dev/a?b=c&d=e": "https://app.aerostack.dev/a?b=c&d=e",
    "https://app.aerostack.dev?b=c": "https://app.aerostack.dev/?b=c",
    "https://app.aerostack.dev#top": "https://app.aerostack.dev/#top",
    "https://app.aerostack.dev/#/route?x=1": "https://app.aerostack.dev/#/route?x=1",
    "https://app.aerostack.dev/d?s={CHECKOUT_SESSION_ID}": "https://app.aerostack.dev/d?s={CHECKOUT_SESSION_ID}",
    "https://app.aerostack.dev:443/x": "https://app.aerostack.dev/x",
    "HTTPS://APP.Aerostack.DEV/Path": "https://app.aerostack.dev/Path",
    "https://app.aerostack.dev//evil.example/": "https://app.aerostack.dev//evil.example/",
    "https://app.aerostack.dev/@evil.example": "https://app.aerostack.dev/@evil.example",
    "https://app.aerostack.dev/%2e%2e/%0d%0a": "https://app.aerostack.dev/%2e%2e/%0d%0a",
    "https://app.aerostack.dev/?next=https://evil.example": "https://app.aerostack.dev/?next=https://evil.example",
    "https://aerostack-admin.pages.dev/": "https://aerostack-admin.pages.dev/",
    "https://preview.aerostack-admin.pages.dev/": "https://preview.aerostack-admin.pages.dev/",
    "https://a1b2c3d4.aerostack-admin.pages.dev/x": "https://a1b2c3d4.aerostack-admin.pages.dev/x",
    "https://feature--x.aerostack-admin.pages.dev": "https://feature--x.aerostack-admin.pages.dev/",
    f"https://{'a' * 63}.aerostack-admin.pages.dev/": f"https://{'a' * 63}.aerostack-admin.pages.dev/",
    "http://localhost:5173": "http://localhost:5173/",
    "http://localhost:5173/deep/link": "http://localhost:5173/deep/link",
}

REFUSED = (
    # Not a URL of ours at all.
    "",
    " ",
    "app.aerostack.dev",
    "/billing",
    "//app.aerostack.dev/",
    "https:app.aerostack.dev",
    "https:/app.aerostack.dev/",
    "https:///app.aerostack.dev/",
    "https://",
    "https:///",
    "https://*.aerostack-admin.pages.dev/",
    # Other schemes.
    "javascript:alert(1)",
    "javascript://app.aerostack.dev/%0aalert(1)",
    "data:text/html,https://app.aerostack.dev/",
    "ftp://app.aerostack.dev/",
    "ws://app.aerostack.dev/",
    "file://app.aerostack.dev/",
    "blob:https://app.aerostack.dev/x",
    "view-source:https://app.aerostack.dev/",
    "httpss://app.aerostack.dev/",
    "http://app.aerostack.dev/",
    "https://localhost:5173/",
    "http://aerostack-admin.pages.dev/",
    # Another host that begins, ends or is spelled like ours.
    "https://evil.example/",
    "https://app.aerostack.dev.evil.example/",
    "https://evilapp.aerostack.dev/",
    "https://evil.app.aerostack.dev/",
    "https://app-aerostack.dev/",
    "https://appaaerostack.dev/",
    "https://aerostack.dev/",
    "https://app.aerostack.de/",
    "https://app.aerostack.devil/",
    "https://evil-aerostack-admin.pages.dev/",
    "https://aerostack-admin.pages.dev.evil.example/",
    "https://x.aerostack-admin.pages.dev.evil.example/",
    "https://pages.dev/",
    "https://evil.pages.dev/",
    # More, fewer or malformed labels under the wildcard.
    "https://a.b.aerostack-admin.pages.dev/",
    "https://.aerostack-admin.pages.dev/",
    "https://a..aerostack-admin.pages.dev/",
    "https://-a.aerostack-admin.pages.dev/",
    "https://a-.aerostack-admin.pages.dev/",
    "https://a_b.aerostack-admin.pages.dev/",
    f"https://{'a' * 64}.aerostack-admin.pages.dev/",
    "https://xn--80ak6aa92e.aerostack-admin.pages.dev/",
    "https://XN--80ak6aa92e.aerostack-admin.pages.dev/",
    "https://ä.aerostack-admin.pages.dev/",
    # Trailing dots.
    "https://app.aerostack.dev./",
    "https://app.aerostack.dev..",
    "https://aerostack-admin.pages.dev./",
    # Userinfo.
    "https://app.aerostack.dev@evil.example/",
    "https://app.aerostack.dev:443@evil.example/",
    "https://evil.example@app.aerostack.dev/",
    "https://user:pass@app.aerostack.dev/",
    "https://@app.aerostack.dev/",
    "https://app.aerostack.dev%40evil.example/",
    "https://app.aerostack.dev#@evil.example/\\",
    # Backslashes, which browsers take for slashes.
    "https://evil.example\\@app.aerostack.dev/",
    "https://app.aerostack.dev\\.evil.example/",
    "https://app.aerostack.dev\\@evil.example/",
    "https:\\\\app.aerostack.dev/",
    "https:/\\app.aerostack.dev/",
    "https://app.aerostack.dev/a\\b",
    # Percent-encoding in the authority.
    "https://app%2eaerostack.dev/",
    "https://app.aerostack.dev%2fevil.example/",
    "https://app.aerostack.dev%00.evil.example/",
    "https://%61pp.aerostack.dev/",
    "https://evil.example%23.aerostack-admin.pages.dev/",
    # White space and control characters, which browsers drop.
    " https://app.aerostack.dev/",
    "https://app.aerostack.dev/ ",
    "https://app.aerostack.dev/\n",
    "https://app.aerostack.dev\n",
    "\thttps://app.aerostack.dev/",
    "https://app.aero\tstack.dev/",
    "ht\ntps://app.aerostack.dev/",
    "https://app.aerostack.dev/a b",
    "https://app.aerostack.dev/\r\nLocation: https://evil.example",
    "https://app.aerostack.dev/\x00",
    "https://app.aerostack.dev\x00.evil.example/",
    "https://app.aerostack.dev/\x7f",
    "\ufeffhttps://app.aerostack.dev/",
    "https://app.aerostack.dev/\u2028",
    # Letters that normalise to ours.
    "https://app\u3002aerostack\u3002dev/",
    "https://\uff41pp.aerostack.dev/",
    "https://app.aero\u017ftack.dev/",
    "https://app.aero\u00adstack.dev/",
    "https://app.aerostack.dev\u200b/",
    "https://\u0430\u0440\u0440.aerostack.dev/",
    "https://\u212a.aerostack-admin.pages.dev/",
    "http\u017f://app.aerostack.dev/",
    "http://localho\u017ft:5173/",
    "https://app.aerostack.dev/ü",
    # Ports.
    "https://app.aerostack.dev:/",
    "https://app.aerostack.dev:80/",
    "https://app.aerostack.dev:444/",
    "https://app.aerostack.dev:0443/",
    "https://app.aerostack.dev:65979/",
    "https://app.aerostack.dev:+443/",
    "https://app.aerostack.dev:\uff14\uff14\uff13/",
    "https://app.aerostack.dev:443:443/",
    "http://localhost/",
    "http://localhost:5174/",
    "http://localhost:51730/",
    "http://127.0.0.1:5173/",
    "http://[::1]:5173/",
    "http://2130706433:5173/",
    "https://[app.aerostack.dev]/",
    # Characters that some readers repair.
    'https://app.aerostack.dev/"onload=',
    "https://app.aerostack.dev/`x`",
    "https://app.aerostack.dev^evil.example/",
    "https://app.aerostack.dev;evil.example/",
    "https://app.aerostack.dev,evil.example/",
    "https://app.aerostack.dev|evil.example/",
    "https://app.aerostack.dev{x}/",
    # Too long.
    "https://app.aerostack.dev/" + "a" * URL_CHARACTERS_MAX,
    "https://" + "a." * 200 + "aerostack-admin.pages.dev/",
)


def test_the_matrix_is_as_large_as_it_claims() -> None:
    assert len(ALLOWED) >= 14
    assert len(ALLOWED) + len(set(REFUSED)) >= 96


@pytest.mark.parametrize(("url", "normal"), ALLOWED.items())
def test_an_allowed_url_comes_back_in_its_normal_spelling(url: str, normal: str) -> None:
    assert ALLOWLIST.check(url) == normal


@pytest.mark.parametrize("normal", ALLOWED.values())
def test_the_normal_spelling_is_its_own_normal_spelling(normal: str) -> None:
    assert ALLOWLIST.check(normal) == normal


@pytest.mark.parametrize("url", REFUSED)
def test_an_adversarial_url_is_refused(url: str) -> None:
    with pytest.raises(RedirectNotAllowed):
        ALLOWLIST.check(url)


def test_a_refusal_names_the_field_the_rule_and_the_value() -> None:
    with pytest.raises(RedirectNotAllowed) as refusal:
        ALLOWLIST.check("https://evil.example/" + "a" * 500, path=("input", "successUrl"))
    assert refusal.value.code is ErrorCode.REDIRECT_NOT_ALLOWED
    assert refusal.value.path == ("input", "successUrl")
    assert refusal.value.message.startswith("A return address must begin with one of https://app.aerostack.dev, ")
    assert "got 'https://evil.example/aaa" in refusal.value.message
    assert len(refusal.value.message) < 400


def test_the_longest_allowed_url_is_allowed() -> None:
    base = "https://app.aerostack.dev/"
    longest = base + "a" * (URL_CHARACTERS_MAX - len(base))
    assert ALLOWLIST.check(longest) == longest


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.aerostack.dev", True),
        ("https://x.aerostack-admin.pages.dev", True),
        ("http://localhost:5173", True),
        ("https://app.aerostack.dev/", False),
        ("https://app.aerostack.dev:443", False),
        ("https://APP.aerostack.dev", False),
        ("https://app.aerostack.dev?x", False),
        ("https://a.b.aerostack-admin.pages.dev", False),
        ("http://localhost", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("https://app.aerostack.dev\n", False),
        ("https://" + "a" * URL_CHARACTERS_MAX, False),
    ],
)
def test_an_origin_counts_only_in_the_spelling_of_browsers(origin: str, allowed: bool) -> None:
    assert ALLOWLIST.allows_origin(origin) is allowed


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "https://*",
        "https://*.dev",
        "https://*.*.example.com",
        "https://a.*.example.com",
        "https://*example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?x",
        "https://App.example.com",
        "https://user@app.example.com",
        "https://app.example.com.",
        "https://app_1.example.com",
        "https://app.example.com:0",
        "https://app.example.com:99999",
        "https://app.example.com:0443",
        "app.example.com",
        "ftp://app.example.com",
        " https://app.example.com",
        "https://app.example.com\n",
        "https://[::1]",
        "https://127.1",
        "https://0x7f000001",
        "https://*.0.0.1",
        "https://bücher.example",
    ],
)
def test_a_bad_pattern_stops_the_start_with_a_sentence(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"got {pattern!r}.")):
        Allowlist.parse([pattern])


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="is empty"):
        Allowlist.parse([])


@pytest.mark.parametrize(
    "pattern", ["http://app.example.com", "https://localhost", "https://x.localhost", "https://127.0.0.1:8443"]
)
def test_production_takes_only_https_origins_of_other_machines(pattern: str) -> None:
    Allowlist.parse([pattern])
    with pytest.raises(ValueError, match="In production"):
        Allowlist.parse(["https://app.example.com", pattern], secure_only=True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.b/", "https://a.b/?session_id={CHECKOUT_SESSION_ID}"),
        ("https://a.b/c", "https://a.b/c?session_id={CHECKOUT_SESSION_ID}"),
        ("https://a.b/?", "https://a.b/?session_id={CHECKOUT_SESSION_ID}"),
        ("https://a.b/?x=1", "https://a.b/?x=1&session_id={CHECKOUT_SESSION_ID}"),
        ("https://a.b/?x=1&", "https://a.b/?x=1&session_id={CHECKOUT_SESSION_ID}"),
        ("https://a.b/#top", "https://a.b/?session_id={CHECKOUT_SESSION_ID}#top"),
        ("https://a.b/?x=1#/r?y=2", "https://a.b/?x=1&session_id={CHECKOUT_SESSION_ID}#/r?y=2"),
        ("https://a.b/#/r?y=2", "https://a.b/?session_id={CHECKOUT_SESSION_ID}#/r?y=2"),
        ("https://a.b/?x=%7By%7D", "https://a.b/?x=%7By%7D&session_id={CHECKOUT_SESSION_ID}"),
        ("https://a.b/?session_id={CHECKOUT_SESSION_ID}", "https://a.b/?session_id={CHECKOUT_SESSION_ID}"),
        ("https://a.b/d/{CHECKOUT_SESSION_ID}?x=1", "https://a.b/d/{CHECKOUT_SESSION_ID}?x=1"),
        ("https://a.b/#/d?s={CHECKOUT_SESSION_ID}", "https://a.b/#/d?s={CHECKOUT_SESSION_ID}"),
    ],
)
def test_the_session_id_goes_into_the_query_once(url: str, expected: str) -> None:
    assert with_session_id(url) == expected
    assert with_session_id(expected) == expected


def browser_origin(url: str) -> str:
    """What a browser would call the origin: repaired the way the WHATWG rules repair it, then split."""
    repaired = re.sub(r"[\t\r\n]", "", url.strip("".join(map(chr, range(33))))).replace("\\", "/")
    parts = urlsplit(repaired)
    host = (parts.hostname or "").encode("idna").decode()
    default = {"https": 443, "http": 80}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


FRAGMENTS = st.sampled_from(
    [
        "https://", "http://", "app.aerostack.dev", "aerostack-admin.pages.dev", "localhost", "evil.example", "xn--a",
        ":443", ":5173", ":80", ":", "@", "\\", "/", "//", "?", "#", "%2e", "%00", "\n", "\t", " ", ".", "..", "-", "*",
        "a", "{CHECKOUT_SESSION_ID}", "\u3002", "\u017f", "[", "]", "&", "=",
    ]
)  # fmt: skip


@given(st.one_of(st.lists(FRAGMENTS, max_size=10).map("".join), st.text(max_size=60)))
def test_whatever_is_accepted_has_its_origin_among_the_patterns(url: str) -> None:
    try:
        normal = ALLOWLIST.check(url)
    except RedirectNotAllowed:
        return
    origin = browser_origin(url)
    assert browser_origin(normal) == origin
    assert normal.startswith(origin + "/")
    wildcard = re.fullmatch(r"https://(?!xn--)[a-z0-9-]{1,63}\.aerostack-admin\.pages\.dev", origin)
    assert origin in PATTERNS or wildcard


@given(st.lists(FRAGMENTS, max_size=6).map("".join))
def test_whatever_follows_an_allowed_origin_keeps_it_or_is_refused(tail: str) -> None:
    try:
        normal = ALLOWLIST.check("https://app.aerostack.dev" + tail)
    except RedirectNotAllowed:
        return
    assert browser_origin(normal) == "https://app.aerostack.dev"
