"""The inbox of Stripe's events: kept, applied, found when they were lost, looked at by people (docs/webhooks.md)."""
