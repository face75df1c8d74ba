"""The marketplace once more, as plainly as it can be said: lists of dollars, no ledger, no database.

Each wallet is a queue of lots; spending takes from the oldest lot and remembers which lots it took from. Everything
else follows from how the charges, the deposits and the disputes stand.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

MICROS_PER_CENT = 10_000


@dataclass
class ModelTool:
    creator: str
    price: int
    active: bool


@dataclass(eq=False)
class ModelCharge:
    consumer: str
    creator: str
    tool: str
    gross: int
    fee: int
    net: int
    day: date
    available_at: datetime
    balance_after: int
    lots: set[str]
    state: str
    reason: str | None = None
    dispute: "ModelDispute | None" = None


@dataclass(eq=False)
class ModelDeposit:
    name: str
    consumer: str
    cents: int
    refunded_cents: int = 0


@dataclass(eq=False)
class ModelDispute:
    id: str
    deposit: ModelDeposit
    opened_at: datetime
    state: str = "won"
    withdrawn: int = 0
    owed: int = 0
    paid: list[ModelCharge] | None = None


@dataclass
class Purse:
    """One customer's money: lots, oldest first, as [name, rest], and what it owes."""

    lots: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    debt: int = 0
    clears_at: datetime | None = None

    @property
    def balance(self) -> int:
        return sum(rest for _, rest in self.lots)

    def put(self, name: str, amount: int) -> None:
        if amount:
            self.lots.append((name, amount))

    def take(self, amount: int) -> set[str]:
        """Spend the oldest dollars; returns the names of the lots they were of."""
        assert 0 <= amount <= self.balance
        touched: set[str] = set()
        while amount:
            name, rest = self.lots[0]
            part = min(rest, amount)
            amount -= part
            touched.add(name)
            self.lots[0:1] = [(name, rest - part)] if rest > part else []
        return touched


