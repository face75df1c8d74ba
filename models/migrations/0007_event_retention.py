"""What an operator said about an event, and when its payload was dropped; the row itself stays, so that it is known.

The indexes are partial: a finished event leaves the one for dropping when its payload is gone, so each round reads
only what it drops.
"""

from models.migrations import Migration

_POSTGRES_TYPES = {"text": "text", "time": "timestamptz"}
_SQLITE_TYPES = {"text": "TEXT", "time": "TEXT"}


def _statements(types: dict[str, str]) -> tuple[str, ...]:
    def column(name: str, kind: str) -> str:
        return f"ALTER TABLE stripe_event ADD COLUMN {name} {types[kind]}"

    return (
        column("note", "text"),
        column("payload_dropped_at", "time"),
        """CREATE INDEX stripe_event_payload ON stripe_event (done_at)
           WHERE state IN ('done', 'ignored') AND payload_dropped_at IS NULL""",
        "CREATE INDEX stripe_event_dead ON stripe_event (received_at) WHERE state = 'dead'",
        "CREATE INDEX stripe_event_by_arrival ON stripe_event (received_at, id)",
        "CREATE INDEX deposit_dispute_by_checkout ON deposit_dispute (checkout_id)",
    )


MIGRATION = Migration(
    name="0007_event_retention",
    postgres=_statements(_POSTGRES_TYPES),
    sqlite=_statements(_SQLITE_TYPES),
)
