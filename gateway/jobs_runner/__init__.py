"""Keeps the jobs going beside the event worker; one runner for each engine."""

from gateway.jobs_runner.census import COUNT_SECONDS_MIN
from gateway.jobs_runner.engines import JobEngine, Runner, embedded, pgqueuer
from gateway.jobs_runner.polling import JobRunner

__all__ = ["COUNT_SECONDS_MIN", "JobEngine", "JobRunner", "Runner", "embedded", "pgqueuer"]
