"""When the money of each deposit may be moved, as Stripe says or as is assumed until it does."""

from models.migrations import Migration

# `clearing_look_at` is set while Stripe has not said, and is when it is asked again; `clears_at` is assumed then.
_COLUMNS = (
    ("clears_at", "{time}"),
    ("clearing_look_at", "{time}"),
    ("clearing_looks", "{int} NOT NULL DEFAULT 0"),
)
_POSTGRES_TYPES = {"time": "timestamptz", "int": "integer"}
_SQLITE_TYPES = {"time": "TEXT", "int": "INTEGER"}

# The customer's row held the latest of its deposits, so that is true of all or too late. Of those paid lately it may
# be missing a deposit of which nothing was known, so each is asked about once.
_KNOWN = (
    "UPDATE checkout SET clears_at = (SELECT funds_clear_at FROM customer WHERE customer.id = checkout.customer_id) "
    "WHERE mode = 'deposit' AND state = 'settled'"
)
_TO_ASK = (
    "UPDATE checkout SET clearing_look_at = settled_at WHERE mode = 'deposit' AND state = 'settled' AND settled_at > "
)
_INDEX = "CREATE INDEX checkout_uncleared ON checkout (clearing_look_at) WHERE clearing_look_at IS NOT NULL"


def _statements(types: dict[str, str], *, month_ago: str) -> tuple[str, ...]:
    columns = tuple(f"ALTER TABLE checkout ADD COLUMN {name} {rest.format(**types)}" for name, rest in _COLUMNS)
    return (*columns, _KNOWN, _TO_ASK + month_ago, _INDEX)


MIGRATION = Migration(
    name="0016_clearing",
    postgres=_statements(_POSTGRES_TYPES, month_ago="now() - interval '30 days'"),
    sqlite=_statements(_SQLITE_TYPES, month_ago="strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 days')"),
)
