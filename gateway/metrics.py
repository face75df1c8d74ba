"""What is counted and timed, in one list: the names that dashboards and alerts are built on."""

import math
from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.services.billing import EventCount
from gateway.stripe_service import ACCOUNT_EVENTS, CONNECT_EVENTS, THIN_EVENTS

#: The label of every event type that we do not subscribe to.
OTHER_TYPE: Final = "other"
_KNOWN_TYPES: Final = frozenset((*ACCOUNT_EVENTS, *CONNECT_EVENTS, *THIN_EVENTS))

#: Seconds: from a cached read to a Stripe call that was tried three times.
_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def known_type(event_type: str) -> str:
    """A label from a closed set, whatever Stripe invents next."""
    return event_type if event_type in _KNOWN_TYPES else OTHER_TYPE


class Metrics:
    """Every number of one gateway, in a registry of its own, so that several can live in one process.

    Label values come from closed sets (a route's template, an enum, an event type that we know), never from what a
    stranger typed: each new value is a new series that is kept for ever.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "gateway_http_requests", "HTTP requests answered.", ["route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "gateway_http_request_seconds",
            "Seconds from a request's head to its answer.",
            ["route"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self._operations = Counter(
            "gateway_graphql_operations", "GraphQL operations executed.", ["kind", "outcome"], registry=registry
        )
        self._add_events(registry)
        self._oldest_event_seconds = Gauge(
            "gateway_stripe_events_oldest_seconds",
            "Age of the oldest stored event that is not applied; 0 when there is none, NaN where no worker looks.",
            registry=registry,
        )
        self._oldest_event_seconds.set(math.nan)
        self._stripe_calls = Histogram(
            "gateway_stripe_call_seconds",
            "Seconds that a call to Stripe took, retries included.",
            ["call", "outcome"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self._checkouts_settled = Counter(
            "gateway_checkouts_settled", "Checkouts whose payment was applied.", ["mode"], registry=registry
        )
        self._ledger_entries = Counter(
            "gateway_ledger_entries", "Ledger entries recorded.", ["kind"], registry=registry
        )
        self._calls = Counter(
            "gateway_tool_calls", "Calls of paid tools asked to be charged.", ["outcome"], registry=registry
        )
        self._database_retries = Counter(
            "gateway_database_retries", "Transactions run again after losing a race.", ["reason"], registry=registry
        )
        self._add_books(registry)
        self._add_jobs(registry)
        self._add_inbox(registry)

    def _add_books(self, registry: CollectorRegistry) -> None:
        self._books_faults = Gauge(
            "gateway_books_faults",
            "Faults that the last check of the books found, or the one under way.",
            registry=registry,
        )
        self._books_faults.set(float("nan"))  # nobody knows before a check has ended
        self._books_checked_at = Gauge(
            "gateway_books_checked_at", "When the books were last checked, in Unix seconds.", registry=registry
        )
        self._differences = Gauge(
            "gateway_reconciliation_differences",
            "Differences between the ledger and Stripe that are not resolved.",
            ["kind"],
            registry=registry,
        )
        self._reconciled_until = Gauge(
            "gateway_reconciled_until",
            "Until when the ledger was compared with Stripe, in Unix seconds.",
            registry=registry,
        )
        self._oldest_release_seconds = Gauge(
            "gateway_oldest_release_seconds",
            "Seconds by which the oldest earning that should be available is late.",
            registry=registry,
        )

    def _add_jobs(self, registry: CollectorRegistry) -> None:
        self._job_rounds = Counter(
            "gateway_job_rounds", "Rounds of jobs, by how they ended.", ["kind", "end"], registry=registry
        )
        self._jobs_waiting = Gauge("gateway_jobs_waiting", "Jobs that wait.", ["kind"], registry=registry)
        self._jobs_dead = Gauge("gateway_jobs_dead", "Jobs given up.", ["kind"], registry=registry)
        self._jobs_late_seconds = Gauge(
            "gateway_jobs_late_seconds",
            "Seconds by which the oldest job that should be done is late.",
            ["kind"],
            registry=registry,
        )

    def _add_events(self, registry: CollectorRegistry) -> None:
        self._events_received = Counter(
            "gateway_stripe_events_received", "Webhook events stored or known already.", ["type"], registry=registry
        )
        self._events_refused = Counter(
            "gateway_stripe_events_refused", "Webhook deliveries answered with an error.", ["code"], registry=registry
        )
        self._events_applied = Counter(
            "gateway_stripe_events_applied", "Stored events whose work is done.", ["type"], registry=registry
        )
        self._events_ignored = Counter(
            "gateway_stripe_events_ignored", "Stored events that were not to be applied.", ["type"], registry=registry
        )
        self._events_failed = Counter(
            "gateway_stripe_events_failed",
            "Tries of stored events that ended with another try.",
            ["type"],
            registry=registry,
        )
        self._events_dead = Counter(
            "gateway_stripe_events_dead", "Stored events given up after too many tries.", ["type"], registry=registry
        )

    def _add_inbox(self, registry: CollectorRegistry) -> None:
        self._events_found = Counter(
            "gateway_stripe_events_gap_filled",
            "Events that Stripe listed and had not delivered.",
            ["type"],
            registry=registry,
        )
        self._events_waiting = Gauge(
            "gateway_stripe_events_waiting",
            "Stored events that are not applied yet, on all nodes.",
            ["type"],
            registry=registry,
        )
        self._events_dead_now = Gauge(
            "gateway_stripe_events_given_up",
            "Stored events that wait for a person, on all nodes.",
            ["type"],
            registry=registry,
        )
        self._events_waiting_seconds = Gauge(
            "gateway_stripe_events_waiting_seconds",
            "Age of the oldest stored event that is not applied yet, on all nodes.",
            ["type"],
            registry=registry,
        )

    def request_answered(self, *, route: str, status: int, seconds: float) -> None:
        """One HTTP answer; `route` is the template of the route, not the path that was asked for."""
        self._requests.labels(route, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def operation_executed(self, *, kind: str, outcome: str) -> None:
        """One GraphQL operation: `query` or `mutation`; `ok`, or `error` when the answer has top-level errors.

        A refusal of the business is data, and so `ok`.
        """
        self._operations.labels(kind, outcome).inc()

    def event_received(self, *, event_type: str) -> None:
        self._events_received.labels(event_type).inc()

    def event_refused(self, *, code: str) -> None:
        self._events_refused.labels(code).inc()

    def event_applied(self, *, event_type: str) -> None:
        self._events_applied.labels(event_type).inc()

    def event_ignored(self, *, event_type: str) -> None:
        self._events_ignored.labels(event_type).inc()

    def event_failed(self, *, event_type: str) -> None:
        self._events_failed.labels(event_type).inc()

    def event_died(self, *, event_type: str) -> None:
        self._events_dead.labels(event_type).inc()

    def event_gap_filled(self, *, event_type: str) -> None:
        self._events_found.labels(known_type(event_type)).inc()

    def events_counted(self, counts: Sequence[EventCount], *, now: datetime) -> None:
        """What the inbox holds now. Every known type has its number, so that an alarm sees it fall to 0 again."""
        waiting, dead, ages = Counts[str](), Counts[str](), Counts[str]()
        for count in counts:
            label = known_type(count.type)
            waiting[label] += count.waiting
            dead[label] += count.dead
            if count.oldest_at is not None:
                ages[label] = max(ages[label], int((now - count.oldest_at).total_seconds()))
        for label in (*sorted(_KNOWN_TYPES), OTHER_TYPE):
            self._events_waiting.labels(label).set(waiting[label])
            self._events_dead_now.labels(label).set(dead[label])
            self._events_waiting_seconds.labels(label).set(ages[label])

    def oldest_event_waits(self, *, seconds: float) -> None:
        self._oldest_event_seconds.set(seconds)

    def stripe_called(self, *, call: str, outcome: str, seconds: float) -> None:
        """One call by its name in the log (`checkout.sessions.create`) and how it ended; see CallObserver."""
        self._stripe_calls.labels(call, outcome).observe(seconds)

    def checkout_settled(self, *, mode: str) -> None:
        self._checkouts_settled.labels(mode).inc()

    def ledger_entry_recorded(self, *, kind: str) -> None:
        self._ledger_entries.labels(kind).inc()

    def calls_charged(self, *, charged: int, refused: int) -> None:
        """Calls of one transaction; replays count as neither."""
        self._calls.labels("charged").inc(charged)
        self._calls.labels("refused").inc(refused)

    def books_checked(self, *, faults: int, at: datetime) -> None:
        """What the last check found, on whichever node it was made."""
        self._books_faults.set(faults)
        self._books_checked_at.set(at.timestamp())

    def oldest_release_waits(self, *, seconds: float) -> None:
        self._oldest_release_seconds.set(seconds)

    def differences_open(self, *, by_kind: Mapping[str, int]) -> None:
        """How many differences are open, by the value of a DifferenceKind; every kind is there."""
        for kind, differences in by_kind.items():
            self._differences.labels(kind).set(differences)

    def reconciled_until(self, *, at: datetime) -> None:
        """The first moment that was not compared with Stripe yet."""
        self._reconciled_until.set(at.timestamp())

    def job_ended(self, *, kind: str, end: str) -> None:
        """One round of a job, by the value of a JobEnd."""
        self._job_rounds.labels(kind, end).inc()

    def jobs_counted(self, *, kind: str, waiting: int, dead: int, late_seconds: float) -> None:
        """How the jobs of one kind stand in the database, whichever node does them."""
        self._jobs_waiting.labels(kind).set(waiting)
        self._jobs_dead.labels(kind).set(dead)
        self._jobs_late_seconds.labels(kind).set(late_seconds)

    def transaction_retried(self, *, reason: str) -> None:
        """One more try of a transaction, by the value of a ContentionReason."""
        self._database_retries.labels(reason).inc()
