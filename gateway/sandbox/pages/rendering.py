"""Templates turned into responses that carry the same security headers, errors and redirects included."""

import hashlib
import re
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.sandbox.pages import wording

_HERE = Path(__file__).parent
_STYLESHEET = (_HERE / "assets" / "pages.css").read_bytes()

STYLESHEET_PATH = "/assets/pages.css"
# The version in the address lets a browser keep the file for good and still see a new one at once.
_STYLESHEET_HREF = f"{STYLESHEET_PATH}?v={hashlib.sha256(_STYLESHEET).hexdigest()[:12]}"
_STYLESHEET_CACHE_SECONDS = 31_536_000

_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?(?=[/?#]|$)", re.IGNORECASE | re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE | re.ASCII)
# Everything RFC 3986 lets stand in a URL as it is, and the percent sign of what is escaped already.
_URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=~"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        amount=wording.amount_text,
        day=wording.date_text,
        moment=wording.moment_text,
        machine_time=wording.machine_time,
        interval=wording.interval_text,
        status_text=wording.status_text,
        status_tone=wording.status_tone,
        payout_text=wording.payout_text,
        card_groups=wording.card_groups,
    )
    return environment


_TEMPLATES = _environment()


def csp_source(url: str) -> str:
    """The narrowest CSP source that covers `url`: its origin, or its scheme where CSP cannot spell the host.

    CSP has no spelling for IPv6 addresses and unescaped international names.
    """
    origin = _ORIGIN.match(url)
    if origin:
        return origin.group().lower()
    scheme = _SCHEME.match(url)
    return scheme.group().lower() if scheme else "'self'"


def _content_security_policy(posts_lead_to: str | None) -> str:
    # Chromium holds the redirect after a form's POST to the form-action of the page with the form,
    # so the place a payment leads to has to stand here or the buyer stays on the page.
    targets = "'self'" if posts_lead_to is None else f"'self' {csp_source(posts_lead_to)}"
    return f"default-src 'none'; style-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"


def render(template: str, *, status: int = 200, posts_lead_to: str | None = None, **context: object) -> web.Response:
    """The page a file in `templates/` makes of `context`; values are escaped, a missing one raises.

    `posts_lead_to` is the address on another origin that a form of this page redirects to once it is sent.
    If that origin redirects on to a third one, Chromium stops there; the page, loaded again, shows the link instead.
    """
    return web.Response(
        text=_TEMPLATES.get_template(template).render(context, stylesheet_href=_STYLESHEET_HREF),
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={**_PAGE_HEADERS, "Content-Security-Policy": _content_security_policy(posts_lead_to)},
    )


def render_message(
    *, status: int, heading: str, sentence: str, tone: str = "calm", link: tuple[str, str] | None = None
) -> web.Response:
    """A page that says one thing; `link` is where to go from here: its words and its address."""
    return render("message.html", status=status, heading=heading, sentence=sentence, tone=tone, link=link)


def redirect(url: str) -> web.Response:
    """303 to `url` byte for byte; only what may not stand in a header or a URL is escaped."""
    return web.Response(status=303, headers={**_PAGE_HEADERS, "Location": quote(url, safe=_URL_CHARACTERS)})


async def serve_stylesheet(request: web.Request) -> web.Response:
    return web.Response(
        body=_STYLESHEET,
        content_type="text/css",
        charset="utf-8",
        headers={
            "Cache-Control": f"public, max-age={_STYLESHEET_CACHE_SECONDS}, immutable",
            "X-Content-Type-Options": "nosniff",
        },
    )
