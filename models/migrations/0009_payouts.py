"""Connected accounts, and how creators are paid: settings, runs, payouts, their attempts and what came after."""

from models.migrations import Migration

# The row is there before Stripe's account is, with the key it is asked for under; `ticket` orders what Stripe says.
_CONNECTED_ACCOUNT_COLUMNS = """
    id {uuid} NOT NULL PRIMARY KEY,
    creator_id {uuid} NOT NULL REFERENCES customer (id) ON DELETE RESTRICT,
    api {text} NOT NULL CHECK (api IN ('v1', 'v2')),
    country {text} NOT NULL CHECK (length(country) = 2),
    stripe_key {text} NOT NULL UNIQUE,
    asked_at {time} NOT NULL,
    stripe_account_id {text} UNIQUE,
    status {text} NOT NULL CHECK (
        status IN ('creating', 'onboarding', 'under_review', 'ready', 'restricted', 'closed')),
    transfers_active {boolean} NOT NULL DEFAULT {false},
    bank_payouts_active {boolean} NOT NULL DEFAULT {false},
    requirements {text} NOT NULL DEFAULT '[]',
    disabled_reason {text},
    ticket {bigint} NOT NULL DEFAULT 0,
    applied_ticket {bigint} NOT NULL DEFAULT 0,
    sync_due_at {time},
    synced_at {time},
    bank_looked_at {time},
    created_at {time} NOT NULL,
    closed_at {time},
    CHECK (applied_ticket <= ticket),
    CHECK ((status = 'closed') = (closed_at IS NOT NULL)),
    CHECK (status IN ('creating', 'closed') OR stripe_account_id IS NOT NULL)
"""

_SETTINGS_COLUMNS = """
    creator_id {uuid} NOT NULL PRIMARY KEY REFERENCES customer (id) ON DELETE RESTRICT,
    frequency {text} NOT NULL CHECK (frequency IN ('MANUAL', 'WEEKLY', 'MONTHLY')),
    next_run_at {time},
    updated_at {time} NOT NULL,
    CHECK ((frequency = 'MANUAL') = (next_run_at IS NULL))
"""

# What a scheduled run came to: a payout, or the code of the first reason why there was none.
_RUN_COLUMNS = """
    creator_id {uuid} NOT NULL REFERENCES customer (id) ON DELETE RESTRICT,
    period {text} NOT NULL,
    payout_id {uuid},
    blocker {text},
    created_at {time} NOT NULL,
    PRIMARY KEY (creator_id, period),
    CHECK ((payout_id IS NULL) <> (blocker IS NULL))
"""

# Amount, currency and destination are frozen: a key sent again with other parameters is an error at Stripe.
# `due_at` is when the next step of a payout under way is expected.
_PAYOUT_COLUMNS = """
    id {uuid} NOT NULL PRIMARY KEY,
    creator_id {uuid} NOT NULL REFERENCES customer (id) ON DELETE RESTRICT,
    connected_account_id {uuid} NOT NULL REFERENCES connected_account (id) ON DELETE RESTRICT,
    destination {text} NOT NULL,
    amount_cents {bigint} NOT NULL CHECK (amount_cents > 0),
    currency {text} NOT NULL CHECK (currency = 'usd'),
    state {text} NOT NULL CHECK (
        state IN ('requested', 'processing', 'unknown', 'in_transit', 'paid', 'failed', 'canceled')),
    manual {boolean} NOT NULL,
    period {text},
    client_key {text},
    input_digest {text} NOT NULL,
    attempts {int} NOT NULL DEFAULT 0,
    waits_for {text},
    due_at {time},
    transfer_id {text} UNIQUE,
    destination_payment_id {text} UNIQUE,
    returned_cents {bigint} NOT NULL DEFAULT 0 CHECK (returned_cents BETWEEN 0 AND amount_cents),
    bank_payout_id {text},
    arrival_at {time},
    failure_code {text},
    failure_message {text},
    requested_at {time} NOT NULL,
    transferred_at {time},
    ended_at {time},
    CHECK (manual = (period IS NULL)),
    CHECK ((transfer_id IS NULL) = (transferred_at IS NULL)),
    CHECK (state NOT IN ('in_transit', 'paid') OR transfer_id IS NOT NULL),
    CHECK (state NOT IN ('requested', 'processing', 'unknown', 'canceled') OR transfer_id IS NULL),
    CHECK (returned_cents = 0 OR transfer_id IS NOT NULL),
    CHECK ((state IN ('requested', 'processing', 'unknown')) = (due_at IS NOT NULL)),
    UNIQUE (creator_id, period),
    UNIQUE (creator_id, client_key)
"""

