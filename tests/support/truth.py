"""What a customer should have, read off Stripe's own lists by rules of their own, and what our books say it has.

Written apart from the gateway's reading of Stripe on purpose: one mistake is not made twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.db import Database
from gateway.db.rows import integer
from gateway.domain.charges import receivable
from gateway.domain.ledger import BAD_DEBT, wallet
from gateway.services.customers import customer_id_of
from gateway.services.ledger import balance
from tests.support.stripe_door import Json, StripeDoor

MICROS_PER_CENT: Final = 10_000
PAGE_ENTRIES: Final = 100
#: From the least to the most.
TIERS: Final = ("starter", "pro", "business")
#: Stripe's words for a subscription that gives its tier, from the least to the most.
GIVING: Final = ("past_due", "trialing", "active")
WAITING: Final = ("unpaid", "paused", "incomplete")
#: What is left of a plan when its grace period is over.
NOTHING_ANY_MORE: Final[Json] = {
    "tier": "FREE",
    "interval": None,
    "price_cents": 0,
    "period_end": None,
    "cancels_at": None,
}


@dataclass(frozen=True, slots=True)
class Holding:
    """A customer's plan and money; times are Unix seconds, `net_micros` the wallet less what is owed or written off."""

    tier: str
    status: str
    interval: str | None
    price_cents: int
    subscription: str | None
    period_end: int | None
    cancels_at: int | None
    net_micros: int
    deposits: int


async def past_due_at_stripe(stripe: StripeDoor, customers: Sequence[str]) -> frozenset[str]:
    """Which subscriptions of these Stripe Customers are past due at this moment."""
    found = [one for customer in customers for one in await _subscriptions(stripe, customer)]
    return frozenset(one["id"] for one in found if one["status"] == "past_due")


async def _subscriptions(stripe: StripeDoor, customer: str) -> list[Json]:
    return await listed(stripe, f"/v1/subscriptions?status=all&customer={customer}")


async def holding_at_stripe(
    stripe: StripeDoor, customers: Sequence[str], *, over: Collection[str] = frozenset()
) -> Holding:
    """What somebody with these Stripe Customers should have, as Stripe lists things at this moment.

    When a grace period is over Stripe does not know: `over` are the subscriptions of which it is, if they are still
    past due.
    """
    subscriptions: list[Json] = []
    cents = deposits = 0
    for customer in customers:
        subscriptions += await _subscriptions(stripe, customer)
        sessions = await listed(stripe, f"/v1/checkout/sessions?customer={customer}")
        paid = [one for one in sessions if one["mode"] == "payment" and one["payment_status"] == "paid"]
        charges = await listed(stripe, f"/v1/charges?customer={customer}")
        deposits += len(paid)
        cents += sum(one["amount_total"] for one in paid)
        cents -= await _gone_cents(stripe, charges, {one["payment_intent"] for one in paid})
    return _holding(subscriptions, over, net_micros=cents * MICROS_PER_CENT, deposits=deposits)


async def _gone_cents(stripe: StripeDoor, charges: Sequence[Json], intents: set[str]) -> int:
    """What was refunded, and what the bank holds or kept."""
    gone = 0
    for charge in charges:
        if charge["payment_intent"] not in intents:
            continue
        gone += charge["amount_refunded"]
        if charge["disputed"]:
            disputes = await listed(stripe, f"/v1/disputes?charge={charge['id']}")
            gone -= sum(move["amount"] for dispute in disputes for move in dispute["balance_transactions"])
    return gone


def _holding(subscriptions: Sequence[Json], over: Collection[str], *, net_micros: int, deposits: int) -> Holding:
    giving = [one for one in subscriptions if one["status"] in GIVING]
    late = [one for one in giving if one["status"] == "past_due" and one["id"] in over]
    in_time = [one for one in giving if one not in late]
    if in_time:
        return _given_by(max(in_time, key=_rank), net_micros=net_micros, deposits=deposits)
    if late:
        held = _given_by(max(late, key=_rank), net_micros=net_micros, deposits=deposits)
        return replace(held, **NOTHING_ANY_MORE)
    waiting = [one for one in subscriptions if one["status"] in WAITING]
    latest = max(waiting, key=lambda one: (one["created"], one["id"]), default=None)
    ended = any(one["status"] == "canceled" for one in subscriptions)
    return Holding(
        tier="FREE",
        status=latest["status"].upper() if latest else "CANCELED" if ended else "ACTIVE",
        interval=None,
        price_cents=0,
        subscription=latest["id"] if latest else None,
        period_end=None,
        cancels_at=None,
        net_micros=net_micros,
        deposits=deposits,
    )


