"""The onboarding page's view of the state: whose account it sets up, and what its owner does there."""

from dataclasses import dataclass
from typing import Final, Protocol

from gateway.sandbox.engine import accounts, onboarding
from gateway.sandbox.engine.accounts import Stage
from gateway.sandbox.engine.banks import ROUTING_NUMBER
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json, Refusal

#: What an owner can do on the page, and where it leaves the account.
OUTCOMES: Final = {
    "finish": Stage.ACTIVE,
    "later": Stage.STARTED,
    "review": Stage.REVIEW,
    "refuse": Stage.REJECTED,
}
_NOT_BACKWARDS: Final = frozenset({Stage.ACTIVE, Stage.REVIEW, Stage.REJECTED})


@dataclass(frozen=True, slots=True)
class SetupView:
    """An onboarding link as its page shows it."""

    link_id: str
    business_name: str
    account_id: str
    owner: str
    stage: str
    is_open: bool
    refresh_url: str
    return_url: str | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class BankNumbers:
    """A bank account as typed."""

    routing_number: str
    account_number: str


class SetupWorld(Protocol):
    """The part of the local Stripe behind its onboarding page."""

    def setup_view(self, link_id: str) -> SetupView | None: ...

    def answer(self, link_id: str, outcome: str, bank: BankNumbers | None) -> str | None:
        """Do as the owner chose and use the link up; the sentence says what was wrong with the bank account."""
        ...


class HostedSetup:
    """Implements `SetupWorld` on the real state."""

    def __init__(self, world: World) -> None:
        self._world = world

    def setup_view(self, link_id: str) -> SetupView | None:
        found = self._link(link_id)
        if found is None:
            return None
        platform, link = found
        record = platform.get("connected_account", link["account"])
        return SetupView(
            link_id=link_id,
            business_name=platform.settings.business_name,
            account_id=record["id"],
            owner=record["display_name"] or record["email"] or record["id"],
            stage=record["stage"],
            is_open=onboarding.is_open(platform, link),
            refresh_url=link["refresh_url"],
            return_url=link["return_url"],
            expires_at=link["expires_at"],
        )

    def _link(self, link_id: str) -> tuple[Book, Json] | None:
        self._world.run_due()
        book = self._world.book_with("setup_link", link_id)
        return (book, book.get("setup_link", link_id)) if book is not None else None

    def answer(self, link_id: str, outcome: str, bank: BankNumbers | None) -> str | None:
        found = self._link(link_id)
        assert found is not None
        platform, link = found
        record = platform.get("connected_account", link["account"])
        stage = OUTCOMES[outcome]
        if bank is not None and bank.routing_number != ROUTING_NUMBER:
            return f"The routing number of a test bank account is {ROUTING_NUMBER}."
        try:
            # Whoever looks in again and leaves does not lose what was reached.
            if stage is not Stage.STARTED or record["stage"] not in _NOT_BACKWARDS:
                accounts.move(platform, record, stage, account_number=bank.account_number if bank else None)
        except Refusal as refusal:
            return refusal.message
        link["used"] = True
        return None
