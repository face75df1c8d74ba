"""How much one HTTP request may load and ask, however its operations are cut into runs."""

from typing import Final

from graphql import GraphQLError

from gateway.services.snapshot import PAGES_MAX, PAYOUT_IDS_MAX, Need

#: How often the queries of one request together may ask Stripe: it is slow, and bounds how often it may be asked.
PROVIDER_LOOKS_MAX: Final = 1


class TooMuchToLoad(GraphQLError):
    """More rows or lists of them than one request should fetch."""

    def __init__(self, count: int, *, most: int, what: str) -> None:
        super().__init__(
            f"A request loads at most {most} {what}, and those after a mutation count anew; got {count}.",
            extensions={"code": "QUERY_TOO_COMPLEX"},
        )


class TooManyLooks(GraphQLError):
    """A request reads, and may ask the payment provider only so often for that."""

    def __init__(self) -> None:
        super().__init__(
            f"A request asks for at most {PROVIDER_LOOKS_MAX} billingTimeline.",
            extensions={"code": "QUERY_TOO_COMPLEX"},
        )


class Budget:
    """One a request, handed to the context of each of its runs. What is refused costs nothing."""

    def __init__(self) -> None:
        self._entries = self._earning_entries = self._payouts = self._payout_ids = 0
        self._provider_looks = 0

    def load(self, need: Need) -> None:
        """Go on with loading this.

        Raises:
            TooMuchToLoad: with what was loaded before, one list has more pages than a request may ask for.
        """
        entries = _checked_pages(self._entries + len(need.entries))
        earning_entries = _checked_pages(self._earning_entries + len(need.earning_entries))
        payouts = _checked_pages(self._payouts + len(need.payouts))
        payout_ids = _checked(self._payout_ids + len(need.payout_ids), most=PAYOUT_IDS_MAX, what="payouts by their ids")
        self._entries, self._earning_entries = entries, earning_entries
        self._payouts, self._payout_ids = payouts, payout_ids

    def look(self) -> None:
        """Go on with asking the payment provider.

        Raises:
            TooManyLooks: it was asked already.
        """
        if self._provider_looks >= PROVIDER_LOOKS_MAX:
            raise TooManyLooks
        self._provider_looks += 1


def _checked_pages(count: int) -> int:
    return _checked(count, most=PAGES_MAX, what="different pages of one list")


def _checked(count: int, *, most: int, what: str) -> int:
    if count > most:
        raise TooMuchToLoad(count, most=most, what=what)
    return count
