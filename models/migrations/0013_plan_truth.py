"""Since when each subscription is past due: of several, each has a grace period of its own."""

from models.migrations import Migration

# The plan knew it of the subscription it comes from; of the others it begins when they are next seen.
_FROM_PLAN = (
    "UPDATE subscription SET past_due_since = (SELECT past_due_since FROM plan WHERE plan.subscription_id = "
    "subscription.id AND plan.customer_id = subscription.customer_id) WHERE status = 'past_due'"
)

MIGRATION = Migration(
    name="0013_plan_truth",
    postgres=("ALTER TABLE subscription ADD COLUMN past_due_since timestamptz", _FROM_PLAN),
    sqlite=("ALTER TABLE subscription ADD COLUMN past_due_since TEXT", _FROM_PLAN),
)