def _given_by(best: Json, *, net_micros: int, deposits: int) -> Holding:
    item: Json = best["items"]["data"][0]
    tier, interval = item["price"]["lookup_key"].split("_")
    ends: int = item["current_period_end"]
    return Holding(
        tier=tier.upper(),
        status=best["status"].upper(),
        interval=interval.upper(),
        price_cents=item["price"]["unit_amount"],
        subscription=best["id"],
        period_end=ends,
        cancels_at=best["cancel_at"] or (ends if best["cancel_at_period_end"] else None),
        net_micros=net_micros,
        deposits=deposits,
    )


def _rank(subscription: Json) -> tuple[int, int, int, str]:
    item: Json = subscription["items"]["data"][0]
    tier = item["price"]["lookup_key"].split("_")[0]
    standing = GIVING.index(subscription["status"])
    return TIERS.index(tier), standing, item["current_period_end"], subscription["id"]


async def holding_in_books(database: Database, subject: str, *, now: datetime) -> Holding:
    """What our rows say the same customer has at a moment."""
    customer_id = customer_id_of(subject)
    plan = await database.fetch_one("SELECT * FROM plan WHERE customer_id = $1", (customer_id,))
    row: Json = dict(plan) if plan else {"tier": "FREE", "status": "ACTIVE", "price_cents": 0}
    net = await balance(database, wallet(customer_id)) + await balance(database, receivable(customer_id))
    net += await _borne_by_platform(database, customer_id)
    entries = await database.fetch_one(
        "SELECT count(*) AS number FROM ledger_entry AS e JOIN checkout AS c ON e.idem = 'dep:' || c.session_id "
        "WHERE c.customer_id = $1",
        (customer_id,),
    )
    assert entries is not None
    held = Holding(
        tier=row["tier"],
        status=row["status"],
        interval=row.get("interval"),
        price_cents=row["price_cents"],
        subscription=row.get("subscription_id"),
        period_end=_seconds(row.get("current_period_end")),
        cancels_at=_seconds(row.get("cancels_at")),
        net_micros=net,
        deposits=int(str(entries["number"])),
    )
    grace_ends = _seconds(row.get("grace_ends_at"))
    return held if grace_ends is None or now.timestamp() < grace_ends else replace(held, **NOTHING_ANY_MORE)


async def _borne_by_platform(database: Database, customer_id: UUID) -> int:
    """What of the customer's debt was written off when disputes were lost; negative, as the money is gone."""
    row = await database.fetch_one(
        "SELECT coalesce(sum(b.amount_micros), 0) AS micros FROM posting AS b WHERE b.account_id = $1 AND EXISTS ("
        "SELECT 1 FROM posting AS p WHERE p.entry_id = b.entry_id AND p.account_id IN ($2, $3))",
        (BAD_DEBT.id, wallet(customer_id).id, receivable(customer_id).id),
    )
    assert row is not None, "a sum always has a row"
    return integer(row, "micros")


async def customers_in_books(database: Database, subject: str) -> list[str]:
    """Every Stripe Customer this subject has or had."""
    rows = await database.fetch("SELECT id FROM stripe_customer WHERE customer_id = $1", (customer_id_of(subject),))
    return [str(row["id"]) for row in rows]


async def listed(stripe: StripeDoor, path: str) -> list[Json]:
    """A whole list, page after page."""
    found: list[Json] = []
    while True:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        page = await stripe.api("GET", f"{path}&limit={PAGE_ENTRIES}{after}")
        found += page["data"]
        if not page["has_more"]:
            return found


def _seconds(value: object) -> int | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return int(moment.timestamp())
