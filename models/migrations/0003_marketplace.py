"""Tools, the calls charged for them, and what creators earned by day."""

from models.migrations import Migration

_TOOL_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 100),
    creator_id {uuid} NOT NULL REFERENCES customer (id) ON DELETE RESTRICT,
    name {text} NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    kind {text} NOT NULL CHECK (kind IN ('TOOL', 'FUNCTION', 'AGENT')),
    price_micros {bigint} NOT NULL CHECK (price_micros BETWEEN 100 AND 100000000),
    active {boolean} NOT NULL,
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL
"""

# The charge's id is its ledger entry's. `wallet_after_micros` is what the first answer said, for every later one.
_CHARGE_COLUMNS = """
    id {uuid} NOT NULL PRIMARY KEY REFERENCES ledger_entry (id) ON DELETE RESTRICT,
    consumer_id {uuid} NOT NULL,
    call_id {text} NOT NULL CHECK (length(call_id) BETWEEN 1 AND 128),
    tool_id {text} NOT NULL,
    creator_id {uuid} NOT NULL,
    gross_micros {bigint} NOT NULL CHECK (gross_micros > 0),
    fee_micros {bigint} NOT NULL CHECK (fee_micros >= 0),
    net_micros {bigint} NOT NULL CHECK (net_micros >= 0),
    fee_bps {int} NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
    wallet_after_micros {bigint} NOT NULL CHECK (wallet_after_micros >= 0),
    state {text} NOT NULL CHECK (state IN ('pending', 'available', 'held', 'own', 'reversed', 'lost')),
    available_at {time} NOT NULL,
    dispute_id {text},
    reversal_reason {text},
    reversed_by {text},
    created_at {time} NOT NULL,
    UNIQUE (consumer_id, call_id),
    CHECK (fee_micros + net_micros = gross_micros),
    CHECK ((state = 'reversed') = (reversal_reason IS NOT NULL)),
    CHECK (state <> 'held' OR dispute_id IS NOT NULL)
"""

_DAY_COLUMNS = """
    creator_id {uuid} NOT NULL,
    day {text} NOT NULL CHECK (length(day) = 10),
    gross_micros {bigint} NOT NULL,
    fee_micros {bigint} NOT NULL,
    net_micros {bigint} NOT NULL,
    calls {bigint} NOT NULL,
    PRIMARY KEY (creator_id, day)
"""

# What is not a sale: reversals, disputes, later payouts. Signed as the creator feels it.
_EVENT_COLUMNS = """
    id {uuid} NOT NULL PRIMARY KEY,
    creator_id {uuid} NOT NULL,
    kind {text} NOT NULL CHECK (kind IN ('REFUND', 'DISPUTE', 'PAYOUT', 'PAYOUT_RETURNED', 'ADJUSTMENT')),
    gross_micros {bigint} NOT NULL,
    fee_micros {bigint} NOT NULL,
    net_micros {bigint} NOT NULL,
    tool_id {text},
    entry_id {uuid} NOT NULL REFERENCES ledger_entry (id) ON DELETE RESTRICT,
    created_at {time} NOT NULL
"""

# `withdrawn_micros` is what the bank holds of the deposit now; `version` numbers what was posted about it.
_DISPUTE_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY,
    checkout_id {uuid} NOT NULL REFERENCES checkout (id) ON DELETE RESTRICT,
    state {text} NOT NULL CHECK (state IN ('open', 'won', 'lost')),
    withdrawn_micros {bigint} NOT NULL CHECK (withdrawn_micros >= 0),
    owed_micros {bigint} NOT NULL CHECK (owed_micros >= 0),
    version {int} NOT NULL DEFAULT 0,
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL
"""

_INDEXES = (
    "CREATE INDEX tool_by_creator ON tool (creator_id)",
    "CREATE INDEX tool_charge_due ON tool_charge (available_at) WHERE state = 'pending'",
    "CREATE INDEX tool_charge_pending ON tool_charge (creator_id, available_at) WHERE state = 'pending'",
    "CREATE INDEX tool_charge_by_creator ON tool_charge (creator_id, id)",
    "CREATE INDEX tool_charge_disputed ON tool_charge (dispute_id) WHERE dispute_id IS NOT NULL",
    "CREATE INDEX earning_event_by_creator ON earning_event (creator_id, id)",
    "CREATE INDEX checkout_by_payment ON checkout (payment_intent_id)",
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

    def column(name: str, rest: str) -> str:
        return f"ALTER TABLE {name} ADD COLUMN {rest.format(**types)}"

    return (
        table("tool", _TOOL_COLUMNS),
        table("tool_charge", _CHARGE_COLUMNS),
        table("earnings_day", _DAY_COLUMNS),
        table("earning_event", _EVENT_COLUMNS),
        table("deposit_dispute", _DISPUTE_COLUMNS),
        # Until when the newest deposit of a customer may not be paid out of: Stripe's own clearing.
        column("customer", "funds_clear_at {time}"),
        column("checkout", "refunded_cents {bigint} NOT NULL DEFAULT 0"),
        column("checkout", "refund_version {int} NOT NULL DEFAULT 0"),
        *_INDEXES,
    )


MIGRATION = Migration(
    name="0003_marketplace",
    postgres=_statements(_POSTGRES_TYPES, suffix=""),
    sqlite=_statements(_SQLITE_TYPES, suffix=" STRICT"),
)
