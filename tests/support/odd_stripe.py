"""The same Stripe over HTTP on an odd day: its lists lag, and it refuses a transfer before it looks at the key."""

from dataclasses import dataclass, field
from datetime import datetime

from gateway.domain.clock import Clock
from gateway.domain.errors import ProviderRejected
from gateway.stripe_service import StripeService, StripeTransfer
from gateway.stripe_service.connection import StripeConnection


@dataclass(slots=True)
class OddDay:
    """What all nodes meet. `lags`: no transfer is listed. `refusal`: what every transfer is refused with.

    With `lags_once` the lists lag at the first moment at which there is something to list. With `refuses` as many
    transfers of each payout are refused, from the second one asked for.
    """

    clock: Clock
    lags: bool = False
    lags_once: bool = False
    refusal: ProviderRejected | None = None
    refuses: int | None = None
    _seen_at: dict[str, datetime] = field(default_factory=dict[str, datetime])
    _asked: dict[str, int] = field(default_factory=dict[str, int])

    def hides(self, payout_id: str) -> bool:
        """Whether transfers that are there are not listed."""
        if self.lags_once:
            now = self.clock.now()
            return self._seen_at.setdefault(payout_id, now) == now
        return self.lags

    def refused(self, payout_id: str) -> ProviderRejected | None:
        """The refusal of one more transfer."""
        if self.refuses is None:
            return self.refusal
        asked = self._asked[payout_id] = self._asked.get(payout_id, 0) + 1
        return self.refusal if 1 < asked <= 1 + self.refuses else None


class OddStripe(StripeService):
    """One node's view of the day."""

    def __init__(self, connection: StripeConnection, day: OddDay) -> None:
        super().__init__(connection)
        self._day = day

    async def transfers_of(self, payout_id: str) -> tuple[StripeTransfer, ...]:
        found = await super().transfers_of(payout_id)
        return () if found and self._day.hides(payout_id) else found

    async def create_transfer(
        self, *, amount_cents: int, destination: str, payout_id: str, idempotency_key: str
    ) -> StripeTransfer:
        refusal = self._day.refused(payout_id)
        if refusal is not None:
            raise refusal
        return await super().create_transfer(
            amount_cents=amount_cents, destination=destination, payout_id=payout_id, idempotency_key=idempotency_key
        )
