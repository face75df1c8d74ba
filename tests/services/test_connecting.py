"""How a connected account is followed: by events in any order, by looks from time to time, and to its end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.db.rows import moment
from gateway.domain.clock import ManualClock
from gateway.domain.connecting import NO_ACCESS, AccountsApi, AccountStatus
from gateway.domain.errors import ProviderUnavailable
from gateway.services.connecting import ConnectedAccountView, account_of, sync_account, sync_due_accounts
from gateway.services.customers import customer_id_of
from gateway.stripe_service import StripeAccount, StripeService
from gateway.stripe_service.accounts import AccountsV1, ConnectedAccounts
from tests.support.books import assert_books_balance
from tests.support.connecting import (
    ACCOUNT,
    account,
    accounts_made,
    add_thin_endpoint,
    rows,
    stage,
    stripe_id,
    with_api,
)
from tests.support.gateway import START, Platform, open_platform

ENOUGH = 3
STAGES = {
    "new": AccountStatus.ONBOARDING,
    "started": AccountStatus.ONBOARDING,
    "review": AccountStatus.UNDER_REVIEW,
    "active": AccountStatus.READY,
    "restricted": AccountStatus.RESTRICTED,
    "rejected": AccountStatus.RESTRICTED,
}
BROKEN_BANK = "000111111116"


@pytest.fixture(params=list(AccountsApi))
def api(request: pytest.FixtureRequest) -> AccountsApi:
    return AccountsApi(request.param)


@pytest.fixture
async def platform(database_url: str, api: AccountsApi) -> AsyncIterator[Platform]:
    async with open_platform(
        database_url, clock=ManualClock(START), with_worker=False, hasty=True, dress=with_api(api)
    ) as running:
        yield running


@pytest.fixture
async def modern(sqlite_url: str) -> AsyncIterator[Platform]:
    """Accounts of v2, which tell of themselves in thin events and in nothing else."""
    async with open_platform(sqlite_url, clock=ManualClock(START), with_worker=False) as running:
        await add_thin_endpoint(running)
        await running.stripe.control("accounts/v2_snapshots", on=False)
        yield running


class GatedStripe(StripeService):
    """Stripe whose first answer about an account comes late: after `late` is set."""

    def __init__(self, real: StripeService) -> None:
        super().__init__(real.connection)
        self.late = asyncio.Event()
        self.asked = asyncio.Event()
        self.first = True

    def accounts(self, api: AccountsApi) -> ConnectedAccounts:
        assert api is AccountsApi.V1, "the tests with a gate are of v1"
        return GatedAccounts(self)


class GatedAccounts(AccountsV1):
    def __init__(self, gate: GatedStripe) -> None:
        super().__init__(gate.connection)
        self._gate = gate

    async def retrieve(self, stripe_account_id: str) -> StripeAccount | None:
        first, self._gate.first = self._gate.first, False
        found = await super().retrieve(stripe_account_id)
        if first:
            self._gate.asked.set()
            await self._gate.late.wait()
        return found


@pytest.mark.parametrize(("place", "status"), STAGES.items())
async def test_an_event_brings_the_account_to_where_it_is(
    platform: Platform, place: str, status: AccountStatus
) -> None:
    ann = platform.person()
    await ann.connect_url()

    await stage(platform, ann, place)
    await platform.settled()

    assert (await account(platform, ann)).status is status
    assert await platform.events_in("dead") == 0
    await assert_books_balance(platform.database)


async def test_what_is_due_is_kept_for_the_creator_to_read(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    await stage(platform, ann, "active")
    await stage(platform, ann, "restricted")
    await platform.settled()

    found = await account(platform, ann)

    assert found.requirements == ("individual.verification.document",)
    assert found.disabled_reason in {"requirements.past_due", "requirements_past_due"}
    assert (found.transfers_active, found.bank_payouts_active) == (False, False)


@pytest.mark.parametrize("seed", range(4))
async def test_events_in_any_order_and_twice_end_in_the_true_status(platform: Platform, seed: int) -> None:
    ann, bob = platform.person(), platform.person()
    for person in (ann, bob):
        await person.connect_url()
    await platform.stripe.control("events/hold")
    for place in ("started", "review", "active", "restricted", "active", "rejected"):
        await stage(platform, ann, place)
    for place in ("review", "rejected", "active"):
        await stage(platform, bob, place)

    await platform.stripe.control("events/release", seed=seed, copies=2)
    await platform.settled()

    assert (await account(platform, ann)).status is AccountStatus.RESTRICTED
    assert (await account(platform, bob)).status is AccountStatus.READY


@pytest.mark.parametrize("place", ["active", "restricted"])
async def test_thin_events_alone_are_enough(modern: Platform, place: str) -> None:
    ann = modern.person()
    await ann.connect_url()

    await stage(modern, ann, place)
    await modern.settled()

    assert (await account(modern, ann)).status is STAGES[place]
    stored = await modern.database.fetch("SELECT type, state, account, object_id FROM stripe_event")
    known = {row["type"] for row in stored if row["state"] == "done"}
    assert "v2.core.account[requirements].updated" in known
    assert {row["account"] for row in stored} == {row["object_id"] for row in stored} == {await stripe_id(modern, ann)}


async def test_a_late_answer_does_not_overwrite_a_later_one(database_url: str) -> None:
    async with open_platform(
        database_url, clock=ManualClock(START), with_worker=False, dress=with_api(AccountsApi.V1)
    ) as platform:
        ann = platform.person()
        await ann.connect_url()
        await stage(platform, ann, "active")
        gate = GatedStripe(platform.billing.stripe)
        billing = replace(platform.billing, stripe=gate)
        found = await account(platform, ann)

        slow = asyncio.create_task(sync_account(billing, account_id=found.id))
        await gate.asked.wait()
        await stage(platform, ann, "rejected")
        fast = await sync_account(billing, account_id=found.id)
        gate.late.set()
        last = await slow

        assert fast.status is AccountStatus.RESTRICTED
        assert last.status is AccountStatus.RESTRICTED
        assert (await account(platform, ann)).transfers_active is False


async def test_an_event_about_an_account_that_is_not_ours_is_set_aside(platform: Platform) -> None:
    stranger = await platform.stripe.api(
        "POST",
        "/v1/accounts",
        **{
            "controller[fees][payer]": "application",
            "controller[losses][payments]": "application",
            "controller[requirement_collection]": "stripe",
            "controller[stripe_dashboard][type]": "express",
            "capabilities[transfers][requested]": "true",
        },
    )

    await platform.stripe.control("accounts/stage", account=stranger["id"], stage="active")
    await platform.settled()

    assert await rows(platform) == []
    states = await platform.database.fetch("SELECT state FROM stripe_event WHERE account = $1", (stranger["id"],))
    assert {row["state"] for row in states} == {"ignored"}


async def test_a_bank_account_that_fails_restricts_and_another_one_heals(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    await stage(platform, ann, "active")
    await platform.settled()
    stripe_account_id = await stripe_id(platform, ann)
    await fail_at_the_bank(platform, stripe_account_id)
    await platform.settled()

    broken = await account(platform, ann)
    await platform.stripe.control("accounts/bank", account=stripe_account_id)
    await platform.settled()

    assert broken.status is AccountStatus.RESTRICTED
    assert (broken.transfers_active, broken.bank_payouts_active) == (True, False)
    assert broken.requirements == ("external_account",)
    assert (await account(platform, ann)).status is AccountStatus.READY


async def fail_at_the_bank(platform: Platform, stripe_account_id: str) -> None:
    """Some money goes to a bank account that is closed."""
    await platform.stripe.control("accounts/bank", account=stripe_account_id, account_number=BROKEN_BANK)
    await platform.stripe.control("balance/plant", account=stripe_account_id, amount=2_000)
    payout = await platform.stripe.control("payouts/create", account=stripe_account_id)
    await platform.stripe.control("payouts/arrive", payout=payout["id"])


async def test_an_account_that_leaves_is_closed_and_connecting_again_makes_another(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    await stage(platform, ann, "active")
    await platform.settled()
    left = await account(platform, ann)

    await platform.stripe.control("accounts/deauthorize", account=left.stripe_account_id)
    await platform.settled()

    assert await account_of(platform.database, customer_id_of(ann.subject)) is None
    (closed,) = await rows(platform)
    assert (closed["status"], closed["closed_at"] is None, closed["sync_due_at"]) == ("closed", False, None)
    assert (bool(closed["transfers_active"]), bool(closed["bank_payouts_active"])) == (False, False)

    await ann.connect_url()
    again = await account(platform, ann)
    assert again.id != left.id
    assert again.stripe_account_id not in {None, left.stripe_account_id}
    assert len(await rows(platform)) == 2


async def test_no_late_event_brings_a_closed_account_back(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    left = await account(platform, ann)
    await platform.stripe.control("events/hold")
    await stage(platform, ann, "active")
    await platform.stripe.control("accounts/deauthorize", account=left.stripe_account_id)
    await sync_account(platform.billing, account_id=left.id, gone_is_closed=True)

    await platform.stripe.control("events/release", seed=1, copies=2)
    await platform.settled()
    view = await sync_account(platform.billing, account_id=left.id)

    assert view.status is AccountStatus.CLOSED
    assert await account_of(platform.database, customer_id_of(ann.subject)) is None
    assert await platform.events_in("new", "doing", "dead") == 0


async def test_an_account_that_cannot_be_seen_is_restricted_until_it_can(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    found = await account(platform, ann)
    await platform.stripe.control("events/hold")
    await platform.stripe.control("accounts/deauthorize", account=found.stripe_account_id)

    unseen = await sync_account(platform.billing, account_id=found.id)

    assert (unseen.status, unseen.disabled_reason) == (AccountStatus.RESTRICTED, NO_ACCESS)
    assert await accounts_made(platform) == 1


async def test_a_creator_whose_account_cannot_be_seen_connects_another(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    found = await account(platform, ann)
    await platform.stripe.control("events/hold")
    await platform.stripe.control("accounts/deauthorize", account=found.stripe_account_id)

    url = await ann.connect_url()

    assert (await platform.stripe.page(url)).status == 200
    assert (await account(platform, ann)).id != found.id
    assert sorted(row["status"] for row in await rows(platform)) == ["closed", "onboarding"]
    await platform.stripe.control("events/release")
    await platform.settled()
    assert (await account(platform, ann)).id != found.id


async def test_an_account_closed_at_stripe_is_closed_with_us(modern: Platform) -> None:
    ann = modern.person()
    await ann.connect_url()
    closed = await account(modern, ann)

    await modern.stripe.control("accounts/close", account=closed.stripe_account_id)
    await modern.settled()

    assert [row["status"] for row in await rows(modern)] == ["closed"]
    await ann.connect_url()
    assert (await account(modern, ann)).stripe_account_id != closed.stripe_account_id


async def test_the_first_look_comes_at_once_and_then_as_often_as_it_is_worth(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    await platform.stripe.control("events/hold")
    await stage(platform, ann, "started")

    assert await sync_due_accounts(platform.billing) is False
    first = await due_in(platform)
    await platform.advance(minutes=59)
    await sync_due_accounts(platform.billing)
    early = await account(platform, ann)
    await stage(platform, ann, "active")
    await platform.advance(minutes=2)
    await sync_due_accounts(platform.billing)

    assert first == timedelta(hours=1)
    assert early.synced_at == START
    assert (await account(platform, ann)).status is AccountStatus.READY
    assert await due_in(platform) == timedelta(days=1)


async def due_in(platform: Platform) -> timedelta:
    (row,) = await platform.database.fetch("SELECT sync_due_at, synced_at FROM connected_account")
    due, synced = (moment(row, name) for name in ("sync_due_at", "synced_at"))
    return due - synced


async def test_one_account_that_fails_keeps_no_other_waiting(platform: Platform) -> None:
    people = [platform.person() for _ in range(5)]
    for person in people:
        await person.connect_url()
    await platform.stripe.control("events/hold")
    for person in people:
        await stage(platform, person, "active")
    broken = await stripe_id(platform, people[0])
    await platform.stripe.fault(f"regex:{broken}", "status_500", count=ENOUGH)

    await sync_due_accounts(platform.billing)
    statuses = [(await account(platform, person)).status for person in people]
    await platform.advance(minutes=11)
    await sync_due_accounts(platform.billing)

    assert statuses == [AccountStatus.ONBOARDING, *[AccountStatus.READY] * 4]
    assert (await account(platform, people[0])).status is AccountStatus.READY


async def test_nodes_share_the_looks(platform: Platform) -> None:
    people = [platform.person() for _ in range(8)]
    for person in people:
        await person.connect_url()
    await platform.stripe.forget_requests()

    await asyncio.gather(*(sync_due_accounts(platform.billing) for _ in range(4)))

    asked = [row["path"] for row in await platform.stripe.requests(method="GET") if "acct_" in row["path"]]
    assert len(asked) == len(set(asked)) == 8


async def test_a_look_that_fails_changes_nothing(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    await stage(platform, ann, "active")
    await platform.settled()
    before = await account(platform, ann)
    await platform.stripe.fault(ACCOUNT, "status_500", count=ENOUGH)

    with pytest.raises(ProviderUnavailable):
        await sync_account(platform.billing, account_id=before.id)

    assert await account(platform, ann) == before


async def test_an_account_stays_with_the_generation_it_was_made_with(platform: Platform, api: AccountsApi) -> None:
    ann = platform.person()
    await ann.connect_url()
    other = AccountsApi.V1 if api is AccountsApi.V2 else AccountsApi.V2
    billing = replace(platform.billing, rules=replace(platform.billing.rules, accounts_api=other))
    found = await account(platform, ann)

    view = await sync_account(billing, account_id=found.id)

    assert isinstance(view, ConnectedAccountView)
    assert (view.api, view.status) == (api, AccountStatus.ONBOARDING)
