"""`connectPayouts`: the creator's account at Stripe, made once, and a fresh link to Stripe's pages about it."""

from datetime import timedelta
from typing import Final

import structlog

from gateway.domain.connecting import NO_ACCESS, AccountStatus, checked_country
from gateway.domain.errors import InProgress, InvalidInput, ProviderMisconfigured, ProviderRejected, ProviderUnavailable
from gateway.domain.ids import new_id
from gateway.services.billing import Billing
from gateway.services.connecting.accounts import (
    ConnectedAccountView,
    account_by_id,
    close_account,
    move_to_next_key,
    open_account,
    record_account,
)
from gateway.services.connecting.syncing import sync_account
from gateway.stripe_service import AccountLink, LinkUse

log = structlog.stdlib.get_logger()

#: How often the account is looked at again in one request: one that is gone, a key that is spent.
_TRIES_MAX: Final = 3
#: How far clocks may be apart when an account that a lost answer left behind is looked for.
_SKEW: Final = timedelta(minutes=130)
#: Another country is asked for only when no call for the first one can be under way any more.
COUNTRY_CHANGES_AFTER: Final = timedelta(minutes=2)


async def start_onboarding(
    billing: Billing, *, subject: str, return_url: str, refresh_url: str, country: str
) -> AccountLink:
    """A fresh, short-lived way into Stripe's pages for this creator; made per click, never stored or logged.

    An account that is ready gets the pages where a bank account is replaced, any other those where what is missing is
    handed in. `country` counts when the account is made.

    Raises:
        RedirectNotAllowed: a URL is not on the list; Stripe was not called.
        InvalidInput: the country is no country, or none that Stripe pays out to.
        InProgress: the account is being made or replaced at this moment.
        ProviderUnavailable: Stripe did not answer; asking again goes on with the same account.
        ProviderRejected: Stripe refused.
    """
    back = billing.redirects.check(return_url, path=("input", "returnUrl"))
    again = billing.redirects.check(refresh_url, path=("input", "refreshUrl"))
    account = await _account_at_stripe(billing, subject=subject, country=checked_country(country))
    assert account.stripe_account_id is not None, "made, or an exception was raised"
    use = LinkUse.UPDATE if account.is_ready else LinkUse.ONBOARD
    link = await billing.stripe.accounts(account.api).link(
        stripe_account_id=account.stripe_account_id,
        use=use,
        return_url=back,
        refresh_url=again,
        idempotency_key=f"account_link:{new_id(billing.clock.now())}",
    )
    log.info("connect.link_made", account_id=str(account.id), use=use.value)
    return link


async def _account_at_stripe(billing: Billing, *, subject: str, country: str) -> ConnectedAccountView:
    """The creator's account as it stands now; made if there is none, and anew if the last one is gone."""
    for _ in range(_TRIES_MAX):
        account = await open_account(billing, subject=subject, country=country)
        if account.stripe_account_id is None:
            account = await _make(billing, account, subject=subject, country=country)
        else:
            account = await sync_account(billing, account_id=account.id)
        if account.disabled_reason == NO_ACCESS:
            await close_account(billing, account.id, reason=NO_ACCESS)
        elif account.status is not AccountStatus.CLOSED:
            return account
    raise InProgress("Your payout account is being replaced at this moment; try again in a few seconds.")


async def _make(billing: Billing, account: ConnectedAccountView, *, subject: str, country: str) -> ConnectedAccountView:
    """Have Stripe make the account; every caller uses the key in the row, so it makes one."""
    for _ in range(_TRIES_MAX):
        try:
            return await _make_or_find(billing, account, subject=subject, country=country)
        except ProviderUnavailable:
            settled = await account_by_id(billing.database, account.id)
            if settled.stripe_account_id is None:
                raise
            return settled
        except ProviderMisconfigured:
            raise
        except ProviderRejected as refusal:
            account = await _after_refusal(billing, account, refusal)
    raise InProgress("Your payout account is being made at this moment; try again in a few seconds.")


async def _make_or_find(
    billing: Billing, account: ConnectedAccountView, *, subject: str, country: str
) -> ConnectedAccountView:
    """Ask with the key of the row; one that is too old, or of another country, gives way to a look and the next one.

    Raises:
        InProgress: an account in another country was asked for just now.
    """
    calls = billing.stripe.accounts(account.api)
    age, moves = billing.clock.now() - account.asked_at, country != account.country
    if moves and age <= COUNTRY_CHANGES_AFTER:
        raise InProgress(
            f"A payout account in {account.country} is being asked for; to have one in {country} instead, try again "
            "in a few minutes."
        )
    if moves or age > calls.key_trusted:
        found = await calls.find(
            account_row_id=str(account.id),
            created_after=account.asked_at - _SKEW,
            created_before=account.asked_at + calls.key_trusted + _SKEW,
        )
        if found is not None:
            return await record_account(billing, account, found.stripe_account_id)
        log.warning("connect.asked_anew", account_id=str(account.id), stripe_key=account.stripe_key)
        account = await move_to_next_key(billing, account, country=country)
    made = await calls.create(
        customer_id=subject,
        account_row_id=str(account.id),
        country=account.country,
        idempotency_key=account.stripe_key,
    )
    return await record_account(billing, account, made.stripe_account_id)


async def _after_refusal(
    billing: Billing, account: ConnectedAccountView, refusal: ProviderRejected
) -> ConnectedAccountView:
    """Go on under the next key where that helps, free the row for another country where that does; else pass it on."""
    if refusal.provider_code == "idempotency_error":
        log.error("connect.key_conflict", account_id=str(account.id), stripe_key=account.stripe_key)
        return await move_to_next_key(billing, account, country=account.country)
    if _is_about_country(refusal):
        await close_account(billing, account.id, reason="country_refused")
        raise InvalidInput(
            f"Stripe does not pay out to {account.country}; choose another country.", path=("input", "country")
        ) from refusal
    log.error("connect.refused", account_id=str(account.id), provider_code=refusal.provider_code)
    raise refusal


def _is_about_country(refusal: ProviderRejected) -> bool:
    """v1 names the parameter; v2 has only its codes."""
    return (refusal.provider_param or "").endswith("country") or "country" in (refusal.provider_code or "")
