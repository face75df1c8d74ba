"""One row and one Stripe Customer a person, however many first clicks arrive at once."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import structlog

from gateway.db import Connection, Database
from gateway.domain.errors import ProviderUnavailable
from gateway.services.billing import Billing
from models.customer import Customer

log = structlog.stdlib.get_logger()

#: A customer's id is a function of its subject, so that every node makes the same one without asking.
_SUBJECTS: Final = UUID("6d0d4a1c-5b0e-4c5e-9b52-6a7a2f2b8f11")
#: How long one key is used again. Stripe forgets keys after a day, and repeats a stored 500 until then; after this
#: time a Customer that a lost answer may have left behind is looked up, and else made under the next key.
_KEY_TRUSTED_MINUTES: Final = 10
#: How far clocks may be apart when the lost Customer is looked for.
_SKEW_MINUTES: Final = 130


def customer_id_of(subject: str) -> UUID:
    """The id of the customer with this JWT subject."""
    return uuid5(_SUBJECTS, subject)


async def add_customer(connection: Connection, subject: str, now: datetime) -> UUID:
    """Make sure the customer's row is there; any number of callers may do so at once."""
    customer_id = customer_id_of(subject)
    # No conflict target: with one named, PostgreSQL may still refuse the other caller's row for its equal subject.
    await connection.execute(
        "INSERT INTO customer (id, subject, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        (customer_id, subject, now),
    )
    return customer_id


async def lock_customer(connection: Connection, customer_id: UUID) -> None:
    """Hold the customer's row: whoever decides about its plan or its purchases does so one at a time."""
    await connection.fetch_one("SELECT id FROM customer WHERE id = $1 FOR NO KEY UPDATE", (customer_id,))


async def find_stripe_customer(database: Database, subject: str) -> str | None:
    """The Stripe Customer of a person who has bought before, else None."""
    row = await database.fetch_one("SELECT stripe_customer_id FROM customer WHERE id = $1", (customer_id_of(subject),))
    return None if row is None else _text_or_none(row["stripe_customer_id"])


async def find_customer_by_stripe_id(database: Database, stripe_customer_id: str) -> UUID | None:
    """Whose Stripe Customer this is, or once was; None when it is not one of ours."""
    row = await database.fetch_one(
        "SELECT c.subject FROM stripe_customer AS s JOIN customer AS c ON c.id = s.customer_id WHERE s.id = $1",
        (stripe_customer_id,),
    )
    return None if row is None else customer_id_of(str(row["subject"]))


async def stripe_customers_of(database: Database, customer_id: UUID) -> list[str]:
    """Every Stripe Customer this customer has or had: subscriptions of a replaced one count until they end."""
    rows = await database.fetch(
        "SELECT id FROM stripe_customer WHERE customer_id = $1 ORDER BY created_at, id", (customer_id,)
    )
    return [str(row["id"]) for row in rows]


async def ensure_stripe_customer(billing: Billing, subject: str) -> str:
    """The person's one Stripe Customer, made on first need.

    Every caller of a generation uses the same stored key, so Stripe makes one Customer; the first to write it down
    wins and the others read it. A request older than Stripe remembers keys is looked up before it is made again.

    Raises:
        ProviderUnavailable: Stripe did not answer; the next call goes on where this one stopped.
        ProviderRejected: Stripe refused.
    """
    asked = await _ask(billing, subject)
    if asked.stripe_customer_id is not None:
        return asked.stripe_customer_id
    assert asked.stripe_requested_at is not None, "stored before the call"
    try:
        made = await _make_or_find(billing, asked)
    except ProviderUnavailable:
        settled = await find_stripe_customer(billing.database, subject)
        if settled is None:
            raise
        return settled
    return await _remember(billing, asked, made)


async def forget_stripe_customer(connection: Connection, customer_id: UUID, stripe_customer_id: str) -> None:
    """The Stripe Customer is gone: the next purchase makes a new one, under a new key."""
    await connection.execute(
        "UPDATE customer SET stripe_customer_id = NULL, stripe_requested_at = NULL, "
        "stripe_generation = stripe_generation + 1 WHERE id = $1 AND stripe_customer_id = $2",
        (customer_id, stripe_customer_id),
    )


async def _ask(billing: Billing, subject: str) -> Customer:
    """Store that a Stripe Customer is wanted, before Stripe hears of it."""
    now = billing.clock.now()

    async def work(connection: Connection) -> Customer:
        customer_id = await add_customer(connection, subject, now)
        await connection.execute(
            "UPDATE customer SET stripe_requested_at = $2 WHERE id = $1 AND stripe_requested_at IS NULL",
            (customer_id, now),
        )
        return await Customer.get(id=customer_id, using_db=connection.orm)

    return await billing.database.run(work)


async def _make_or_find(billing: Billing, asked: Customer) -> str:
    requested_at = asked.stripe_requested_at
    assert requested_at is not None, "stored before the call"
    if billing.clock.now() - requested_at > timedelta(minutes=_KEY_TRUSTED_MINUTES):
        found = await billing.stripe.find_customer(
            created_after=requested_at - timedelta(minutes=_SKEW_MINUTES),
            created_before=requested_at + timedelta(minutes=_SKEW_MINUTES + _KEY_TRUSTED_MINUTES),
            customer_id=asked.subject,
        )
        if found is not None:
            return found.stripe_customer_id
        asked = await _ask_anew(billing, asked)
    made = await billing.stripe.create_customer(
        customer_id=asked.subject, idempotency_key=f"customer:{asked.id}:{asked.stripe_generation}"
    )
    return made.stripe_customer_id


async def _ask_anew(billing: Billing, asked: Customer) -> Customer:
    """Nothing came of the earlier request, so the next key may be used; one of many callers moves it on."""

    async def work(connection: Connection) -> Customer:
        await connection.execute(
            "UPDATE customer SET stripe_generation = stripe_generation + 1, stripe_requested_at = $3 "
            "WHERE id = $1 AND stripe_generation = $2 AND stripe_customer_id IS NULL",
            (asked.id, asked.stripe_generation, billing.clock.now()),
        )
        return await Customer.get(id=asked.id, using_db=connection.orm)

    return await billing.database.run(work)


async def _remember(billing: Billing, asked: Customer, stripe_customer_id: str) -> str:
    """Write the Stripe Customer down; the first to do so wins, and every one is known as this customer's."""

    async def work(connection: Connection) -> str:
        await connection.execute(
            "INSERT INTO stripe_customer (id, customer_id, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
            (stripe_customer_id, asked.id, billing.clock.now()),
        )
        await connection.execute(
            "UPDATE customer SET stripe_customer_id = $2 WHERE id = $1 AND stripe_customer_id IS NULL",
            (asked.id, stripe_customer_id),
        )
        row = await Customer.get(id=asked.id, using_db=connection.orm)
        assert row.stripe_customer_id is not None, "set just now, or before"
        return row.stripe_customer_id

    settled = await billing.database.run(work)
    if settled != stripe_customer_id:
        log.warning("customer.duplicate", customer_id=str(asked.id), kept=settled, unused=stripe_customer_id)
    return settled


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
