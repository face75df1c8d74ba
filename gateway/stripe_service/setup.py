"""`gateway stripe-setup`: everything the gateway needs at Stripe, made once, repaired when run again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.clock import Clock
from gateway.domain.connecting import AccountsApi
from gateway.domain.plans import Catalogue
from gateway.stripe_service.portal import set_up_portal
from gateway.stripe_service.prices import PriceBook
from gateway.stripe_service.service import StripeService
from gateway.stripe_service.setup_catalogue import set_up_catalogue
from gateway.stripe_service.setup_destination import set_up_destination
from gateway.stripe_service.setup_endpoint import CONNECTED, OWN, set_up_endpoint
from gateway.stripe_service.setup_journal import SetupLine, SetupOutcome, SetupRun


@dataclass(frozen=True, slots=True)
class SetupReport:
    """What the set-up did and found. `webhook_secrets` are those of new endpoints alone: Stripe shows each once."""

    lines: Sequence[SetupLine]
    prices: PriceBook
    portal_configuration_id: str
    webhook_secrets: tuple[str, ...] = field(repr=False)

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
    accounts_api: AccountsApi = AccountsApi.V2,
) -> SetupReport:
    """Make or repair products, prices, the portal configuration and the webhook endpoints.

    A run that finds everything in place writes nothing. A run that stops half-way is finished by the next one. Without
    `webhook_url` (the local Stripe delivers by itself) no endpoint is made.

    Raises:
        ProviderError: Stripe refused or did not answer.
        PricesNotReady: the prices are still not right, so somebody else changes them at the same time.
    """
    run = SetupRun(connection=service.connection, started_at=clock.now())
    prices = await set_up_catalogue(run, catalogue)
    configuration_id = await set_up_portal(run, prices=prices, return_url=portal_return_url)
    secrets: list[str | None] = []
    if webhook_url is None:
        run.note(SetupOutcome.SKIPPED, "webhook endpoint", "no address given")
    else:
        secrets += [(await set_up_endpoint(run, kind, url=webhook_url)).secret for kind in (OWN, CONNECTED)]
        if accounts_api is AccountsApi.V2:
            secrets.append(await set_up_destination(run, url=webhook_url))
    return SetupReport(
        lines=tuple(run.lines),
        prices=await service.check_prices(catalogue),
        portal_configuration_id=configuration_id,
        webhook_secrets=tuple(secret for secret in secrets if secret is not None),
    )
