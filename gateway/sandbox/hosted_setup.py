"""The account pages' view of the state: whose account an account link is about, and what its owner does there."""

from dataclasses import dataclass
from typing import Final, Protocol

from gateway.sandbox.engine import accounts, banks, onboarding
from gateway.sandbox.engine.accounts import Stage
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.onboarding import LinkUse
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json

#: What an owner can do on the onboarding page, and where it leaves the account.
OUTCOMES: Final = {
    "finish": Stage.ACTIVE,
    "later": Stage.STARTED,
    "review": Stage.REVIEW,
    "refuse": Stage.REJECTED,
}
#: What an owner can do on the page for changes: replace the bank account, or leave it.
CHANGES: Final = frozenset({"finish", "later"})
_NOT_BACKWARDS: Final = frozenset({Stage.ACTIVE, Stage.REVIEW, Stage.REJECTED})


@dataclass(frozen=True, slots=True)
class SetupView:
    """An account link as its page shows it; `is_open` says whether the page may be shown or its form be taken."""

    link_id: str
    business_name: str
    account_id: str
    owner: str
    stage: str
    is_for_changes: bool
    bank_last4: str | None
    is_open: bool
    refresh_url: str
    return_url: str | None
    expires_at: int

    @property
    def is_refused(self) -> bool:
        """Stripe said no: nothing that is handed in here helps."""
        return self.stage == Stage.REJECTED


@dataclass(frozen=True, slots=True)
class BankNumbers:
    """A bank account as typed."""

    routing_number: str
    account_number: str


class SetupWorld(Protocol):
    """The part of the local Stripe behind the pages of account links."""

    def open_link(self, link_id: str) -> SetupView | None:
        """The page for whoever follows the link, who uses it up by that."""
        ...

    def form_view(self, link_id: str) -> SetupView | None:
        """The page for its own form."""
        ...

    def answer(self, link_id: str, outcome: str, bank: BankNumbers | None) -> dict[str, str]:
        """Do as the owner chose; or what was wrong with the bank account, a sentence a field, and nothing was done."""
        ...


class HostedSetup:
    """Implements `SetupWorld` on the real state."""

    def __init__(self, world: World) -> None:
        self._world = world

    def open_link(self, link_id: str) -> SetupView | None:
        found = self._link(link_id)
        if found is None:
            return None
        platform, link = found
        view = _view(platform, link, is_open=onboarding.may_be_opened(platform, link))
        if view.is_open:
            link["opened"] = True
            self._world.changes += 1
        return view

    def form_view(self, link_id: str) -> SetupView | None:
        found = self._link(link_id)
        return None if found is None else _view(*found, is_open=onboarding.may_be_answered(*found))

    def _link(self, link_id: str) -> tuple[Book, Json] | None:
        self._world.run_due()
        book = self._world.book_with("setup_link", link_id)
        return (book, book.get("setup_link", link_id)) if book is not None else None

    def answer(self, link_id: str, outcome: str, bank: BankNumbers | None) -> dict[str, str]:
        found = self._link(link_id)
        assert found is not None
        platform, link = found
        record = platform.get("connected_account", link["account"])
        if bank is not None and (problems := problems_with(bank)):
            return problems
        if onboarding.use_of(link) is LinkUse.UPDATE:
            if bank is not None:
                accounts.replace_bank(platform, record, bank.account_number)
        else:
            _onboard(platform, record, OUTCOMES[outcome], bank)
        link["used"] = True
        return {}


def _onboard(platform: Book, record: Json, stage: Stage, bank: BankNumbers | None) -> None:
    """Whoever looks in again and leaves does not lose what was reached; whom Stripe refused reaches nothing here."""
    if record["stage"] == Stage.REJECTED or (stage is Stage.STARTED and record["stage"] in _NOT_BACKWARDS):
        return
    accounts.move(platform, record, stage, account_number=bank.account_number if bank else None)


def _view(platform: Book, link: Json, *, is_open: bool) -> SetupView:
    record = platform.get("connected_account", link["account"])
    bank = banks.bank_of(platform.connected(record["id"]))
    return SetupView(
        link_id=link["id"],
        business_name=platform.settings.business_name,
        account_id=record["id"],
        owner=owner_of(record),
        stage=record["stage"],
        is_for_changes=onboarding.use_of(link) is LinkUse.UPDATE,
        bank_last4=bank["last4"] if bank is not None else None,
        is_open=is_open,
        refresh_url=link["refresh_url"],
        return_url=link["return_url"],
        expires_at=link["expires_at"],
    )


def owner_of(record: Json) -> str:
    """What the owner of an account is called."""
    name: str = record["display_name"] or record["email"] or record["id"]
    return name


def problems_with(bank: BankNumbers) -> dict[str, str]:
    """What is wrong with a bank account as typed, a sentence a field."""
    return banks.problems_of(routing_number=bank.routing_number, account_number=bank.account_number)
