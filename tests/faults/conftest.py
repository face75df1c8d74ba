"""Platforms for faults: a gateway that does not wait long, a clock of ours, and an inbox worked off by hand."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import structlog

from gateway.domain.clock import ManualClock, SystemClock
from tests.support.gateway import START, Platform, open_platform

Tell = Callable[[str], None]
_TOLD = "storm_told"


@pytest.fixture
def quiet() -> Iterator[None]:
    """Ten thousand events would be logged by the local Stripe in this process; nobody reads that."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Say something at the end of the whole run, from whichever process this test ran in."""
    return lambda text: request.node.user_properties.append((_TOLD, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the storms did."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    for report in reports:
        told: str | None = dict(report.user_properties).get(_TOLD) if report.when == "call" else None
        if told is not None:
            terminalreporter.write_line(told)


@pytest.fixture
async def platform(sqlite_url: str) -> AsyncIterator[Platform]:
    """What Stripe does wrong looks the same on each engine, so this one is on SQLite."""
    async with open_platform(sqlite_url, clock=ManualClock(START), with_worker=False, hasty=True) as running:
        yield running


@pytest.fixture
async def each(database_url: str) -> AsyncIterator[Platform]:
    """The same on each engine, for what the inbox does."""
    async with open_platform(database_url, clock=ManualClock(START), with_worker=False, hasty=True) as running:
        yield running


@pytest.fixture
async def by_itself(database_url: str) -> AsyncIterator[Platform]:
    """With its own worker, in real time, on each engine."""
    async with open_platform(database_url, clock=SystemClock(), hasty=True) as running:
        yield running
