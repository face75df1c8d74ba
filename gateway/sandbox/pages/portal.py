"""The customer portal: subscriptions, the saved card and the invoices of one customer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from aiohttp import web

from gateway.sandbox.hosted import HostedWorld, PortalSubscription, PortalView
from gateway.sandbox.pages.checkout import TEST_CARDS, decline_sentence
from gateway.sandbox.pages.forms import Form, InvalidInput, answer_form, parse_card_number
from gateway.sandbox.pages.rendering import redirect, render, render_message

#: What the page says after a change. The address names the sentence; it never carries one.
_NOTICES = {
    "switched": "Your plan was changed.",
    "canceled": "Your subscription will end with the current period. You can resume it until then.",
    "resumed": "Your subscription will renew as before.",
    "card": "Your card was replaced.",
    "paid": "Thank you. Your payment went through, or is on its way.",
}

_ENDED_STATUSES = frozenset({"canceled", "incomplete_expired"})

_NOT_HERE = "That subscription is not one you can change here. This page shows those you have."


@dataclass(frozen=True, slots=True)
class PortalPages:
    """Handlers of `/p/session/{session_id}` and the changes below it."""

    world: HostedWorld

    async def show(self, request: web.Request) -> web.Response:
        view = self.world.portal_view(request.match_info["session_id"])
        if view is None:
            return _unknown_session()
        return _portal_page(view, notice=_NOTICES.get(request.query.get("done", "")))

    async def ask_cancel(self, request: web.Request) -> web.Response:
        """The step between wanting to cancel and having canceled; it changes nothing."""
        view = self.world.portal_view(request.match_info["session_id"])
        if view is None:
            return _unknown_session()
        subscription = _subscription(view, request.query.get("subscription_id"))
        if subscription is None:
            return _portal_page(view, status=404, refusal=_NOT_HERE)
        if subscription.cancel_at is not None:
            return redirect(_path(view.session_id))
        return render("portal_cancel.html", view=view, subscription=subscription, path=_path(view.session_id))

    async def cancel(self, request: web.Request) -> web.Response:
        return await self._answer(request, self._cancel)

    async def switch(self, request: web.Request) -> web.Response:
        return await self._answer(request, self._switch)

    async def resume(self, request: web.Request) -> web.Response:
        return await self._answer(request, self._resume)

    async def pay(self, request: web.Request) -> web.Response:
        return await self._answer(request, self._pay)

    async def replace_card(self, request: web.Request) -> web.Response:
        return await self._answer(request, self._replace_card)

    async def _answer(self, request: web.Request, act: Callable[[PortalView, Form], web.Response]) -> web.Response:
        session_id = request.match_info["session_id"]
        return await answer_form(request, partial(self._with_view, session_id, act), back_to=_path(session_id))

    def _with_view(self, session_id: str, act: Callable[[PortalView, Form], web.Response], form: Form) -> web.Response:
        view = self.world.portal_view(session_id)
        return _unknown_session() if view is None else act(view, form)

    def _cancel(self, view: PortalView, form: Form) -> web.Response:
        subscription = _subscription(view, form.get("subscription_id"))
        if subscription is None:
            return _portal_page(view, status=422, refusal=_NOT_HERE)
        if subscription.cancel_at is None:
            self.world.cancel_at_period_end(view.session_id, subscription_id=subscription.subscription_id)
        return _done(view, "canceled")

    def _resume(self, view: PortalView, form: Form) -> web.Response:
        subscription = _subscription(view, form.get("subscription_id"))
        if subscription is None:
            return _portal_page(view, status=422, refusal=_NOT_HERE)
        if subscription.cancel_at is not None:
            self.world.resume(view.session_id, subscription_id=subscription.subscription_id)
        return _done(view, "resumed")

    def _switch(self, view: PortalView, form: Form) -> web.Response:
        subscription = _subscription(view, form.get("subscription_id"))
        if subscription is None:
            return _portal_page(view, status=422, refusal=_NOT_HERE)
        price_id = form.get("price_id", "")
        if not price_id:
            return _portal_page(view, status=422, refusal="Choose the plan to switch to.")
        if all(option.price_id != price_id for option in subscription.switch_options):
            refusal = f"That plan is not on offer. {subscription.product_name} stays as shown here."
            return _portal_page(view, status=422, refusal=refusal)
        self.world.switch_price(view.session_id, subscription_id=subscription.subscription_id, price_id=price_id)
        return _done(view, "switched")

    def _pay(self, view: PortalView, form: Form) -> web.Response:
        subscription = _subscription(view, form.get("subscription_id"))
        if subscription is None:
            return _portal_page(view, status=422, refusal=_NOT_HERE)
        if subscription.owed_cents is None:
            return _portal_page(view, status=422, refusal="There is nothing to pay now.")
        outcome = self.world.pay_overdue(view.session_id, subscription_id=subscription.subscription_id)
        if outcome.message is None:
            return _done(view, "paid")
        problem = f"{outcome.message} Save another card here, then pay."
        return _portal_page(self.world.portal_view(view.session_id) or view, status=402, card_problem=problem)

    def _replace_card(self, view: PortalView, form: Form) -> web.Response:
        try:
            card_number = parse_card_number(form.get("card_number", ""))
        except InvalidInput as problem:
            return _portal_page(view, status=422, card_problem=str(problem))
        outcome = self.world.replace_card(view.session_id, card_number=card_number)
        if outcome.decline_code is None and outcome.message is None:
            return _done(view, "card")
        return _portal_page(view, status=402, card_problem=decline_sentence(outcome, card_number))


def _path(session_id: str) -> str:
    return f"/p/session/{quote(session_id, safe='')}"


def _done(view: PortalView, notice: str) -> web.Response:
    assert notice in _NOTICES, notice
    return redirect(f"{_path(view.session_id)}?done={notice}")


def _subscription(view: PortalView, subscription_id: str | None) -> PortalSubscription | None:
    """The one named, if it is the customer's and still running; with a single one the name may be left out."""
    running = [one for one in view.subscriptions if one.status not in _ENDED_STATUSES]
    if not subscription_id:
        return running[0] if len(running) == 1 else None
    return next((one for one in running if one.subscription_id == subscription_id), None)


def _portal_page(
    view: PortalView,
    *,
    status: int = 200,
    notice: str | None = None,
    refusal: str | None = None,
    card_problem: str | None = None,
) -> web.Response:
    return render(
        "portal.html",
        status=status,
        view=view,
        path=_path(view.session_id),
        ended_statuses=_ENDED_STATUSES,
        test_cards=TEST_CARDS,
        notice=notice,
        refusal=refusal,
        card_problem=card_problem,
    )


def _unknown_session() -> web.Response:
    return render_message(
        status=404,
        heading="This billing page is not open",
        sentence="Links to this page work for a short while only. Go back to your dashboard and open billing again.",
    )
