"""The checkout page: what is bought, the card form, and what became of the payment."""

from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from aiohttp import web

from gateway.sandbox.hosted import CheckoutView, HostedWorld, PayOutcome
from gateway.sandbox.pages.forms import Form, InvalidInput, answer_form, parse_card_number, parse_email
from gateway.sandbox.pages.rendering import redirect, render, render_message
from gateway.sandbox.pages.wording import amount_text, renewals

#: The cards the local Stripe gives a meaning, and that meaning.
TEST_CARDS = (
    ("4242424242424242", "Pays at once"),
    ("4000000000000002", "Is declined"),
    ("4000000000000341", "Pays now, fails at the next renewal"),
    ("4000000000009979", "Completes now; the money arrives or fails later"),
    ("4000000000000077", "Pays; the money is available for payouts at once"),
)


@dataclass(frozen=True, slots=True)
class CheckoutPages:
    """Handlers of `/c/pay/{session_id}`."""

    world: HostedWorld

    async def show(self, request: web.Request) -> web.Response:
        view = self.world.checkout_view(request.match_info["session_id"])
        if view is None:
            return _unknown_session()
        return _open_page(view) if view.status == "open" else _closed_page(view)

    async def pay(self, request: web.Request) -> web.Response:
        session_id = request.match_info["session_id"]
        return await answer_form(request, partial(self._pay, session_id), back_to=_path(session_id))

    def _pay(self, session_id: str, form: Form) -> web.Response:
        view = self.world.checkout_view(session_id)
        if view is None:
            return _unknown_session()
        if view.status == "complete":  # a second click: the first one paid, so lead on as it did
            return redirect(view.success_url)
        if view.status == "expired":
            return _closed_page(view)
        return self._pay_open(view, form)

    def _pay_open(self, view: CheckoutView, form: Form) -> web.Response:
        problems: dict[str, str] = {}
        card_number, email = "", None
        try:
            card_number = parse_card_number(form.get("card_number", ""))
        except InvalidInput as problem:
            problems["card_number"] = str(problem)
        try:
            email = parse_email(form.get("email", ""))
        except InvalidInput as problem:
            problems["email"] = str(problem)
        if problems:
            return _open_page(view, status=422, problems=problems, form=form)
        outcome = self.world.pay(view.session_id, card_number=card_number, email=view.customer_email or email)
        if outcome.redirect_url is not None:
            return redirect(outcome.redirect_url)
        return _open_page(view, status=402, problems={"card_number": decline_sentence(outcome, card_number)}, form=form)


def decline_sentence(outcome: PayOutcome, card_number: str) -> str:
    """Why a card was refused, naming it by its last four digits only."""
    return f"{outcome.message or 'Your card was declined.'} This was the card ending in {card_number[-4:]}."


def _path(session_id: str) -> str:
    return f"/c/pay/{quote(session_id, safe='')}"


def _open_page(
    view: CheckoutView, *, status: int = 200, problems: dict[str, str] | None = None, form: Form | None = None
) -> web.Response:
    """The page with the card form; of what was typed only the e-mail and the name are shown again."""
    typed = form or {}
    return render(
        "checkout.html",
        status=status,
        posts_lead_to=view.success_url,
        view=view,
        action=_path(view.session_id),
        renewals=renewals(view.lines, view.currency),
        test_cards=TEST_CARDS,
        problems=problems or {},
        typed_email=typed.get("email", ""),
        typed_name=typed.get("name", ""),
    )


def _closed_page(view: CheckoutView) -> web.Response:
    if view.status == "expired":
        return render_message(
            status=410,
            heading="This payment page has expired",
            sentence=f"Nothing was charged. Go back to {view.business_name} to start again.",
            link=(f"Back to {view.business_name}", view.cancel_url) if view.cancel_url else None,
        )
    heading, sentence = _completed_words(view)
    link = (f"Continue to {view.business_name}", view.success_url)
    return render_message(status=200, heading=heading, sentence=sentence, tone="good", link=link)


def _completed_words(view: CheckoutView) -> tuple[str, str]:
    total = amount_text(view.total_cents, view.currency)
    if view.payment_status == "paid":
        return "Paid", f"Your payment of {total} to {view.business_name} went through."
    if view.payment_status == "unpaid":
        return "Payment on its way", f"Your payment of {total} to {view.business_name} is being processed."
    return "All set", f"There was nothing to pay; {view.business_name} has your order."


def _unknown_session() -> web.Response:
    return render_message(
        status=404,
        heading="There is no such payment page",
        sentence="The link may be incomplete, or the local Stripe was restarted since it was made. "
        "Go back to the shop to start again.",
    )
