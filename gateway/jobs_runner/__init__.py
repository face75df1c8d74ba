"""Keeps the jobs going beside the event worker; one runner for each engine."""

from gateway.jobs_runner.engines import JobEngine, Runner, embedded, pgqueuer
from gateway.jobs_runner.polling import JobRunner

__all__ = ["JobEngine", "JobRunner", "Runner", "embedded", "pgqueuer"]
