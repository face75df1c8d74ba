"""An account of which Stripe says what no row can hold is a bug of ours, and no other creator's trouble."""

from dataclasses import replace

from gateway.domain.connecting import AccountsApi, AccountStatus
from gateway.services.connecting import account_by_id, sync_due_accounts
from gateway.stripe_service import StripeAccount, StripeService
from gateway.stripe_service.accounts import AccountsV1, ConnectedAccounts
from gateway.stripe_service.connection import StripeConnection
from tests.support.payouts import Creator, PayoutWorld


class PoisonedAccounts(AccountsV1):
    """One of the accounts has a country that is none."""

    def __init__(self, connection: StripeConnection, about: str) -> None:
        super().__init__(connection)
        self._about = about

    async def retrieve(self, stripe_account_id: str) -> StripeAccount | None:
        found = await super().retrieve(stripe_account_id)
        return replace(found, country="XXL") if found and stripe_account_id == self._about else found


class PoisonedStripe(StripeService):
    def __init__(self, connection: StripeConnection, about: str) -> None:
        super().__init__(connection)
        self._about = about

    def accounts(self, api: AccountsApi) -> ConnectedAccounts:
        assert api is AccountsApi.V1, "the accounts of this world"
        return PoisonedAccounts(self.connection, self._about)


async def statuses(paying: PayoutWorld, creators: list[Creator]) -> list[AccountStatus]:
    return [(await account_by_id(paying.database, creator.account_id)).status for creator in creators]


async def test_an_account_that_cannot_be_written_down_keeps_no_other_waiting(paying: PayoutWorld) -> None:
    creators = [await paying.creator(stage="started") for _ in range(5)]
    for creator in creators:
        await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage="active")
    await paying.advance(hours=2)
    node = paying.beside(stripe=PoisonedStripe(paying.billing.stripe.connection, creators[0].stripe_account_id))

    await sync_due_accounts(node.billing)
    assert await statuses(paying, creators) == [AccountStatus.ONBOARDING, *[AccountStatus.READY] * 4]

    await paying.advance(minutes=11)
    await sync_due_accounts(paying.billing)
    assert await statuses(paying, creators) == [AccountStatus.READY] * 5
    await paying.assert_books()
