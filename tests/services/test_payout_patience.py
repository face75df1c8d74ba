"""An account that is not ready is waited for, for a week that begins when the waiting begins."""

from datetime import timedelta

from gateway.domain.connecting import AccountsApi
from gateway.domain.errors import ProviderMisconfigured, ProviderRejected
from gateway.services.payouts import request_payout
from gateway.stripe_service import StripeService
from gateway.stripe_service.connection import StripeConnection
from tests.support.payouts import DOLLAR, FUNDS_CENTS, Creator, PayoutWorld

REJECTED = ProviderRejected(
    "The payment provider refused the request.", provider_code="v1_account_instead_of_v2_account"
)
NOT_LET_IN = ProviderMisconfigured("The payment provider refused the request.")


class ShowsNoAccount(StripeService):
    """Stripe that refuses every look at an account."""

    def __init__(self, connection: StripeConnection, refusal: ProviderRejected) -> None:
        super().__init__(connection)
        self._refusal = refusal

    # It answers by itself for either generation.
    def accounts(self, api: AccountsApi) -> "ShowsNoAccount":  # pyright: ignore[reportIncompatibleMethodOverride]
        return self

    async def retrieve(self, stripe_account_id: str) -> None:
        raise self._refusal


async def requested(paying: PayoutWorld) -> Creator:
    creator = await paying.creator()
    await request_payout(paying.billing, subject=creator.subject)
    return creator


async def test_a_look_at_the_account_that_is_refused_is_patience_too(paying: PayoutWorld) -> None:
    creator = await requested(paying)
    payout = await paying.payout(creator)
    node = paying.beside(stripe=ShowsNoAccount(paying.billing.stripe.connection, REJECTED))
    await paying.advance(minutes=2)

    assert not await node.work(payout.id)
    payout = await paying.payout(creator)
    assert (payout.state, payout.waits_for) == ("requested", "account")
    assert payout.due_at == paying.clock.now() + timedelta(minutes=15)
    await paying.advance(days=6, hours=23)
    assert not await node.work(payout.id)
    await paying.advance(hours=1)
    assert await node.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.failure_code) == ("failed", "account_not_ready")
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    await paying.assert_books()


async def test_a_key_that_may_not_look_at_accounts_is_no_fault_of_the_account(paying: PayoutWorld) -> None:
    creator = await requested(paying)
    payout = await paying.payout(creator)
    node = paying.beside(stripe=ShowsNoAccount(paying.billing.stripe.connection, NOT_LET_IN))

    for _ in range(2):
        await paying.advance(days=8)
        assert not await node.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.waits_for) == ("requested", "operator")
    assert await paying.work(payout.id)
    assert (await paying.payout(creator)).state == "in_transit"
    await paying.assert_books()


async def test_the_week_does_not_count_what_it_waited_for_the_balance(paying: PayoutWorld) -> None:
    await paying.fund(-FUNDS_CENTS)
    creator = await requested(paying)
    payout = await paying.payout(creator)
    assert not await paying.work(payout.id)
    await paying.advance(days=8)
    await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage="restricted")

    assert not await paying.work(payout.id)
    assert (await paying.payout(creator)).waits_for == "account"
    await paying.advance(days=6, hours=23)
    assert not await paying.work(payout.id)
    await paying.advance(hours=1)
    assert await paying.work(payout.id)

    assert (await paying.payout(creator)).failure_code == "account_not_ready"
    await paying.assert_books()


async def test_an_account_that_was_ready_in_between_has_a_week_again(paying: PayoutWorld) -> None:
    await paying.fund(-FUNDS_CENTS)
    creator = await requested(paying)
    payout = await paying.payout(creator)
    for stage in ("restricted", "active", "restricted"):
        await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage=stage)
        await paying.advance(days=6)
        assert not await paying.work(payout.id)

    assert (await paying.payout(creator)).account_awaited_since == paying.clock.now()
    await paying.advance(days=7)
    assert await paying.work(payout.id)
    assert (await paying.payout(creator)).failure_code == "account_not_ready"
    await paying.assert_books()
