"""What one customer can read, by the statement that answers its queries."""

from uuid import UUID

from gateway.services.billing import Billing
from gateway.services.payouts import PayoutSettingsView, PayoutView, settings_view
from gateway.services.snapshot import Need, Snapshot, load_snapshot


async def payout_settings(billing: Billing, subject: str) -> PayoutSettingsView:
    """How a creator is paid, and every reason why no payout can be made now."""
    snapshot = await _snapshot(billing, subject, Need(standing=True))
    assert snapshot.standing is not None
    return settings_view(snapshot.standing)


async def find_payout(billing: Billing, subject: str, payout_id: UUID) -> PayoutView | None:
    """One payout of this creator; somebody else's looks like none."""
    snapshot = await _snapshot(billing, subject, Need(payout_ids=frozenset({payout_id})))
    return snapshot.named_payouts.get(payout_id)


async def _snapshot(billing: Billing, subject: str, need: Need) -> Snapshot:
    return await load_snapshot(
        billing.database,
        subject=subject,
        need=need,
        today=billing.clock.now().date(),
        payout_minimum_cents=billing.rules.payout_minimum_cents,
    )
