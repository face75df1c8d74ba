"""Which Stripe account this database belongs to: rows name its objects, and another account knows none of them."""

import re
from dataclasses import dataclass

import structlog

from gateway.db import Connection
from gateway.domain.errors import ProviderMisconfigured, ProviderUnavailable
from gateway.services.billing import Billing

log = structlog.stdlib.get_logger()

_WRITTEN = re.compile(r"(?P<account>acct_[A-Za-z0-9]+)/(?P<mode>test|live)", re.ASCII)


class WrongAccount(Exception):
    """The key is of another Stripe account, or of another mode, than the one this database was filled from."""


@dataclass(frozen=True, slots=True)
class Account:
    """A Stripe account in one mode; written `acct_…/test` or `acct_…/live`."""

    account_id: str
    livemode: bool

    @classmethod
    def parse(cls, text: str) -> "Account":
        """Raises ValueError for what is not written so."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise ValueError(f"must look like acct_1AbCdEf/test or acct_1AbCdEf/live; got {text!r}")
        return cls(match["account"], match["mode"] == "live")

    def __str__(self) -> str:
        return f"{self.account_id}/{'live' if self.livemode else 'test'}"


async def check_account(billing: Billing, *, handed_to: str | None = None) -> None:
    """Remember the account of the key, or see that it is still the one remembered.

    `handed_to` is what an operator says the database belongs to from now on; it has to be the account of the key.

    Raises:
        WrongAccount: it is not; the message says what to do.
        ProviderUnavailable, ProviderMisconfigured: Stripe did not say whose key this is.
    """
    ours = Account(await billing.stripe.own_account(), billing.stripe.livemode)
    if handed_to is not None and Account.parse(handed_to) != ours:
        raise WrongAccount(f"GATEWAY_STRIPE_ACCOUNT is {handed_to}, and GATEWAY_STRIPE_API_KEY is a key of {ours}.")

    async def work(connection: Connection) -> Account:
        now = billing.clock.now()
        row = await connection.fetch_one(
            "INSERT INTO stripe_account (id, account_id, livemode, since_at) VALUES (1, $1, $2, $3) "
            "ON CONFLICT (id) DO UPDATE SET id = stripe_account.id RETURNING account_id, livemode",
            (ours.account_id, ours.livemode, now),
        )
        assert row is not None, "an upsert returns its row"
        stored = Account(str(row["account_id"]), bool(row["livemode"]))
        if stored != ours and handed_to is not None:
            await connection.execute(
                "UPDATE stripe_account SET account_id = $1, livemode = $2, since_at = $3",
                (ours.account_id, ours.livemode, now),
            )
            await connection.execute("UPDATE event_cursor SET newest_at = NULL, part = 0, after_id = NULL")
        return stored

    stored = await billing.database.run(work)
    if stored == ours:
        return
    if handed_to is None:
        raise WrongAccount(
            f"This database belongs to the Stripe account {stored}, and GATEWAY_STRIPE_API_KEY is a key of {ours}. "
            f"Use the right key or the right database; to hand this database over on purpose, "
            f"set GATEWAY_STRIPE_ACCOUNT={ours}."
        )
    log.warning("account.changed", before=str(stored), account=str(ours))


async def keep_to_the_account(billing: Billing) -> bool:
    """Check what could not be checked at the start; a wrong account is an alarm at every look."""
    try:
        await check_account(billing)
    except (ProviderUnavailable, ProviderMisconfigured):
        log.debug("account.unchecked")
    except WrongAccount as error:
        log.error("account.wrong", reason=str(error))  # noqa: TRY400 - the sentence says it all
    return False
