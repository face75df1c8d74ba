"""What mends itself: workers that die over events, checkouts looked at again, plans synced again, events listed."""

from models.migrations import Migration

# Where the listing of Stripe's events has got to. `seen_at` is Stripe's time of the newest event of the last complete
# pass; the others say how far the pass under way has come, newest first: below `newest_at`, in the types of part
# `part`, after `after_id`. `due_at` and `token` are the claim of the one node that lists.
_CURSOR_COLUMNS = """
    scope {text} NOT NULL PRIMARY KEY,
    due_at {time} NOT NULL,
    token {bigint} NOT NULL DEFAULT 0,
    seen_at {time} NOT NULL,
    newest_at {time},
    part {int} NOT NULL DEFAULT 0 CHECK (part >= 0),
    after_id {text},
    listed_at {time}
"""

# The one Stripe account whose objects the other tables name.
_ACCOUNT_COLUMNS = """
    id {int} NOT NULL PRIMARY KEY CHECK (id = 1),
    account_id {text} NOT NULL,
    livemode {boolean} NOT NULL,
    since_at {time} NOT NULL
"""

_INDEXES = (
    "CREATE INDEX stripe_event_held ON stripe_event (lease_until) WHERE state = 'doing'",
    "CREATE INDEX checkout_to_look_at ON checkout (look_at) WHERE state IN ('creating', 'open', 'pending')",
    "CREATE INDEX plan_to_sync ON plan (sync_due_at) WHERE sync_due_at IS NOT NULL",
)

_POSTGRES_TYPES = {
    "text": "text",
    "bigint": "bigint",
    "int": "integer",
    "time": "timestamptz",
    "boolean": "boolean",
    "epoch": "'1970-01-01T00:00:00Z'",
}
_SQLITE_TYPES = {
    "text": "TEXT",
    "bigint": "INTEGER",
    "int": "INTEGER",
    "time": "TEXT",
    "boolean": "INTEGER",
    "epoch": "'1970-01-01 00:00:00.000000+00:00'",
}


def _statements(types: dict[str, str], *, suffix: str) -> tuple[str, ...]:
    def table(name: str, columns: str) -> str:
        return f"CREATE TABLE {name} ({columns.format(**types)}){suffix}"

    def column(name: str, rest: str) -> str:
        return f"ALTER TABLE {name} ADD COLUMN {rest.format(**types)}"

    return (
        table("event_cursor", _CURSOR_COLUMNS),
        table("stripe_account", _ACCOUNT_COLUMNS),
        # How many workers went silent while they held the event.
        column("stripe_event", "lost {int} NOT NULL DEFAULT 0"),
        # When an unsettled purchase is looked at again, and how often it was; one nobody planned for is due at once.
        column("checkout", "look_at {time} NOT NULL DEFAULT {epoch}"),
        column("checkout", "looks {int} NOT NULL DEFAULT 0"),
        # When Stripe is asked about the plan again though no event tells us to; none for who has no subscription.
        column("plan", "sync_due_at {time}"),
        "UPDATE checkout SET look_at = created_at WHERE state IN ('creating', 'open', 'pending')",
        "UPDATE plan SET sync_due_at = synced_at WHERE subscription_id IS NOT NULL OR tier <> 'FREE'",
        *_INDEXES,
    )


MIGRATION = Migration(
    name="0006_self_healing",
    postgres=_statements(_POSTGRES_TYPES, suffix=""),
    sqlite=_statements(_SQLITE_TYPES, suffix=" STRICT"),
)
