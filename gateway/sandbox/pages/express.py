"""The Express dashboard: what an account's owner has at Stripe, and the bank account it is paid to."""

from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from aiohttp import web

from gateway.sandbox.hosted_express import ExpressView, ExpressWorld
from gateway.sandbox.pages.bank_fields import TEST_BANKS, BankFields, shown_again, typed_bank
from gateway.sandbox.pages.forms import Form, answer_form
from gateway.sandbox.pages.rendering import redirect, render, render_message

_NOTICES = {"bank": "Your bank account was replaced. Payouts go to the new one from now on."}


@dataclass(frozen=True, slots=True)
class ExpressPages:
    """Handlers of `/express/…`: a login link, which opens the dashboard once, and the dashboard itself."""

    world: ExpressWorld

    async def log_in(self, request: web.Request) -> web.Response:
        session_id = self.world.log_in(request.match_info["login"])
        return _closed() if session_id is None else redirect(_path(session_id))

    async def show(self, request: web.Request) -> web.Response:
        view = self.world.express_view(request.match_info["session_id"])
        if view is None:
            return _closed()
        return _page(view, notice=_NOTICES.get(request.query.get("done", "")))

    async def replace_bank(self, request: web.Request) -> web.Response:
        session_id = request.match_info["session_id"]
        return await answer_form(request, partial(self._replace_bank, session_id), back_to=_path(session_id))

    def _replace_bank(self, session_id: str, form: Form) -> web.Response:
        view = self.world.express_view(session_id)
        if view is None:
            return _closed()
        problems = self.world.replace_bank(session_id, typed_bank(form))
        if problems:
            return _page(view, status=422, bank=shown_again(form, problems))
        return redirect(f"{_path(session_id)}?done=bank")


def _path(session_id: str) -> str:
    return f"/express/{quote(session_id, safe='')}"


def _page(
    view: ExpressView, *, status: int = 200, notice: str | None = None, bank: BankFields | None = None
) -> web.Response:
    return render(
        "express.html",
        status=status,
        view=view,
        path=_path(view.session_id),
        test_banks=TEST_BANKS,
        notice=notice,
        bank=bank or BankFields(),
    )


def _closed() -> web.Response:
    return render_message(
        status=404,
        heading="This dashboard is not open",
        sentence="A link to the dashboard opens it once, and it stays open for an hour. "
        "Go back to where you came from and open it again.",
    )
