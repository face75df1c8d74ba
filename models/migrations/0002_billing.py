"""Customers, plans, checkouts and the inbox of Stripe events."""

from models.migrations import Migration

_CHECKOUT_COLUMNS = """
    mode {text} NOT NULL CHECK (mode IN ('subscription', 'deposit')),
    state {text} NOT NULL CHECK (
        state IN ('creating', 'open', 'pending', 'settled', 'failed', 'expired', 'refused')),
    tier {text},
    interval {text},
    price_id {text},
    amount_cents {bigint} NOT NULL CHECK (amount_cents > 0),
    currency {text} NOT NULL CHECK (currency = 'usd'),
    success_url {text} NOT NULL,
    cancel_url {text} NOT NULL,
    stripe_customer_id {text} NOT NULL,
    client_key {text},
    input_digest {text} NOT NULL,
    stripe_key {text} NOT NULL UNIQUE,
    asked_at {time} NOT NULL,
    session_id {text} UNIQUE,
    session_url {text},
    subscription_id {text},
    payment_intent_id {text},
    refusal {text},
    expires_at {time},
    settled_at {time},
    created_at {time} NOT NULL,
    CHECK ((mode = 'subscription') = (tier IS NOT NULL AND interval IS NOT NULL AND price_id IS NOT NULL)),
    CHECK ((state = 'settled') = (settled_at IS NOT NULL)),
    CHECK (state NOT IN ('open', 'pending', 'settled') OR session_id IS NOT NULL),
    UNIQUE (customer_id, mode, client_key)
"""

_PLAN_COLUMNS = """
    tier {text} NOT NULL CHECK (tier IN ('FREE', 'STARTER', 'PRO', 'BUSINESS')),
    interval {text} CHECK (interval IN ('MONTHLY', 'YEARLY')),
    status {text} NOT NULL CHECK (
        status IN ('ACTIVE', 'TRIALING', 'PAST_DUE', 'INCOMPLETE', 'UNPAID', 'PAUSED', 'CANCELED')),
    price_cents {bigint} NOT NULL CHECK (price_cents >= 0),
    subscription_id {text},
    current_period_end {time},
    cancels_at {time},
    past_due_since {time},
    grace_ends_at {time},
    ticket {bigint} NOT NULL,
    applied_ticket {bigint} NOT NULL,
    synced_at {time},
    CHECK (applied_ticket <= ticket)
"""

_SUBSCRIPTION_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY,
    customer_id {uuid} NOT NULL REFERENCES customer (id) ON DELETE RESTRICT,
    status {text} NOT NULL,
    price_id {text},
    lookup_key {text},
    current_period_end {time},
    cancels_at {time},
    ended_at {time},
    created_at {time} NOT NULL,
    synced_at {time} NOT NULL
"""

_EVENT_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY,
    type {text} NOT NULL,
    object_id {text},
    account {text},
    api_version {text},
    livemode {boolean} NOT NULL,
    payload {text} NOT NULL,
    state {text} NOT NULL CHECK (state IN ('new', 'doing', 'done', 'ignored', 'dead')),
    attempts {int} NOT NULL DEFAULT 0,
    deliveries {int} NOT NULL DEFAULT 1,
    due_at {time} NOT NULL,
    lease_until {time},
    token {bigint} NOT NULL DEFAULT 0,
    error {text},
    occurred_at {time} NOT NULL,
    received_at {time} NOT NULL,
    done_at {time}
"""

_CUSTOMER_COLUMNS = """
    id {uuid} NOT NULL PRIMARY KEY,
    subject {text} NOT NULL UNIQUE,
    stripe_customer_id {text} UNIQUE,
    stripe_generation {int} NOT NULL DEFAULT 0,
    stripe_requested_at {time},
    created_at {time} NOT NULL
"""

# Every Stripe Customer a customer ever had: a replaced one still has events to come.
_STRIPE_CUSTOMER_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY,
    customer_id {uuid} NOT NULL REFERENCES customer (id) ON DELETE RESTRICT,
    created_at {time} NOT NULL
"""

_INDEXES = (
    # One subscription purchase at a time: the second tab finds the first one's page.
    """CREATE UNIQUE INDEX checkout_one_open_subscription ON checkout (customer_id)
       WHERE mode = 'subscription' AND state IN ('creating', 'open', 'pending')""",
    "CREATE INDEX checkout_unsettled ON checkout (created_at) WHERE state IN ('creating', 'open', 'pending')",
    "CREATE INDEX checkout_by_customer ON checkout (customer_id, created_at)",
    "CREATE INDEX stripe_customer_by_customer ON stripe_customer (customer_id)",
    "CREATE INDEX subscription_by_customer ON subscription (customer_id)",
    "CREATE INDEX stripe_event_due ON stripe_event (due_at) WHERE state IN ('new', 'doing')",
    "CREATE INDEX stripe_event_by_object ON stripe_event (object_id)",
)

_POSTGRES_TYPES = {
    "text": "text",
    "bigint": "bigint",
    "int": "integer",
    "time": "timestamptz",
    "uuid": "uuid",
    "boolean": "boolean",
}
_SQLITE_TYPES = {
    "text": "TEXT",
    "bigint": "INTEGER",
    "int": "INTEGER",
    "time": "TEXT",
    "uuid": "TEXT",
    "boolean": "INTEGER",
}


def _statements(types: dict[str, str], *, suffix: str) -> tuple[str, ...]:
    def table(name: str, columns: str) -> str:
        return f"CREATE TABLE {name} ({columns.format(**types)}){suffix}"

    uuid = types["uuid"]
    owner = f"customer_id {uuid} NOT NULL REFERENCES customer (id) ON DELETE RESTRICT"
    return (
        table("customer", _CUSTOMER_COLUMNS),
        table("stripe_customer", _STRIPE_CUSTOMER_COLUMNS),
        table("plan", f"{owner.replace('NOT NULL', 'NOT NULL PRIMARY KEY')}, {_PLAN_COLUMNS}"),
        table("subscription", _SUBSCRIPTION_COLUMNS),
        table("checkout", f"id {uuid} NOT NULL PRIMARY KEY, {owner}, {_CHECKOUT_COLUMNS}"),
        table("stripe_event", _EVENT_COLUMNS),
        *_INDEXES,
    )


MIGRATION = Migration(
    name="0002_billing",
    postgres=_statements(_POSTGRES_TYPES, suffix=""),
    sqlite=_statements(_SQLITE_TYPES, suffix=" STRICT"),
)
