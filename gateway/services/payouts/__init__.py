"""Paying creators: asked for or by the calendar, reserved in the ledger, sent to Stripe once (docs/payouts.md)."""

from gateway.services.payouts.advance import advance_payout, do_payout_job
from gateway.services.payouts.banking import settle_bank_payout
from gateway.services.payouts.following import follow_bank_payouts
from gateway.services.payouts.line import wake_for_balance
from gateway.services.payouts.preferences import PayoutSettingsView, settings_view, update_frequency
from gateway.services.payouts.reading import PayoutPage, PayoutView
from gateway.services.payouts.reserve import PAYOUT_JOB, request_payout
from gateway.services.payouts.schedules import SCHEDULES_AT_ONCE_MAX, run_due_schedules
from gateway.services.payouts.transfers import settle_transfer
from gateway.services.payouts.unfinished import cancel_payout, wake_overdue

__all__ = [
    "PAYOUT_JOB",
    "SCHEDULES_AT_ONCE_MAX",
    "PayoutPage",
    "PayoutSettingsView",
    "PayoutView",
    "advance_payout",
    "cancel_payout",
    "do_payout_job",
    "follow_bank_payouts",
    "request_payout",
    "run_due_schedules",
    "settings_view",
    "settle_bank_payout",
    "settle_transfer",
    "update_frequency",
    "wake_for_balance",
    "wake_overdue",
]
