"""A worker for which time passes faster: `python -m tests.faults.payout_storm_worker ORIGIN RATE`.

It is `gateway worker` in all but the clock, so that the ends of leases and pauses come soon.
"""

import asyncio
import os
import sys
from datetime import datetime

from gateway.app import open_gateway
from gateway.cli.serving import run, until_stopped
from gateway.domain.clock import Clock
from gateway.logs import configure_logs
from gateway.settings import load_settings
from tests.support.quick_clock import QuickClock


async def work(clock: Clock) -> int:
    settings = load_settings(os.environ)
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    async with open_gateway(settings, clock=clock) as gateway:
        workers = (gateway.worker(), gateway.chores(), gateway.job_runner())
        working = [asyncio.create_task(one.run()) for one in workers]
        await until_stopped()
        for one in workers:
            one.stop()
        await asyncio.gather(*working)
    return 0


if __name__ == "__main__":
    sys.exit(run(work(QuickClock(datetime.fromisoformat(sys.argv[1]), rate=int(sys.argv[2])))))
