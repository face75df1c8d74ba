"""How long a payout waits for what, and after how long a guess about it counts as knowledge."""

from datetime import timedelta
from typing import Final

#: How long an account that was looked at is believed to be ready.
ACCOUNT_FRESH: Final = timedelta(minutes=1)
#: How often an account that is not ready is looked at, and after how long the money is given back.
ACCOUNT_WAIT: Final = timedelta(minutes=15)
ACCOUNT_PATIENCE: Final = timedelta(days=7)
#: Pauses while Stripe gives no clear answer, and while the platform's balance there does not suffice.
UNKNOWN_WAIT_FIRST: Final = timedelta(seconds=15)
UNKNOWN_WAIT_LONGEST: Final = timedelta(hours=1)
BALANCE_WAIT_FIRST: Final = timedelta(minutes=5)
BALANCE_WAIT_LONGEST: Final = timedelta(hours=1)
OPERATOR_WAIT: Final = timedelta(minutes=15)
#: Stripe remembers keys for a day; ours is not used again when it is older than this.
KEY_TRUSTED: Final = timedelta(hours=20)
#: Between two looks for a transfer that find none, before it counts as not made: a listing may lag.
MISSING_WAIT: Final = timedelta(hours=1)
#: How often one that stands in line for the balance looks whether it is its turn, and how long a place there counts.
LINE_WAIT: Final = timedelta(minutes=5)
FIRST_FOR: Final = timedelta(days=1)
