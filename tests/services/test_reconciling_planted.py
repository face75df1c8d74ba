"""Differences planted on either side: each is found, called by its name, and nothing else is called different."""

from collections.abc import AsyncIterator

import pytest

from gateway.db import Connection
from gateway.domain.ids import new_id
from gateway.domain.ledger import BANK, STRIPE, EntryDraft, EntryKind, Line
from gateway.domain.reconciliation import DifferenceKind
from gateway.services.ledger import record
from gateway.services.payouts import request_payout
from gateway.services.reconciling import Reconciliation
from tests.support.payouts import Creator
from tests.support.reconciling import MoneyWorld, Paid, open_money_world

HERE, THERE, AMOUNT = DifferenceKind.MISSING_HERE, DifferenceKind.MISSING_THERE, DifferenceKind.AMOUNT
UNKNOWN, ACCOUNT = DifferenceKind.UNKNOWN_TYPE, DifferenceKind.ACCOUNT

Planted = dict[str, DifferenceKind]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    async with open_money_world(database_url) as opened:
        for _ in range(2):
            await opened.deposit(50_000)
        yield opened


def kinds(report: Reconciliation) -> Planted:
    return {one.subject: one.kind for one in report.differences}


def healed(report: Reconciliation) -> Planted:
    return {one.subject: one.kind for one in report.healed}


async def unheard_deposit(world: MoneyWorld) -> Planted:
    paid = await world.deposit(2_500, settled=False)
    return {f"dep:{paid.session_id}": HERE}


async def unheard_refunds(world: MoneyWorld, untouched: Paid, partly_refunded: Paid) -> Planted:
    """The first refund of a charge, and the second one of another."""
    await world.control("refunds", charge=untouched.charge_id, amount=700)
    await world.control("refunds", charge=partly_refunded.charge_id, amount=300)
    return {f"ref:{untouched.charge_id}": HERE, f"ref:{partly_refunded.charge_id}": AMOUNT}


async def unheard_disputes(world: MoneyWorld, undisputed: Paid, open_dispute: str) -> Planted:
    """One that was opened, and one that was won."""
    opened = await world.control("disputes/open", charge=undisputed.charge_id)
    await world.control("disputes/close", dispute=open_dispute, outcome="won")
    return {f"dp:{opened['id']}": HERE, f"dp:{open_dispute}": AMOUNT}


async def unheard_transfer(world: MoneyWorld) -> Planted:
    """Stripe made it, and nobody ever heard its answer."""
    creator = await world.paying.creator(cents=3_000)
    view = await request_payout(world.paying.billing, subject=creator.subject)
    await world.platform.stripe.fault("/v1/transfers", "drop_after", method="POST", count=50)
    assert not await world.paying.work(view.id)
    await world.control("faults/clear")
    (transfer,) = await world.paying.transfers(view.id)
    return {f"tr:{transfer['id']}": HERE}


async def unheard_reversal(world: MoneyWorld, transfer_id: str) -> Planted:
    made = await world.control("transfers/reverse", transfer=transfer_id, amount=400)
    return {f"trr:{made['id']}": HERE}


async def transfers_of_nobody(world: MoneyWorld, creator: Creator) -> Planted:
    """One for nothing, one for a payout that does not exist, one for a payout that was paid."""
    payout = await world.paying.payout(creator)
    names: tuple[dict[str, str], ...] = (
        {},
        {"metadata[gateway_payout]": str(creator.id)},
        {"metadata[gateway_payout]": str(payout.id)},
    )
    found: Planted = {}
    for named in names:
        made = await world.platform.stripe.api(
            "POST", "/v1/transfers", amount="150", currency="usd", destination=creator.stripe_account_id, **named
        )
        found[f"tr:{made['id']}"] = HERE
    return found


async def lines_of_nobody(world: MoneyWorld) -> Planted:
    adjusted = await world.control("balance/plant", amount=-800)
    lent = await world.control("balance/plant", amount=900, type="advance")
    charged = await world.control("balance/plant", amount=1_100, type="charge")
    return {f"txn:{adjusted['id']}": UNKNOWN, f"txn:{lent['id']}": UNKNOWN, f"txn:{charged['id']}": HERE}


async def altered_deposits(world: MoneyWorld, twice: Paid, other: Paid, gone: Paid) -> Planted:
    """One is there twice, one with another amount, one is not there and took its fee along."""
    line = await world.line_of(gone.charge_id)
    await world.control("balance/plant", amount=1_000, type="charge", source=twice.charge_id)
    await world.control("balance/alter", balance_transaction=await world.line_of(other.charge_id), amount=999)
    await world.control("balance/alter", balance_transaction=line, missing=True)
    amounts = {f"dep:{paid.session_id}": AMOUNT for paid in (twice, other)}
    return {**amounts, f"dep:{gone.session_id}": THERE, f"fee:{line}": THERE}


