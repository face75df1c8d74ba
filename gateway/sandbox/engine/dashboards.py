"""The Express dashboard of a connected account: a login link opens it once, and it stays open for an hour."""

from typing import Final

from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json

LOGIN_SECONDS: Final = 300
DASHBOARD_SECONDS: Final = 3600


def new_login(platform: Book, record: Json) -> Json:
    """A way into the account's dashboard for one use."""
    return platform.add(
        {
            "id": platform.around.ids.letters(16),
            "object": "express_login",
            "account": record["id"],
            "created": platform.now,
            "expires_at": platform.now + LOGIN_SECONDS,
            "used": False,
        }
    )


def url_of(platform: Book, login: Json) -> str:
    return f"{platform.around.base_url}/express/{login['account']}/{login['id']}"


def open_dashboard(platform: Book, login: Json) -> Json | None:
    """Use a login link up; None when it was used before, has expired, or its account is gone."""
    if login["used"] or platform.now >= login["expires_at"] or not _is_there(platform, login["account"]):
        return None
    login["used"] = True
    return platform.add(
        {
            "id": platform.around.ids.letters(32),
            "object": "express_session",
            "account": login["account"],
            "expires_at": platform.now + DASHBOARD_SECONDS,
        }
    )


def is_open(platform: Book, session: Json) -> bool:
    return platform.now < session["expires_at"] and _is_there(platform, session["account"])


def _is_there(platform: Book, account: str) -> bool:
    record = platform.find("connected_account", account)
    return record is not None and record["connected"] and not record["closed"]
