"""Links to the pages where the owner of a connected account fills in what Stripe wants to know, or changes it."""

from enum import StrEnum
from typing import Final

from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.opening import check_url
from gateway.sandbox.refusals import Json, state_conflict

V1_SECONDS: Final = 300
V2_SECONDS: Final = 600


class LinkUse(StrEnum):
    """What an account link is for, as the API spells it."""

    ONBOARDING = "account_onboarding"
    UPDATE = "account_update"


def new_link(
    platform: Book,
    record: Json,
    *,
    use: LinkUse = LinkUse.ONBOARDING,
    refresh_url: str,
    return_url: str | None,
    lifetime_seconds: int,
    at: str = "",
) -> Json:
    """A link that opens its page once; `at` leads to the two addresses' parameters in messages.

    Raises:
        Refusal: an address is none, or the account is closed.
    """
    check_url(refresh_url, param=f"{at}refresh_url")
    if return_url is not None:
        check_url(return_url, param=f"{at}return_url")
    if record["closed"]:
        raise state_conflict(f"The account {record['id']} is closed.", code="account_closed")
    return platform.add(
        {
            "id": platform.around.ids.letters(32),
            "object": "setup_link",
            "account": record["id"],
            "created": platform.now,
            "expires_at": platform.now + lifetime_seconds,
            "opened": False,
            "refresh_url": refresh_url,
            "return_url": return_url,
            "use": use.value,
            "used": False,
        }
    )


def url_of(platform: Book, link: Json) -> str:
    return f"{platform.around.base_url}/setup/{link['id']}"


def use_of(link: Json) -> LinkUse:
    """What a link is for; those in a file from before there were others are for onboarding."""
    return LinkUse(link.get("use", LinkUse.ONBOARDING))


def may_be_opened(platform: Book, link: Json) -> bool:
    """Whether the link still leads to its page: nobody was there, it has not expired, and its account is there."""
    return may_be_answered(platform, link) and not link.get("opened", False)


def may_be_answered(platform: Book, link: Json) -> bool:
    """Whether the page's own form is still taken: it goes on after the link is used up, and ends with its time."""
    record = platform.find("connected_account", link["account"])
    present = record is not None and record["connected"] and not record["closed"]
    return present and not link["used"] and platform.now < link["expires_at"]
