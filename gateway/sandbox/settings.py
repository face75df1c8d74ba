"""What the local Stripe is told when it starts."""

from dataclasses import dataclass
from pathlib import Path

from gateway.sandbox.catalogue import LATEST_API_VERSION


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Every knob of the local Stripe; the defaults behave like a Stripe test account, only with faster webhook retries.

    Seconds named `*_seconds` that are floats pass in real time (retries, time-outs); the integer ones pass on the
    sandbox's own clock, which `POST /_sandbox/clock/advance` moves.
    """

    business_name: str = "Example Platform"
    country: str = "US"
    api_version: str = LATEST_API_VERSION
    public_base_url: str | None = None
    """Where a browser reaches this server; None takes each request's own address."""
    webhook_url: str | None = None
    """The endpoint that exists from the start, subscribed to every event; None has none."""
    webhook_secret: str = "whsec_sandbox"  # noqa: S105 - the published secret of the development set-up
    webhook_retry_seconds: tuple[float, ...] = (0.5, 2.0, 5.0, 15.0, 60.0)
    webhook_timeout_seconds: float = 10.0
    webhook_parallel_max: int = 20
    stop_grace_seconds: float = 2.0
    due_poll_seconds: float = 1.0
    """How often, in real time, work that fell due is looked for."""
    accepted_keys: tuple[str, ...] = ()
    """API keys that may call; empty takes every well-formed key."""
    portal_default_saved: bool = True
    """As if the operator had saved the portal's settings in the dashboard; False makes Stripe's 400 appear."""
    invoice_draft_seconds: int = 3600
    """How long a renewal's invoice stays a draft before it is finalized and charged."""
    payment_retry_days: tuple[int, ...] = (3, 5, 7)
    after_retries: str = "cancel"
    """What becomes of a subscription when the last retry failed: cancel, unpaid or past_due."""
    delayed_payment_seconds: int = 3 * 86_400
    """When a payment by a card that pays later settles by itself."""
    funds_available_seconds: int = 2 * 86_400
    balance_transaction_seconds: int = 2
    """How long a paid charge has no balance transaction yet, as with Stripe's `automatic_async`; 0 has it at once."""
    webhook_connect_secret: str | None = None
    """The secret of the Connect endpoint that exists from the start beside the other; None takes the same one."""
    v2_account_snapshots: bool = True
    """Whether accounts of the v2 API tell of changes by `account.updated` too, beside their thin events."""
    payout_submit_seconds: int = 3600
    """How long a payout is pending before it is on its way to the bank."""
    payout_arrival_days: int = 2
    refund_reference_seconds: int = 3600
    """When the bank's reference of a refund is known."""
    state_file: Path | None = None
    """Where the state is kept over a restart; None keeps it in memory only."""
    state_poll_seconds: float = 1.0
    """How often, in real time, a state that changed is written."""
    request_log_max: int = 10_000
    fault_hang_seconds: float = 60.0
    """How long a request under a time-out fault is kept waiting before the connection is cut."""
