"""A database belongs to the Stripe account it was filled from."""

from dataclasses import replace

import pytest
import structlog

from gateway.domain.errors import ProviderUnavailable
from gateway.services.belonging import Account, WrongAccount, check_account, keep_to_the_account
from gateway.services.billing import Billing
from gateway.services.events.gaps import fill_gaps
from gateway.stripe_service import StripeService
from tests.support.gateway import Platform

LOCAL = "acct_1LocalStripePlatform"


class OtherStripe(StripeService):
    """A Stripe that says whose key this is, and nothing else."""

    def __init__(self, account_id: str, *, livemode: bool = False) -> None:
        self._account_id = account_id
        self._livemode = livemode

    @property
    def livemode(self) -> bool:
        return self._livemode

    async def own_account(self) -> str:
        return self._account_id


def with_key_of(platform: Platform, account_id: str, *, livemode: bool = False) -> Billing:
    return replace(platform.billing, stripe=OtherStripe(account_id, livemode=livemode))


async def remembered(platform: Platform) -> list[tuple[object, bool]]:
    rows = await platform.database.fetch("SELECT account_id, livemode FROM stripe_account")
    return [(row["account_id"], bool(row["livemode"])) for row in rows]


async def test_the_first_start_remembers_whose_key_it_has(platform: Platform) -> None:
    await check_account(platform.billing)
    await check_account(platform.billing)

    assert await remembered(platform) == [(LOCAL, False)]


async def test_the_key_of_another_account_is_refused_in_one_sentence(platform: Platform) -> None:
    await check_account(platform.billing)

    with pytest.raises(WrongAccount) as refused:
        await check_account(with_key_of(platform, "acct_2"))

    assert str(refused.value) == (
        f"This database belongs to the Stripe account {LOCAL}/test, and GATEWAY_STRIPE_API_KEY is a key of "
        "acct_2/test. Use the right key or the right database; to hand this database over on purpose, "
        "set GATEWAY_STRIPE_ACCOUNT=acct_2/test."
    )
    assert await remembered(platform) == [(LOCAL, False)]


async def test_the_live_key_of_the_same_account_is_refused(platform: Platform) -> None:
    await check_account(platform.billing)

    with pytest.raises(WrongAccount, match=f"{LOCAL}/live"):
        await check_account(with_key_of(platform, LOCAL, livemode=True))


async def test_a_database_is_handed_over_on_purpose(platform: Platform) -> None:
    await check_account(platform.billing)
    other = with_key_of(platform, "acct_2", livemode=True)

    await check_account(other, handed_to="acct_2/live")
    await check_account(other)

    assert await remembered(platform) == [("acct_2", True)]
    with pytest.raises(WrongAccount):
        await check_account(platform.billing)


async def test_a_database_is_handed_to_nobody_but_the_owner_of_the_key(platform: Platform) -> None:
    await check_account(platform.billing)

    with pytest.raises(WrongAccount, match="GATEWAY_STRIPE_ACCOUNT is acct_3/test"):
        await check_account(with_key_of(platform, "acct_2"), handed_to="acct_3/test")

    assert await remembered(platform) == [(LOCAL, False)]


async def test_handed_over_the_events_are_listed_from_where_they_were_with_no_place_of_the_other_list(
    platform: Platform,
) -> None:
    await check_account(platform.billing)
    await fill_gaps(platform.billing)
    await platform.database.run(
        lambda connection: connection.execute(
            "UPDATE event_cursor SET part = 1, after_id = 'evt_1', newest_at = seen_at"
        )
    )

    await check_account(with_key_of(platform, "acct_2"), handed_to="acct_2/test")

    (row,) = await platform.database.fetch("SELECT part, after_id, newest_at FROM event_cursor")
    assert (row["part"], row["after_id"], row["newest_at"]) == (0, None, None)


async def test_a_silent_stripe_is_asked_again_later(platform: Platform) -> None:
    await platform.stripe.fault("/v1/account", "status_500", count=100)
    with pytest.raises(ProviderUnavailable):
        await check_account(platform.billing)
    await keep_to_the_account(platform.billing)
    before = await remembered(platform)
    await platform.stripe.control("faults/clear")

    await keep_to_the_account(platform.billing)

    assert (before, await remembered(platform)) == ([], [(LOCAL, False)])


async def test_a_wrong_account_found_later_is_an_alarm(platform: Platform) -> None:
    await check_account(platform.billing)

    with structlog.testing.capture_logs() as logs:
        await keep_to_the_account(with_key_of(platform, "acct_2"))

    assert [line["log_level"] for line in logs if line["event"] == "account.wrong"] == ["error"]


async def test_the_local_stripe_is_the_same_account_in_both_modes_and_for_ever(platform: Platform) -> None:
    first = await platform.stripe.api("GET", "/v1/account")
    await platform.stripe.control("reset")
    await platform.advance(days=1)

    assert first["id"] == LOCAL
    assert (await platform.stripe.api("GET", "/v1/account"))["id"] == LOCAL


@pytest.mark.parametrize("text", ["acct_1", "acct_1/prod", "1/test", "acct_/test", "acct_1/test ", ""])
def test_an_account_is_written_in_one_way(text: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        Account.parse(text)
