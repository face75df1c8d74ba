"""What a sweep does about rows that Stripe does not answer about: each waits by itself, and no other waits with it."""

from datetime import timedelta
from typing import Final

from gateway.domain.errors import ProviderMisconfigured, ProviderUnavailable

#: No clear answer, or none but that our key is not taken: neither says anything about the row.
SILENCE: Final = (ProviderUnavailable, ProviderMisconfigured)
#: So many rows without an answer end a round: it may be Stripe that is away, and each may have taken a minute.
SILENCES_A_ROUND_MAX: Final = 3
FIRST_PAUSE: Final = timedelta(minutes=1)
#: Longest pause, so that whoever waited is looked at soon after Stripe is back.
LONGEST_PAUSE: Final = timedelta(minutes=15)
#: More doublings than lead to the longest pause.
_DOUBLINGS_MAX: Final = 5


def pause_after_silence(silences: int) -> timedelta:
    """After the first look without an answer a minute, after the next in a row two, then four, up to a quarter hour."""
    assert silences > 0, "one has just been met"
    return min(FIRST_PAUSE * 2 ** min(silences - 1, _DOUBLINGS_MAX), LONGEST_PAUSE)
