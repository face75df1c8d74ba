"""The marketplace once more, as plainly as it can be said: lists of dollars, no ledger, no database.

Each wallet is a queue of lots; spending takes from the oldest lots, and each purse keeps a diary of what was spent of
which lots and for what. What a deposit paid is found by reading the diary over and over, until nothing new comes up.
Everything else follows from how the charges, the deposits and the disputes stand.
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
    state: str
    reason: str | None = None
    dispute: "ModelDispute | None" = None
    losses: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def lost(self) -> int:
        """What of the gross is lost, whichever disputes it was."""
        return sum(self.losses.values())

    @property
    def net_left(self) -> int:
        """The creator's share of what is not lost, in its favour where it does not come out even."""
        return -(-self.net * (self.gross - self.lost) // self.gross)

    @property
    def fee_left(self) -> int:
        return self.gross - self.lost - self.net_left


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
    diary_read_to: int = 0
    write_offs_before: int = 0


@dataclass(eq=False)
class Lot:
    """Dollars that came in together: of a deposit, paid or given back, or of a call that was reversed."""

    origin: ModelDeposit | ModelCharge
    rest: int


@dataclass(eq=False)
class Spent:
    """A line of the diary: the origins of what was spent, and the call or the deposits that it was for."""

    origins: set[ModelDeposit | ModelCharge]
    call: ModelCharge | None = None
    debts_of: tuple[ModelDeposit, ...] = ()


@dataclass
class Purse:
    """One customer's money: lots, oldest first, what it owes and for which deposits, and what it spent."""

    lots: list[Lot] = field(default_factory=list[Lot])
    debt: int = 0
    debtors: list[ModelDeposit] = field(default_factory=list[ModelDeposit])
    clears_at: datetime | None = None
    diary: list[Spent] = field(default_factory=list[Spent])
    written_off: list[tuple["ModelDispute", int]] = field(default_factory=list[tuple["ModelDispute", int]])

    @property
    def balance(self) -> int:
        return sum(lot.rest for lot in self.lots)

    def put(self, origin: ModelDeposit | ModelCharge, amount: int) -> None:
        if amount:
            self.lots.append(Lot(origin, amount))

    def take(self, amount: int) -> set[ModelDeposit | ModelCharge]:
        """Spend the oldest dollars; returns where they came from."""
        assert 0 <= amount <= self.balance
        origins: set[ModelDeposit | ModelCharge] = set()
        while amount:
            lot = self.lots[0]
            part = min(lot.rest, amount)
            amount -= part
            lot.rest -= part
            origins.add(lot.origin)
            if not lot.rest:
                self.lots.pop(0)
        return origins

    def settle_debt(self, amount: int) -> tuple[ModelDeposit, ...]:
        """Owe that much less; returns the deposits for which something was owed."""
        debtors = tuple(self.debtors)
        self.debt -= amount
        if not self.debt:
            self.debtors.clear()
        return debtors

    def paid_by(self, deposit: ModelDeposit, lines: int) -> list[ModelCharge]:
        """The calls that money of a deposit paid in the first lines of the diary, also in another deposit's place."""
        ours: set[ModelDeposit | ModelCharge] = {deposit}
        known = 0
        while known != len(ours):
            known = len(ours)
            for line in self.diary[:lines]:
                if line.origins & ours:
                    ours |= {*line.debts_of, *([line.call] if line.call else [])}
        return [line.call for line in self.diary[:lines] if line.call in ours]


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
        purse.put(deposit, deposit.cents * MICROS_PER_CENT)
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
        origins = purse.take(tool.price)
        fee = tool.price * fee_bps // 10_000
        charge = ModelCharge(
            consumer=consumer,
            creator=tool.creator,
            tool=tool_id,
            gross=tool.price,
            fee=fee,
            net=tool.price - fee,
            day=now.date(),
            available_at=max(now + self.hold, purse.clears_at or now),
            balance_after=purse.balance,
            state="own" if consumer == tool.creator else "pending",
        )
        self.charges[consumer, call_id] = charge
        purse.diary.append(Spent(origins, call=charge))
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
        if charge.lost:
            return "lost"
        charge.state, charge.reason = "reversed", reason
        self.purses[consumer].put(charge, charge.gross)
        self._cover(consumer)
        return "reversed"

    def refund(self, deposit: ModelDeposit, total_cents: int) -> None:
        change = (total_cents - deposit.refunded_cents) * MICROS_PER_CENT
        deposit.refunded_cents = total_cents
        if change > 0:
            self._take_back(deposit, change)
        elif change < 0:
            self._note_covered(deposit.consumer, self._give_back(deposit, -change))

    def turn(self, dispute: ModelDispute, status: str, withdrawn_cents: int, now: datetime) -> None:
        """Stripe says how a dispute stands."""
        self.disputes[dispute.id] = dispute
        before, withdrawn = dispute.state, withdrawn_cents * MICROS_PER_CENT
        change, dispute.withdrawn = withdrawn - dispute.withdrawn, withdrawn
        revived: dict[ModelDispute, int] = {}
        consumer = dispute.deposit.consumer
        written_off = dispute.owed if before == "lost" else 0
        if change > 0:
            dispute.owed += self._take_back(dispute.deposit, change)
            dispute.diary_read_to = len(self.purses[consumer].diary)
            dispute.write_offs_before = len(self.purses[consumer].written_off)
        if change < 0:
            made_good = min(dispute.owed, -change)
            dispute.owed -= made_good
            recovered = made_good if before == "lost" else 0
            revived = self._revive(dispute, -change - recovered)
            covered = self._give_back(dispute.deposit, -change - recovered) - sum(revived.values())
            self._note_covered(consumer, covered if before == "lost" else covered - made_good)
        partly_won = status == "won" and withdrawn_cents < dispute.deposit.cents
        lost = partly_won or "lost" in {status, before}
        dispute.state = "won" if not withdrawn else "lost" if lost else "open"
        if dispute.state == "lost":
            loss = max(dispute.owed - written_off, 0)
            self.purses[consumer].settle_debt(loss)
            self.purses[consumer].written_off.append((dispute, loss))
        self._move_charges(dispute, now)
        for other in sorted(self.disputes.values(), key=lambda one: (one.opened_at, one.id)):
            lost = sum(charge.losses.get(other.id, 0) for charge in self.charges.values())
            is_theirs = other.state == "lost" and other.deposit.consumer == consumer
            if other is not dispute and is_theirs and lost != other.owed:
                self._move_charges(other, now)

    def _revive(self, dispute: ModelDispute, amount: int) -> dict[ModelDispute, int]:
        """What was written off of other disputes since this one's money left is a debt again, if it is paid now."""
        purse = self.purses[dispute.deposit.consumer]
        left = amount - purse.debt
        revived: dict[ModelDispute, int] = {}
        for other in sorted(self.disputes.values(), key=lambda one: (one.opened_at, one.id)):
            since = sum(loss for one, loss in purse.written_off[dispute.write_offs_before :] if one is other)
            part = min(left, since, other.owed)
            if other is dispute or other.state != "lost" or part <= 0:
                continue
            left -= part
            other.owed -= part
            revived[other] = part
            purse.written_off.append((other, -part))
            purse.debt += part
            purse.debtors.append(other.deposit)
        return revived

    def _move_charges(self, dispute: ModelDispute, now: datetime) -> None:
        paid = self._paid_by(dispute)
        if dispute.state == "open":
            for charge in paid:
                if charge.state in {"pending", "available"}:
                    charge.state, charge.dispute = "held", dispute
            return
        # Of the newest call as much as was written off, then of the one before, until all of that is accounted for.
        rest = dispute.owed if dispute.state == "lost" else 0
        for charge in reversed(paid):
            others = charge.lost - charge.losses.get(dispute.id, 0)
            part = 0 if charge.state == "reversed" else min(rest, charge.gross - others)
            rest -= part
            charge.losses[dispute.id] = part
            if charge.state != "reversed" and charge.lost == charge.gross:
                charge.state, charge.dispute = "lost", None
            elif charge.state == "lost":
                self._free(charge, dispute, now)
        for charge in list(self._of(dispute, "held")):
            self._free(charge, dispute, now)

    def _free(self, charge: ModelCharge, dispute: ModelDispute, now: datetime) -> None:
        others = [
            other
            for other in self._open_disputes(charge.consumer)
            if other is not dispute and charge in self._paid_by(other)
        ]
        if charge.consumer == charge.creator:
            charge.state = "own"
        elif others:
            charge.state, charge.dispute = "held", others[-1]
        else:
            charge.state = "available" if charge.available_at <= now else "pending"

    def _paid_by(self, dispute: ModelDispute) -> list[ModelCharge]:
        purse = self.purses[dispute.deposit.consumer]
        return [charge for charge in purse.paid_by(dispute.deposit, dispute.diary_read_to) if charge.net]

    def _take_back(self, deposit: ModelDeposit, amount: int) -> int:
        purse = self.purses[deposit.consumer]
        there = min(amount, purse.balance)
        purse.diary.append(Spent(purse.take(there), debts_of=(deposit,)))
        if amount > there:
            purse.debt += amount - there
            purse.debtors.append(deposit)
        return amount - there

    def _give_back(self, deposit: ModelDeposit, amount: int) -> int:
        purse = self.purses[deposit.consumer]
        covered = min(amount, purse.debt)
        if covered:
            purse.diary.append(Spent({deposit}, debts_of=purse.settle_debt(covered)))
        purse.put(deposit, amount - covered)
        return covered

    def _cover(self, consumer: str) -> None:
        purse = self.purses[consumer]
        amount = min(purse.debt, purse.balance)
        if amount:
            purse.diary.append(Spent(purse.take(amount), debts_of=purse.settle_debt(amount)))
        self._note_covered(consumer, amount)

    def _note_covered(self, consumer: str, amount: int) -> None:
        for dispute in self._open_disputes(consumer):
            part = min(amount, dispute.owed)
            amount -= part
            dispute.owed -= part

    def _open_disputes(self, consumer: str) -> list[ModelDispute]:
        found = [one for one in self.disputes.values() if one.state == "open" and one.deposit.consumer == consumer]
        return sorted(found, key=lambda one: (one.opened_at, one.id))

    def _of(self, dispute: ModelDispute, *states: str) -> Iterator[ModelCharge]:
        return (c for c in self.charges.values() if c.dispute is dispute and c.state in states)

    def net_of(self, creator: str, *states: str) -> int:
        return sum(c.net_left for c in self.charges.values() if c.creator == creator and c.state in states)

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
            "bad_debt": sum(c.net - c.net_left for c in self.charges.values())
            - sum(d.owed for d in self.disputes.values() if d.state == "lost"),
        }

    def days_of(self, creator: str) -> dict[str, tuple[int, int, int, int]]:
        """Gross, fee, net and calls by day, days on which nothing stands left out."""
        days: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for c in self.charges.values():
            if c.creator == creator and c.state not in {"reversed", "lost"}:
                for place, part in enumerate((c.gross - c.lost, c.fee_left, c.net_left, 1)):
                    days[c.day.isoformat()][place] += part
        return {day: (total[0], total[1], total[2], total[3]) for day, total in days.items()}
