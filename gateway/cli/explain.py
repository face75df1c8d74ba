"""`gateway explain`: one page about a purchase, a customer or an event, for whoever answers the customer."""

import argparse
from datetime import UTC, datetime

import orjson

from gateway.cli import serving
from gateway.cli.opening import opened, quiet_logs
from gateway.cli.output import say
from gateway.domain.verdicts import Verdict
from gateway.services.explaining import Explanation, explain
from gateway.settings import Settings

#: Exit codes: something can be done; nothing could be said for certain.
EXIT_NEEDS_SOMEBODY = 3
EXIT_UNCERTAIN = 4
_UNCERTAIN = frozenset({Verdict.STRIPE_UNREACHABLE, Verdict.UNKNOWN, Verdict.WRONG_MODE})


def explain_(settings: Settings, options: argparse.Namespace) -> int:
    """Print the page; the exit status says whether it calls for somebody."""
    quiet_logs(settings)
    return serving.run(_explain(settings, options.id, as_json=options.json))


async def _explain(settings: Settings, given: str, *, as_json: bool) -> int:
    async with opened(settings) as gateway:
        page = await explain(gateway.billing, given)
    say(*([_json(page)] if as_json else _text(page)))
    return exit_status(page)


def exit_status(page: Explanation) -> int:
    """Whether the page calls for somebody: it names something to do, or nothing could be said for certain."""
    if page.verdict in _UNCERTAIN:
        return EXIT_UNCERTAIN
    return 0 if page.action is None else EXIT_NEEDS_SOMEBODY


def _text(page: Explanation) -> list[str]:
    lines = [page.about, ""]
    for one in page.happenings:
        ref = f"  [{one.ref}]" if one.ref else ""
        lines.append(f"  {_time(one.at)}  {one.source:<8}  {one.message}{ref}")
    lines += ["", *(f"  {line}" for line in page.standing)] if page.standing else []
    if page.stripe_answered is False:
        lines += ["", "  Stripe did not answer; what only Stripe knows is missing."]
    lines += ["", f"{page.verdict}: {page.message}", f"Do: {page.action or 'nothing.'}"]
    return [line for line, before in zip(lines, [None, *lines], strict=False) if line or before]


def _json(page: Explanation) -> str:
    return orjson.dumps(
        {
            "given": page.given,
            "about": page.about,
            "verdict": page.verdict,
            "message": page.message,
            "action": page.action,
            "stripe_answered": page.stripe_answered,
            "standing": page.standing,
            "happenings": [
                {"at": _iso(one.at), "source": one.source, "kind": one.kind, "message": one.message, "ref": one.ref}
                for one in page.happenings
            ],
        }
    ).decode()


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
