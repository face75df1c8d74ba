"""`gateway stripe-setup`: everything the gateway needs at Stripe, made once, repaired when run again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.clock import Clock
from gateway.domain.plans import Catalogue
from gateway.stripe_service.portal import set_up_portal
from gateway.stripe_service.prices import PriceBook
from gateway.stripe_service.service import StripeService
from gateway.stripe_service.setup_catalogue import set_up_catalogue
from gateway.stripe_service.setup_endpoint import set_up_endpoint
from gateway.stripe_service.setup_journal import SetupLine, SetupOutcome, SetupRun


@dataclass(frozen=True, slots=True)
class SetupReport:
    """What the set-up did and found. `webhook_secret` is there only when an endpoint was made: Stripe shows it once."""

    lines: Sequence[SetupLine]
    prices: PriceBook
    portal_configuration_id: str
    webhook_secret: str | None = field(repr=False)

    @property
    def changed(self) -> bool:
        """Whether anything was written at Stripe."""
        return any(line.outcome in {SetupOutcome.CREATED, SetupOutcome.REPAIRED} for line in self.lines)


async def set_up_stripe(
    service: StripeService,
    catalogue: Catalogue,
    *,
    webhook_url: str | None,
    portal_return_url: str,
    clock: Clock,
) -> SetupReport:
    """Make or repair products, prices, the portal configuration and the account's webhook endpoint.

    A run that finds everything in place writes nothing. A run that stops half-way is finished by the next one. Without
    `webhook_url` (the local Stripe delivers by itself) no endpoint is made.

    Raises:
        ProviderError: Stripe refused or did not answer.
        PricesNotReady: the prices are still not right, so somebody else changes them at the same time.
    """
    run = SetupRun(connection=service.connection, started_at=clock.now())
    prices = await set_up_catalogue(run, catalogue)
    configuration_id = await set_up_portal(run, prices=prices, return_url=portal_return_url)
    secret: str | None = None
    if webhook_url is None:
        run.note(SetupOutcome.SKIPPED, "webhook endpoint", "no address given")
    else:
        secret = (await set_up_endpoint(run, url=webhook_url)).secret
    return SetupReport(
        lines=tuple(run.lines),
        prices=await service.check_prices(catalogue),
        portal_configuration_id=configuration_id,
        webhook_secret=secret,
    )
