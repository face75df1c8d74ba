"""The pages of account links: a person tells Stripe who they are and where their money goes, or changes that."""

from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import quote

from aiohttp import web

from gateway.sandbox.hosted_setup import CHANGES, OUTCOMES, SetupView, SetupWorld
from gateway.sandbox.pages.bank_fields import TEST_BANKS, BankFields, shown_again, typed_bank
from gateway.sandbox.pages.forms import Form, answer_form
from gateway.sandbox.pages.rendering import redirect, render, render_message

_TAKES_A_BANK: Final = frozenset({"finish", "review"})


@dataclass(frozen=True, slots=True)
class SetupPages:
    """Handlers of `/setup/{link}`. A link that is used or expired leads to where a new one is made."""

    world: SetupWorld

    async def show(self, request: web.Request) -> web.Response:
        view = self.world.open_link(request.match_info["link"])
        if view is None:
            return _unknown_link()
        return _page(view) if view.is_open else redirect(view.refresh_url)

    async def answer(self, request: web.Request) -> web.Response:
        link = request.match_info["link"]
        return await answer_form(request, partial(self._answer, link), back_to=_path(link))

    def _answer(self, link: str, form: Form) -> web.Response:
        view = self.world.form_view(link)
        if view is None:
            return _unknown_link()
        if not view.is_open:
            return redirect(view.refresh_url)
        outcome = form.get("outcome", "")
        possible = sorted(CHANGES) if view.is_for_changes else list(OUTCOMES)
        if outcome not in possible:
            return _page(view, status=422, refusal=f"Choose one of {', '.join(possible)}.")
        if view.is_refused and outcome != "later":
            return _page(view, status=409)
        problems = self.world.answer(link, outcome, typed_bank(form) if outcome in _TAKES_A_BANK else None)
        if problems:
            return _page(view, status=422, bank=shown_again(form, problems))
        return redirect(view.return_url) if view.return_url else _done(view)


def _path(link: str) -> str:
    return f"/setup/{quote(link, safe='')}"


def _page(
    view: SetupView, *, status: int = 200, refusal: str | None = None, bank: BankFields | None = None
) -> web.Response:
    return render(
        "setup.html",
        status=status,
        posts_lead_to=view.return_url,
        view=view,
        action=_path(view.link_id),
        test_banks=TEST_BANKS,
        refusal=refusal,
        bank=bank or BankFields(),
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
