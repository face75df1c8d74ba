"""The Express dashboard's view of the state: an account's money, and the bank account it goes to."""

from dataclasses import dataclass
from typing import Final, Protocol

from gateway.sandbox.engine import accounts, balance, banks, dashboards
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.payouts import CURRENCY
from gateway.sandbox.engine.world import World
from gateway.sandbox.hosted_setup import BankNumbers, owner_of, problems_with
from gateway.sandbox.refusals import Json

PAYOUTS_SHOWN_MAX: Final = 25


@dataclass(frozen=True, slots=True)
class PayoutLine:
    """One payout to the bank; amounts are whole cents."""

    amount_cents: int
    created: int
    arrives: int
    status: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class ExpressView:
    """A dashboard as its page shows it."""

    session_id: str
    business_name: str
    account_id: str
    owner: str
    stage: str
    available_cents: int
    pending_cents: int
    next_payout_at: int | None
    bank_last4: str | None
    bank_failed: bool
    payouts: tuple[PayoutLine, ...]


class ExpressWorld(Protocol):
    """The part of the local Stripe behind its Express dashboard."""

    def log_in(self, login_id: str) -> str | None:
        """Use a login link up; the id of the dashboard it opens, None when it opens none."""
        ...

    def express_view(self, session_id: str) -> ExpressView | None: ...

    def replace_bank(self, session_id: str, bank: BankNumbers) -> dict[str, str]:
        """Send payouts elsewhere from now on; or what was wrong, a sentence a field, and nothing was done."""
        ...


class HostedExpress:
    """Implements `ExpressWorld` on the real state."""

    def __init__(self, world: World) -> None:
        self._world = world

    def log_in(self, login_id: str) -> str | None:
        self._world.run_due()
        platform = self._world.book_with("express_login", login_id)
        if platform is None:
            return None
        session = dashboards.open_dashboard(platform, platform.get("express_login", login_id))
        self._world.changes += 1
        return None if session is None else session["id"]

    def express_view(self, session_id: str) -> ExpressView | None:
        found = self._open(session_id)
        return None if found is None else _view(session_id, *found)

    def _open(self, session_id: str) -> tuple[Book, Json] | None:
        """The platform's book and the account of a dashboard that is open."""
        self._world.run_due()
        platform = self._world.book_with("express_session", session_id)
        if platform is None:
            return None
        session = platform.get("express_session", session_id)
        if not dashboards.is_open(platform, session):
            return None
        return platform, platform.get("connected_account", session["account"])

    def replace_bank(self, session_id: str, bank: BankNumbers) -> dict[str, str]:
        found = self._open(session_id)
        assert found is not None
        problems = problems_with(bank)
        if not problems:
            accounts.replace_bank(*found, bank.account_number)
        return problems


def _view(session_id: str, platform: Book, record: Json) -> ExpressView:
    own = platform.connected(record["id"])
    bank = banks.bank_of(own)
    sums = balance.balance_of(own)
    return ExpressView(
        session_id=session_id,
        business_name=platform.settings.business_name,
        account_id=record["id"],
        owner=owner_of(record),
        stage=record["stage"],
        available_cents=_cents(sums["available"]),
        pending_cents=_cents(sums["pending"]),
        next_payout_at=None if banks.is_errored(own) else own.behind.next_payout_at,
        bank_last4=bank["last4"] if bank is not None else None,
        bank_failed=banks.is_errored(own),
        payouts=tuple(_line(payout) for payout in own.newest_first("payout")[:PAYOUTS_SHOWN_MAX]),
    )


def _cents(sums: list[Json]) -> int:
    return sum(one["amount"] for one in sums if one["currency"] == CURRENCY)


def _line(payout: Json) -> PayoutLine:
    return PayoutLine(
        amount_cents=payout["amount"],
        created=payout["created"],
        arrives=payout["arrival_date"],
        status=payout["status"],
        failure=payout["failure_message"],
    )
