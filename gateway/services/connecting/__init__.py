"""Connecting a creator's bank account: one account at Stripe a creator, and how it stands there.

`start_onboarding` makes the account on first need and a fresh link on every call; `sync_account` asks Stripe how it
stands and is what every event, click and periodic look ends in; `account_of` reads what was last written.
"""

from gateway.services.connecting.accounts import (
    ConnectedAccountView,
    account_by_id,
    account_by_stripe_id,
    account_of,
    close_account,
)
from gateway.services.connecting.onboarding import start_onboarding
from gateway.services.connecting.syncing import sync_account, sync_due_accounts

__all__ = [
    "ConnectedAccountView",
    "account_by_id",
    "account_by_stripe_id",
    "account_of",
    "close_account",
    "start_onboarding",
    "sync_account",
    "sync_due_accounts",
]
