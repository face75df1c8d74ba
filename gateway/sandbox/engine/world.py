"""The whole of the local Stripe's state: one book for each account and mode, and the passage of time."""

from dataclasses import dataclass

from gateway.sandbox.engine.book import Book, Surroundings
from gateway.sandbox.refusals import Json


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose objects a request sees: the platform's own (account None) or a connected account's, test or live."""

    account: str | None
    livemode: bool


class World:
    """Books appear when first asked for; time passes only through `run_due` and `advance`."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.seeded_endpoint: str | None = None
        """The webhook endpoint that stands for the settings, by id."""
        self.seeded_connect_endpoint: str | None = None
        """The one beside it that hears of connected accounts."""
        self.changes = 0
        """Grows with everything that happens, so that whoever keeps the state knows when to look again."""
        self._books: dict[Scope, Book] = {}
        around.in_other_mode = self._in_other_mode
        around.elsewhere = self._elsewhere
        around.book_of = lambda account, livemode: self.book(Scope(account=account, livemode=livemode))

    def _in_other_mode(self, book: Book, kind: str, id: str) -> bool:
        other = self._books.get(Scope(account=book.account, livemode=not book.livemode))
        return other is not None and other.find(kind, id) is not None

    def _elsewhere(self, book: Book, kind: str, id: str) -> Json | None:
        others = (one for one in self._books.values() if one.livemode == book.livemode and one is not book)
        return next((found for one in others if (found := one.find(kind, id)) is not None), None)

    def book(self, scope: Scope) -> Book:
        found = self._books.get(scope)
        if found is None:
            found = Book(account=scope.account, livemode=scope.livemode, around=self.around)
            self._books[scope] = found
        return found

    @property
    def platform(self) -> Book:
        """The platform's test book, which the hosted pages and the control door work on by default."""
        return self.book(Scope(account=None, livemode=False))

    def is_connected(self, account: str, *, livemode: bool) -> bool:
        """Whether the platform may act for an account."""
        record = self.book(Scope(account=None, livemode=livemode)).find("connected_account", account)
        return record is not None and record["connected"]

    def books(self) -> tuple[Book, ...]:
        return tuple(self._books.values())

    def book_with(self, kind: str, id: str) -> Book | None:
        """The book that holds an object: addresses of hosted pages and control calls name no account."""
        return next((book for book in self._books.values() if book.find(kind, id) is not None), None)

    def run_due(self) -> int:
        """Do what has fallen due by now, oldest first, each as of its own moment; returns how many things ran."""
        return self._run_until(self.around.clock.now())

    def advance(self, seconds: int) -> int:
        """Let time pass, doing on the way what falls due; returns how many things ran."""
        target = self.around.clock.now() + seconds
        ran = self._run_until(target)
        self.around.clock.skip(seconds)
        return ran

    def clear(self) -> None:
        self._books.clear()
        self.seeded_endpoint = self.seeded_connect_endpoint = None
        self.changes += 1
        self.around.agenda.clear()
        self.around.clock.reset()

    def _run_until(self, moment: int) -> int:
        ran = 0
        while (entry := self.around.agenda.pop_due(moment)) is not None:
            with self.around.clock.held_at(entry.due_at):
                entry.run()
            ran += 1
            self.changes += 1
        return ran