@dataclass
class ModelMarket:
    """Every method is something that happens; what it returns is what the caller must be told."""

    hold: timedelta
    tools: dict[str, ModelTool] = field(default_factory=dict[str, ModelTool])
    purses: defaultdict[str, Purse] = field(default_factory=lambda: defaultdict[str, Purse](Purse))
    charges: dict[tuple[str, str], ModelCharge] = field(default_factory=dict[tuple[str, str], ModelCharge])
    deposits: list[ModelDeposit] = field(default_factory=list[ModelDeposit])
    disputes: dict[str, ModelDispute] = field(default_factory=dict[str, ModelDispute])

    def deposit(self, deposit: ModelDeposit, clears_at: datetime | None) -> None:
        purse = self.purses[deposit.consumer]
        self.deposits.append(deposit)
        purse.put(deposit.name, deposit.cents * MICROS_PER_CENT)
        if clears_at is not None:
            purse.clears_at = max(clears_at, purse.clears_at or clears_at)
        self._cover(deposit.consumer)

    def charge(self, consumer: str, call_id: str, tool_id: str, *, fee_bps: int, now: datetime) -> str:
        """charged, replayed, conflict, insufficient or unknown."""
        earlier = self.charges.get((consumer, call_id))
        if earlier is not None:
            return "replayed" if earlier.tool == tool_id else "conflict"
        tool = self.tools.get(tool_id)
        if tool is None or not tool.active:
            return "unknown"
        purse = self.purses[consumer]
        if purse.balance < tool.price:
            return "insufficient"
        lots = purse.take(tool.price)
        fee = tool.price * fee_bps // 10_000
        self.charges[consumer, call_id] = ModelCharge(
            consumer=consumer,
            creator=tool.creator,
            tool=tool_id,
            gross=tool.price,
            fee=fee,
            net=tool.price - fee,
            day=now.date(),
            available_at=max(now + self.hold, purse.clears_at or now),
            balance_after=purse.balance,
            lots=lots,
            state="own" if consumer == tool.creator else "pending",
        )
        return "charged"

    def release(self, now: datetime) -> None:
        for charge in self.charges.values():
            if charge.state == "pending" and charge.available_at <= now:
                charge.state = "available"

    def reverse(self, consumer: str, call_id: str, reason: str) -> str:
        """reversed, again, conflict, lost or unknown."""
        charge = self.charges.get((consumer, call_id))
        if charge is None:
            return "unknown"
        if charge.state == "reversed":
            return "again" if charge.reason == reason else "conflict"
        if charge.state == "lost":
            return "lost"
        charge.state, charge.reason = "reversed", reason
        self.purses[consumer].put(f"reversal of {call_id}", charge.gross)
        self._cover(consumer)
        return "reversed"

    def refund(self, deposit: ModelDeposit, total_cents: int) -> None:
        change = (total_cents - deposit.refunded_cents) * MICROS_PER_CENT
        deposit.refunded_cents = total_cents
        if change > 0:
            self._take_back(deposit.consumer, change)
        elif change < 0:
            self._note_covered(deposit.consumer, self._give_back(deposit.consumer, -change))

    def turn(self, dispute: ModelDispute, status: str, withdrawn_cents: int, now: datetime) -> None:
        """Stripe says how a dispute stands."""
        self.disputes[dispute.id] = dispute
        before, withdrawn = dispute.state, withdrawn_cents * MICROS_PER_CENT
        change, dispute.withdrawn = withdrawn - dispute.withdrawn, withdrawn
        consumer = dispute.deposit.consumer
        written_off = dispute.owed if before == "lost" else 0
        if change > 0:
            if dispute.paid is None:
                dispute.paid = [charge for charge in self._calls_of(consumer) if dispute.deposit.name in charge.lots]
            dispute.owed += self._take_back(consumer, change)
        if change < 0:
            made_good = min(dispute.owed, -change)
            dispute.owed -= made_good
            recovered = made_good if before == "lost" else 0
            covered = self._give_back(consumer, -change - recovered)
            self._note_covered(consumer, covered if before == "lost" else covered - made_good)
        dispute.state = "won" if not withdrawn else "lost" if "lost" in {status, before} else "open"
        if dispute.state == "lost":
            self.purses[consumer].debt -= max(dispute.owed - written_off, 0)
        self._move_charges(dispute, now)

    def _move_charges(self, dispute: ModelDispute, now: datetime) -> None:
        paid = [charge for charge in dispute.paid or [] if charge.net]
        if dispute.state == "open":
            for charge in paid:
                if charge.state in {"pending", "available"}:
                    charge.state, charge.dispute = "held", dispute
            return
        if dispute.state == "lost":
            rest = dispute.owed - sum(c.gross for c in self._of(dispute, "lost"))
            for charge in reversed(paid):
                if charge.state in {"pending", "available", "held", "own"} and charge.gross <= rest:
                    rest -= charge.gross
                    charge.state, charge.dispute = "lost", dispute
        states = {"held", "lost"} if dispute.state == "won" else {"held"}
        for charge in list(self._of(dispute, *states)):
            self._free(charge, dispute, now)

    def _free(self, charge: ModelCharge, dispute: ModelDispute, now: datetime) -> None:
        others = [
            other
            for other in self._open_disputes(charge.consumer)
            if other is not dispute and other.paid is not None and charge in other.paid
        ]
        if charge.consumer == charge.creator:
            charge.state = "own"
        elif others:
            charge.state, charge.dispute = "held", others[-1]
        else:
            charge.state = "available" if charge.available_at <= now else "pending"

    def _take_back(self, consumer: str, amount: int) -> int:
        purse = self.purses[consumer]
        there = min(amount, purse.balance)
        purse.take(there)
        purse.debt += amount - there
        return amount - there

    def _give_back(self, consumer: str, amount: int) -> int:
        purse = self.purses[consumer]
        covered = min(amount, purse.debt)
        purse.debt -= covered
        purse.put("given back", amount - covered)
        return covered

    def _cover(self, consumer: str) -> None:
        purse = self.purses[consumer]
        amount = min(purse.debt, purse.balance)
        purse.take(amount)
        purse.debt -= amount
        self._note_covered(consumer, amount)

    def _note_covered(self, consumer: str, amount: int) -> None:
        for dispute in self._open_disputes(consumer):
            part = min(amount, dispute.owed)
            amount -= part
            dispute.owed -= part

    def _open_disputes(self, consumer: str) -> list[ModelDispute]:
        found = [one for one in self.disputes.values() if one.state == "open" and one.deposit.consumer == consumer]
        return sorted(found, key=lambda one: (one.opened_at, one.id))

    def _calls_of(self, consumer: str) -> Iterator[ModelCharge]:
        return (charge for charge in self.charges.values() if charge.consumer == consumer)

    def _of(self, dispute: ModelDispute, *states: str) -> Iterator[ModelCharge]:
        return (c for c in self.charges.values() if c.dispute is dispute and c.state in states)

    def net_of(self, creator: str, *states: str) -> int:
        return sum(c.net for c in self.charges.values() if c.creator == creator and c.state in states)

    def accounts_of(self, person: str) -> dict[str, int]:
        """What each account of a person holds, empty ones left out."""
        purse = self.purses[person]
        all_of_them = {
            "wallet": purse.balance,
            "receivable": -purse.debt,
            "earn_pending": self.net_of(person, "pending"),
            "earn_available": self.net_of(person, "available"),
            "earn_held": self.net_of(person, "held", "own"),
        }
        return {kind: amount for kind, amount in all_of_them.items() if amount}

    def platform(self) -> dict[str, int]:
        stripe = sum((d.refunded_cents - d.cents) * MICROS_PER_CENT for d in self.deposits)
        return {
            "stripe": stripe + sum(d.withdrawn for d in self.disputes.values()),
            "fees": sum(c.fee for c in self.charges.values() if c.state != "reversed"),
            "bad_debt": sum(c.net for c in self.charges.values() if c.state == "lost")
            - sum(d.owed for d in self.disputes.values() if d.state == "lost"),
        }

    def days_of(self, creator: str) -> dict[str, tuple[int, int, int, int]]:
        """Gross, fee, net and calls by day, days on which nothing stands left out."""
        days: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for c in self.charges.values():
            if c.creator == creator and c.state not in {"reversed", "lost"}:
                for place, part in enumerate((c.gross, c.fee, c.net, 1)):
                    days[c.day.isoformat()][place] += part
        return {day: (total[0], total[1], total[2], total[3]) for day, total in days.items()}
