"""Indexes of what is at Stripe or waits for money there, and since when a payout waits for what."""

from models.migrations import Migration

# What came back whole is at no bank any more. Worded as the statements word it.
_AT_STRIPE = (
    "returned_cents < amount_cents AND (state = 'in_transit' OR (state = 'failed' AND transfer_id IS NOT NULL))"
)

_INDEXES = (
    "DROP INDEX payout_in_transit",
    "DROP INDEX payout_at_bank",
    f"CREATE INDEX payout_at_stripe ON payout (creator_id) WHERE {_AT_STRIPE}",
    f"CREATE INDEX payout_at_bank ON payout (connected_account_id, transferred_at) WHERE {_AT_STRIPE}",
    # The line for the platform's balance: who has waited longest is first.
    "CREATE INDEX payout_awaits_funds ON payout (funds_awaited_since, id) WHERE waits_for = 'balance'",
)


def _statements(*, time: str, integer: str) -> tuple[str, ...]:
    columns = (
        f"account_awaited_since {time}",
        f"funds_awaited_since {time}",
        f"silences {integer} NOT NULL DEFAULT 0",
    )
    return (*(f"ALTER TABLE payout ADD COLUMN {column}" for column in columns), *_INDEXES)


MIGRATION = Migration(
    name="0011_payout_indexes",
    postgres=_statements(time="timestamptz", integer="integer"),
    sqlite=_statements(time="TEXT", integer="INTEGER"),
)
