"""Use cases: each takes what it works on, does one thing in one transaction, and calls Stripe outside of it."""
