"""The hosted pages of the local Stripe, in plain HTML that needs no JavaScript."""

from aiohttp import web

from gateway.sandbox.hosted import HostedWorld
from gateway.sandbox.hosted_express import ExpressWorld
from gateway.sandbox.hosted_setup import SetupWorld
from gateway.sandbox.pages.checkout import CheckoutPages
from gateway.sandbox.pages.express import ExpressPages
from gateway.sandbox.pages.forms import answer_form
from gateway.sandbox.pages.portal import PortalPages
from gateway.sandbox.pages.rendering import STYLESHEET_PATH, redirect, render, render_message, serve_stylesheet
from gateway.sandbox.pages.setup import SetupPages

__all__ = [
    "add_express_routes",
    "add_page_routes",
    "add_setup_routes",
    "answer_form",
    "redirect",
    "render",
    "render_message",
]


def add_page_routes(app: web.Application, world: HostedWorld) -> None:
    """Add the hosted pages to `app`; every page reads and changes only what `world` offers."""
    checkout = CheckoutPages(world)
    portal = PortalPages(world)
    app.router.add_routes(
        [
            web.get(STYLESHEET_PATH, serve_stylesheet),
            web.get("/c/pay/{session_id}", checkout.show),
            web.post("/c/pay/{session_id}", checkout.pay),
            web.get("/p/session/{session_id}", portal.show),
            web.get("/p/session/{session_id}/cancel", portal.ask_cancel),
            web.post("/p/session/{session_id}/cancel", portal.cancel),
            web.post("/p/session/{session_id}/switch", portal.switch),
            web.post("/p/session/{session_id}/resume", portal.resume),
            web.post("/p/session/{session_id}/pay", portal.pay),
            web.post("/p/session/{session_id}/card", portal.replace_card),
        ]
    )


def add_setup_routes(app: web.Application, world: SetupWorld) -> None:
    """Add the pages of account links."""
    setup = SetupPages(world)
    app.router.add_routes(
        [web.get("/setup/{link}", setup.show), web.post("/setup/{link}", setup.answer)],
    )


def add_express_routes(app: web.Application, world: ExpressWorld) -> None:
    """Add the Express dashboard of connected accounts."""
    express = ExpressPages(world)
    app.router.add_routes(
        [
            web.get("/express/{account}/{login}", express.log_in),
            web.get("/express/{session_id}", express.show),
            web.post("/express/{session_id}/bank", express.replace_bank),
        ],
    )