async def altered_lines(world: MoneyWorld, refund: str, transfer: str, bank: str, refunded: Paid) -> Planted:
    """A refund, a transfer and a bank payout that were there and are not any more."""
    bank_line = await world.line_of(bank)
    for line in (await world.line_of(refund), await world.line_of(transfer), bank_line):
        await world.control("balance/alter", balance_transaction=line, missing=True)
    return {f"ref:{refunded.charge_id}": THERE, f"tr:{transfer}": THERE, f"bank:{bank_line}": THERE}


async def altered_subscription(world: MoneyWorld) -> Planted:
    row = await world.platform.database.fetch_one("SELECT id FROM balance_transaction WHERE subject LIKE 'sub:%'")
    assert row is not None, "it was reconciled before"
    await world.control("balance/alter", balance_transaction=row["id"], amount=1)
    return {f"sub:{row['id']}": AMOUNT}


async def altered_rows(world: MoneyWorld, transfers: list[str]) -> Planted:
    """Our own payout row says another amount, or another destination."""
    other_amount, other_account = transfers

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE payout SET amount_cents = amount_cents + 1 WHERE transfer_id = $1", (other_amount,)
        )
        await connection.execute(
            "UPDATE payout SET destination = 'acct_other' WHERE transfer_id = $1", (other_account,)
        )

    await world.platform.database.run(work)
    return {f"tr:{other_amount}": AMOUNT, f"tr:{other_account}": ACCOUNT}


async def entry_of_nothing(world: MoneyWorld) -> Planted:
    """Somebody booked money at Stripe by hand."""
    now = world.platform.clock.now()
    draft = EntryDraft(
        idem=f"adj:{new_id(now)}", kind=EntryKind.ADJUSTMENT, lines=(Line(STRIPE, -10_000), Line(BANK, 10_000))
    )
    await world.platform.database.run(lambda connection: record(connection, draft, now=now))
    return {f"entry:{draft.idem}": THERE}


async def altered_accounts(world: MoneyWorld, restricted: Creator, left: Creator) -> Planted:
    """One that Stripe has restricted, and one whose owner is gone."""
    await world.control("accounts/stage", account=restricted.stripe_account_id, stage="restricted")
    await world.control("accounts/deauthorize", account=left.stripe_account_id)
    return {f"acct:{one.stripe_account_id}": ACCOUNT for one in (restricted, left)}


async def plant_all(world: MoneyWorld) -> tuple[Planted, Planted]:
    """Plant everything; returns what settling again heals, and what only a person can look into."""
    deposits = [await world.deposit(cents) for cents in (1_100, 1_200, 1_300, 1_400, 1_500, 1_600, 1_700, 1_800)]
    untouched, partly, undisputed, disputed, twice, other, gone, refunded = deposits
    await world.control("refunds", charge=partly.charge_id, amount=200)
    refund = await world.control("refunds", charge=refunded.charge_id, amount=100)
    dispute = await world.control("disputes/open", charge=disputed.charge_id)
    await world.subscribe()
    bank = await world.control("payouts/create", amount=2_000)
    creators = [await world.pay_out(cents) for cents in (2_000, 2_100, 2_200, 2_300, 2_400)]
    await world.platform.settled()
    assert (await world.reconcile(world.platform.clock.now().date())).differences == ()
    await world.silence()
    (kept, reversed_), (restricted, vanished), (left, _), (_, row_1), (_, row_2) = creators
    curable = [
        await unheard_deposit(world),
        await unheard_refunds(world, untouched, partly),
        await unheard_disputes(world, undisputed, dispute["id"]),
        await unheard_transfer(world),
        await unheard_reversal(world, reversed_),
    ]
    lasting = [
        await transfers_of_nobody(world, kept),
        await lines_of_nobody(world),
        await altered_deposits(world, twice, other, gone),
        await altered_lines(world, refund["id"], vanished, bank["id"], refunded),
        await altered_subscription(world),
        await altered_rows(world, [row_1, row_2]),
        await entry_of_nothing(world),
        await altered_accounts(world, restricted, left),
    ]
    cured = {name: kind for planted in curable for name, kind in planted.items()}
    cured[f"acct:{restricted.stripe_account_id}"] = ACCOUNT
    rest = {name: kind for planted in lasting for name, kind in planted.items() if name not in cured}
    return cured, rest


async def test_each_planted_difference_is_found_and_none_is_invented(world: MoneyWorld) -> None:
    cured, rest = await plant_all(world)
    await world.next_day(days=4)

    looked = await world.reconcile(with_healing=False)
    settled = await world.reconcile()
    again = await world.reconcile()

    assert len(cured | rest) == 26
    assert kinds(looked) == cured | rest
    assert looked.healed == ()
    assert (healed(settled), kinds(settled)) == (cured, rest)
    assert (healed(again), kinds(again), again.booked) == ({}, rest, 0)
