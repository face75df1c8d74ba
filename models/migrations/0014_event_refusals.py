"""What failed for certain is counted apart from what was merely not answered, of events, purchases and plans.

`refusals` of an event are its certain failures; `attempts` counts every try. `silences` of a purchase or a plan are
the looks in a row that Stripe did not answer.
"""

from models.migrations import Migration

_STATEMENTS = (
    "ALTER TABLE stripe_event ADD COLUMN refusals integer NOT NULL DEFAULT 0",
    "ALTER TABLE checkout ADD COLUMN silences integer NOT NULL DEFAULT 0",
    "ALTER TABLE plan ADD COLUMN silences integer NOT NULL DEFAULT 0",
)

MIGRATION = Migration(name="0014_event_refusals", postgres=_STATEMENTS, sqlite=_STATEMENTS)
