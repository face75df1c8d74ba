"""What a creator can set about its payouts, and what it can expect."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.db import Connection
from gateway.domain.connecting import AccountStatus, PayoutAccountStatus, payout_account_status
from gateway.domain.payouts import PayoutBlocker, blockers
from gateway.domain.schedules import PayoutFrequency, next_run_at
from gateway.services.billing import Billing
from gateway.services.customers import add_customer
from gateway.services.payouts.standing import CreatorStanding, load_standing

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutSettingsView:
    """`next_amount_cents` is what `next_payout_at` would pay if nothing changed; both are None without a schedule."""

    account_status: PayoutAccountStatus
    frequency: PayoutFrequency
    minimum_cents: int
    next_amount_cents: int | None
    next_payout_at: datetime | None
    blockers: tuple[PayoutBlocker, ...]


async def update_frequency(billing: Billing, *, subject: str, frequency: PayoutFrequency) -> PayoutSettingsView:
    """Choose how often to be paid. The calendar begins anew with a change; the same choice again changes nothing."""
    now = billing.clock.now()

    async def work(connection: Connection) -> PayoutSettingsView:
        creator_id = await add_customer(connection, subject, now)
        await connection.execute(
            "INSERT INTO payout_settings (creator_id, frequency, next_run_at, updated_at) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (creator_id) DO UPDATE SET frequency = $2, next_run_at = $3, updated_at = $4 "
            "WHERE payout_settings.frequency <> $2",
            (creator_id, frequency.value, next_run_at(frequency, now), now),
        )
        minimum_cents = billing.rules.payout_minimum_cents
        return settings_view(await load_standing(connection, creator_id, minimum_cents=minimum_cents))

    view = await billing.database.run(work)
    log.info("payout.frequency_set", frequency=frequency.value)
    return view


def settings_view(found: CreatorStanding) -> PayoutSettingsView:
    """What a creator sees of how it stands."""
    standing = found.standing
    return PayoutSettingsView(
        account_status=payout_account_status(standing.status),
        frequency=found.frequency,
        minimum_cents=standing.minimum_cents,
        next_amount_cents=_next_amount(found),
        next_payout_at=found.next_run_at,
        blockers=blockers(standing),
    )


def _next_amount(found: CreatorStanding) -> int | None:
    """A payout that is being made now is over by then, so it does not stand against the next one."""
    standing = found.standing
    payable = standing.status is AccountStatus.READY and standing.payable_cents >= standing.minimum_cents
    return standing.payable_cents if payable and found.next_run_at is not None else None