# An attempt is committed with its key before Stripe is asked. The next one is opened only after a definite refusal,
# or when this one's key has lapsed at Stripe and two looks there, `missing_since` and later, found no transfer.
_ATTEMPT_COLUMNS = """
    payout_id {uuid} NOT NULL REFERENCES payout (id) ON DELETE RESTRICT,
    number {int} NOT NULL CHECK (number > 0),
    stripe_key {text} NOT NULL UNIQUE,
    state {text} NOT NULL CHECK (state IN ('sending', 'unknown', 'made', 'refused', 'lapsed')),
    first_sent_at {time} NOT NULL,
    last_sent_at {time} NOT NULL,
    sends {int} NOT NULL DEFAULT 1,
    missing_since {time},
    transfer_id {text} UNIQUE,
    refusal_code {text},
    refusal_message {text},
    ended_at {time},
    PRIMARY KEY (payout_id, number),
    CHECK ((state = 'made') = (transfer_id IS NOT NULL)),
    CHECK ((state IN ('made', 'refused', 'lapsed')) = (ended_at IS NOT NULL))
"""

_REVERSAL_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY,
    payout_id {uuid} NOT NULL REFERENCES payout (id) ON DELETE RESTRICT,
    amount_cents {bigint} NOT NULL CHECK (amount_cents > 0),
    created_at {time} NOT NULL
"""

# Stripe's own payouts from a connected account to its bank; `amount_minor` is in `currency`, the bank's.
_BANK_PAYOUT_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY,
    connected_account_id {uuid} NOT NULL REFERENCES connected_account (id) ON DELETE RESTRICT,
    status {text} NOT NULL,
    amount_minor {bigint} NOT NULL,
    currency {text} NOT NULL,
    arrival_at {time},
    failure_code {text},
    failure_message {text},
    applied_ticket {bigint} NOT NULL,
    synced_at {time} NOT NULL,
    created_at {time} NOT NULL
"""

_INDEXES = (
    "CREATE UNIQUE INDEX connected_account_of_creator ON connected_account (creator_id) WHERE closed_at IS NULL",
    "CREATE INDEX connected_account_due ON connected_account (sync_due_at) WHERE sync_due_at IS NOT NULL",
    "CREATE INDEX payout_settings_due ON payout_settings (next_run_at, creator_id) WHERE next_run_at IS NOT NULL",
    # One payout of a creator under way at a time.
    """CREATE UNIQUE INDEX payout_under_way ON payout (creator_id)
       WHERE state IN ('requested', 'processing', 'unknown')""",
    "CREATE INDEX payout_by_creator ON payout (creator_id, id)",
    # What was sent and is not at the creator's bank yet, or came back from it; worded as the statements word it.
    """CREATE INDEX payout_in_transit ON payout (creator_id)
       WHERE state = 'in_transit' OR (state = 'failed' AND transfer_id IS NOT NULL)""",
    "CREATE INDEX payout_unfinished ON payout (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX payout_by_bank_payout ON payout (bank_payout_id) WHERE bank_payout_id IS NOT NULL",
    """CREATE INDEX payout_at_bank ON payout (connected_account_id, transferred_at)
       WHERE state = 'in_transit' OR (state = 'failed' AND transfer_id IS NOT NULL)""",
    "CREATE INDEX transfer_reversal_by_payout ON transfer_reversal (payout_id)",
    # What of a creator's earnings waits for the end of a dispute.
    "CREATE INDEX tool_charge_held ON tool_charge (creator_id) WHERE state = 'held'",
    "CREATE INDEX bank_payout_by_account ON bank_payout (connected_account_id, created_at)",
)

_POSTGRES_TYPES = {
    "text": "text",
    "bigint": "bigint",
    "int": "integer",
    "time": "timestamptz",
    "uuid": "uuid",
    "boolean": "boolean",
    "false": "false",
}
_SQLITE_TYPES = {
    "text": "TEXT",
    "bigint": "INTEGER",
    "int": "INTEGER",
    "time": "TEXT",
    "uuid": "TEXT",
    "boolean": "INTEGER",
    "false": "0",
}

_TABLES = {
    "connected_account": _CONNECTED_ACCOUNT_COLUMNS,
    "payout_settings": _SETTINGS_COLUMNS,
    "payout_run": _RUN_COLUMNS,
    "payout": _PAYOUT_COLUMNS,
    "payout_attempt": _ATTEMPT_COLUMNS,
    "transfer_reversal": _REVERSAL_COLUMNS,
    "bank_payout": _BANK_PAYOUT_COLUMNS,
}


def _statements(types: dict[str, str], *, suffix: str) -> tuple[str, ...]:
    tables = tuple(f"CREATE TABLE {name} ({columns.format(**types)}){suffix}" for name, columns in _TABLES.items())
    return (*tables, *_INDEXES)


MIGRATION = Migration(
    name="0009_payouts",
    postgres=_statements(_POSTGRES_TYPES, suffix=""),
    sqlite=_statements(_SQLITE_TYPES, suffix=" STRICT"),
)
