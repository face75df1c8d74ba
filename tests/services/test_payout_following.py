"""Accounts whose money is on its way are asked side by side, and none keeps another waiting."""

import asyncio
from datetime import datetime

import pytest

from gateway.services.connecting import sync_account
from gateway.services.payouts import follow_bank_payouts, following, request_payout, settle_transfer
from gateway.stripe_service import StripeBankPayout, StripeService
from gateway.stripe_service.connection import StripeConnection
from tests.support.payouts import Creator, PayoutWorld


class Silent(StripeService):
    """Stripe that never answers about some accounts."""

    def __init__(self, connection: StripeConnection, *about: Creator) -> None:
        super().__init__(connection)
        self._about = {creator.stripe_account_id for creator in about}
        self.asked: list[str] = []
        self.waits = asyncio.Event()

    async def list_bank_payouts(self, *, account: str, since: datetime) -> tuple[StripeBankPayout, ...]:
        self.asked.append(account)
        if account in self._about:
            self.waits.set()
            await asyncio.Event().wait()
        return tuple(await super().list_bank_payouts(account=account, since=since))


async def sent(paying: PayoutWorld, number: int) -> list[Creator]:
    """As many creators with money at Stripe that is not at their banks."""
    creators = [await paying.creator() for _ in range(number)]
    for creator in creators:
        view = await request_payout(paying.billing, subject=creator.subject)
        assert await paying.work(view.id)
    return creators


async def test_a_silent_account_costs_one_place_and_its_own_time(
    paying: PayoutWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    creators = await sent(paying, 6)
    monkeypatch.setattr(following, "LOOK_SECONDS_MAX", 0.3)
    silent = Silent(paying.billing.stripe.connection, creators[0])

    assert await follow_bank_payouts(paying.beside(stripe=silent).billing) is False

    assert sorted(silent.asked) == sorted(creator.stripe_account_id for creator in creators)
    await paying.assert_books()


async def test_a_round_that_is_cut_gives_back_what_it_did_not_come_to(paying: PayoutWorld) -> None:
    creators = await sent(paying, following.ACCOUNTS_SIDE_BY_SIDE_MAX + 2)
    silent = Silent(paying.billing.stripe.connection, *creators)
    cut = asyncio.create_task(follow_bank_payouts(paying.beside(stripe=silent).billing))
    await silent.waits.wait()
    while len(silent.asked) < following.ACCOUNTS_SIDE_BY_SIDE_MAX:
        await asyncio.sleep(0)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut

    calm = Silent(paying.billing.stripe.connection)
    await follow_bank_payouts(paying.beside(stripe=calm).billing)

    assert len(calm.asked) == 2
    assert sorted(silent.asked + calm.asked) == sorted(creator.stripe_account_id for creator in creators)
    await paying.assert_books()


async def test_an_account_that_was_closed_is_asked_for_a_week_and_no_longer(paying: PayoutWorld) -> None:
    (creator,) = await sent(paying, 1)
    await paying.door.control("accounts/deauthorize", account=creator.stripe_account_id)
    await sync_account(paying.billing, account_id=creator.account_id, gone_is_closed=True)

    asked: list[int] = []
    for days in (6, 1, 30):
        await paying.advance(days=days)
        await paying.door.forget_requests()
        await follow_bank_payouts(paying.billing)
        asked.append(len(await paying.door.requests("/v1/payouts")))

    assert asked == [1, 0, 0]
    assert (await paying.payout(creator)).state == "in_transit"
    await paying.assert_books()


async def test_what_came_back_whole_is_not_asked_about(paying: PayoutWorld) -> None:
    (creator,) = await sent(paying, 1)
    transfer_id = (await paying.payout(creator)).transfer_id or ""
    await paying.door.control("transfers/reverse", transfer=transfer_id)
    assert await settle_transfer(paying.billing, transfer_id=transfer_id)
    await paying.door.forget_requests()

    await follow_bank_payouts(paying.billing)

    assert await paying.door.requests("/v1/payouts") == []
    await paying.assert_books()
