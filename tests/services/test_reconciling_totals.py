"""The totals: whatever no single comparison sees shows in what Stripe holds altogether."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import pytest

from gateway.db.rows import text
from gateway.domain.errors import ProviderMisconfigured
from gateway.services.reconciling import accept, reconcile_when_due
from gateway.services.reconciling.totals import compare_totals
from gateway.stripe_service import BalancePage, StripeBalanceLine, StripeService
from tests.services.reconciling_rounds import ONE_DAY, Watch, days_done
from tests.support.reconciling import DAY, MoneyWorld, open_money_world


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    async with open_money_world(database_url) as opened:
        yield opened


async def totals_open(world: MoneyWorld) -> list[tuple[str, str]]:
    rows = await world.platform.database.fetch(
        "SELECT kind, sentence FROM reconciliation_difference WHERE subject = 'balance:usd' AND resolved_at IS NULL"
    )
    return [(text(row, "kind"), text(row, "sentence")) for row in rows]


async def rounds(world: MoneyWorld, number: int) -> Watch:
    watch = Watch()
    for _ in range(number):
        await world.next_day()
        assert await reconcile_when_due(replace(world.platform.billing, watch=watch))
    return watch


async def test_money_on_the_account_from_before_the_first_day_is_told_in_the_second_round(world: MoneyWorld) -> None:
    await world.control("balance/plant", amount=700)
    await world.next_day()
    await world.deposit(5_000)

    first = await rounds(world, 1)
    early = await totals_open(world)
    second = await rounds(world, 1)

    assert (first.open, early) == ({}, [])
    told = "Stripe holds $7.00 more than the ledger and the known differences say."
    assert (second.open, await totals_open(world)) == ({"amount": 1}, [("amount", told)])
    assert [one.sentence for one in (await world.reconcile(DAY + ONE_DAY)).differences] == [told]


async def test_an_accepted_total_is_quiet_while_it_is_the_same(world: MoneyWorld) -> None:
    await world.control("balance/plant", amount=700)
    await world.next_day()
    await world.deposit(5_000)
    await rounds(world, 2)

    assert await accept(world.platform.billing, "balance:usd")
    quiet = await rounds(world, 2)

    assert quiet.open == {}


async def test_what_is_different_already_and_what_is_not_over_yet_is_no_difference_of_totals(world: MoneyWorld) -> None:
    await world.deposit(5_000)
    planted = await world.control("balance/plant", amount=-800)
    await rounds(world, 1)
    assert await accept(world.platform.billing, f"txn:{planted['id']}")
    await world.silence()
    await world.deposit(2_500, settled=False)
    await world.control("balance/plant", amount=-50, type="stripe_fee")

    for _ in range(2):
        await compare_totals(world.platform.billing, DAY)

    assert await totals_open(world) == []


async def test_totals_that_a_found_difference_explains_are_resolved(world: MoneyWorld) -> None:
    await world.control("balance/plant", amount=700)
    await world.next_day()
    await world.deposit(5_000)
    await rounds(world, 2)
    assert len(await totals_open(world)) == 1

    assert len((await world.reconcile(DAY)).differences) == 2
    await rounds(world, 1)

    assert await totals_open(world) == []


class BalanceShut(StripeService):
    """The key may not read the balance itself."""

    async def balance_cents(self) -> int:
        raise ProviderMisconfigured("The payment provider refused the request.")


async def test_a_key_that_may_not_read_the_balance_holds_no_day_up(world: MoneyWorld) -> None:
    billing = replace(world.platform.billing, stripe=BalanceShut(world.platform.billing.stripe.connection))
    await world.deposit(5_000)
    for _ in range(2):
        await world.next_day()
        assert await reconcile_when_due(replace(billing, watch=Watch()))

    assert await days_done(world) == [DAY, DAY + ONE_DAY]
    await world.assert_agreed()


class SlowLister(StripeService):
    """Lists a payment some time after it was made; one is made and settled here whenever the balance is asked for."""

    def __init__(self, world: MoneyWorld) -> None:
        super().__init__(world.platform.billing.stripe.connection)
        self.world = world
        self.unlisted: set[str] = set()

    async def balance_cents(self) -> int:
        cents = await super().balance_cents()
        if not self.unlisted:
            self.unlisted = {(await self.world.deposit(5_000)).charge_id}
        return cents

    async def balance_page(self, *, since: datetime, before: datetime, after_id: str | None) -> BalancePage:
        page = await super().balance_page(since=since, before=before, after_id=after_id)
        return replace(page, lines=self.listed(page.lines))

    async def balance_lines_of(self, source_id: str) -> tuple[StripeBalanceLine, ...]:
        return self.listed(await super().balance_lines_of(source_id))

    def listed(self, lines: tuple[StripeBalanceLine, ...]) -> tuple[StripeBalanceLine, ...]:
        return tuple(line for line in lines if line.source_id not in self.unlisted)


async def test_a_payment_that_is_settled_while_the_totals_are_read_is_no_difference_of_totals(
    world: MoneyWorld,
) -> None:
    stripe, watch = SlowLister(world), Watch()
    await world.deposit(5_000)
    for _ in range(2):
        await world.next_day()
        stripe.unlisted = set()
        assert await reconcile_when_due(replace(world.platform.billing, stripe=stripe, watch=watch))

    assert (await totals_open(world), watch.open) == ([], {})


class BusyStripe(StripeService):
    """Money moves each of the first times that the balance is asked for, right after the answer."""

    def __init__(self, world: MoneyWorld) -> None:
        super().__init__(world.platform.billing.stripe.connection)
        self.world = world
        self.moves_left = 5

    async def balance_cents(self) -> int:
        cents = await super().balance_cents()
        if self.moves_left:
            self.moves_left -= 1
            await self.world.control("balance/plant", amount=-10, type="stripe_fee")
        return cents


async def test_totals_are_compared_also_while_money_moves(world: MoneyWorld) -> None:
    await world.control("balance/plant", amount=700)
    await world.next_day()
    await world.deposit(5_000)
    for _ in range(2):
        await world.next_day()
        billing = replace(world.platform.billing, stripe=BusyStripe(world), watch=Watch())
        assert await reconcile_when_due(billing)

    told = "Stripe holds $7.00 more than the ledger and the known differences say."
    assert await totals_open(world) == [("amount", told)]
