"""The onboarding page: a person tells Stripe who they are and where their money goes."""

from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import quote

from aiohttp import web

from gateway.sandbox.hosted_setup import OUTCOMES, BankNumbers, SetupView, SetupWorld
from gateway.sandbox.pages.forms import Form, answer_form
from gateway.sandbox.pages.rendering import redirect, render, render_message

#: The bank accounts the local Stripe gives a meaning, and that meaning.
TEST_BANKS: Final = (
    ("000123456789", "Payouts arrive"),
    ("000111111116", "Payouts fail: no such account"),
    ("000111111113", "Payouts fail: account closed"),
)
_TAKES_A_BANK: Final = frozenset({"finish", "review"})


@dataclass(frozen=True, slots=True)
class SetupPages:
    """Handlers of `/setup/{link}`. A link that is used or expired leads to where a new one is made."""

    world: SetupWorld

    async def show(self, request: web.Request) -> web.Response:
        view = self.world.setup_view(request.match_info["link"])
        if view is None:
            return _unknown_link()
        return _page(view) if view.is_open else redirect(view.refresh_url)

    async def answer(self, request: web.Request) -> web.Response:
        link = request.match_info["link"]
        return await answer_form(request, partial(self._answer, link), back_to=_path(link))

    def _answer(self, link: str, form: Form) -> web.Response:
        view = self.world.setup_view(link)
        if view is None:
            return _unknown_link()
        if not view.is_open:
            return redirect(view.refresh_url)
        outcome = form.get("outcome", "")
        if outcome not in OUTCOMES:
            return _page(view, status=422, problem=f"Choose one of {', '.join(OUTCOMES)}.")
        problem = self.world.answer(link, outcome, _bank(form) if outcome in _TAKES_A_BANK else None)
        if problem is not None:
            return _page(view, status=422, problem=problem)
        return redirect(view.return_url) if view.return_url else _done(view)


def _bank(form: Form) -> BankNumbers:
    """What was typed; fields left empty mean the bank account that works."""
    routing = "".join(form.get("routing_number", "").split()) or "110000000"
    return BankNumbers(routing, "".join(form.get("account_number", "").split()) or TEST_BANKS[0][0])


def _path(link: str) -> str:
    return f"/setup/{quote(link, safe='')}"


def _page(view: SetupView, *, status: int = 200, problem: str | None = None) -> web.Response:
    return render(
        "setup.html",
        status=status,
        posts_lead_to=view.return_url,
        view=view,
        action=_path(view.link_id),
        test_banks=TEST_BANKS,
        problem=problem,
    )


def _done(view: SetupView) -> web.Response:
    return render_message(
        status=200,
        heading="That is all for now",
        sentence=f"You can close this page and go back to {view.business_name}.",
        tone="good",
    )


def _unknown_link() -> web.Response:
    return render_message(
        status=404,
        heading="There is no such setup page",
        sentence="The link may be incomplete. Go back to where you came from and start again.",
    )
