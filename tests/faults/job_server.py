"""Does jobs until it is killed: `python -m tests.faults.job_server URL ENGINE`.

It writes a line when it may be asked to stop, and one for each effect once it is committed.

Each effect is a line in a table that nothing but the fence of its job keeps from being written twice.
"""

import asyncio
import logging
import random
import signal
import sys
from typing import cast

import structlog

from gateway.services.billing import Billing
from gateway.services.jobs import Done, Job, JobOutcome, Later
from tests.services.jobs_world import Engine, open_jobs, write_effect

#: Long enough for a kill to find jobs before, in and after their effect.
WORK_SECONDS_MAX = 0.02
#: Among so many rounds one only waits.
WAITS_ONE_IN = 20


async def handle(billing: Billing, job: Job) -> JobOutcome:
    await asyncio.sleep(random.random() * WORK_SECONDS_MAX)
    if random.randrange(WAITS_ONE_IN) == 0:
        return Later(billing.clock.now(), "a moment")
    await billing.database.run(lambda connection: write_effect(billing, connection, job))
    _say(job.key)
    await asyncio.sleep(random.random() * WORK_SECONDS_MAX)
    return Done()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def serve(url: str, engine: Engine) -> None:
    async with open_jobs(url, engine) as world:
        runner = world.runner(handle)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runner.stop)
        _say("ready")
        await runner.run()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(sys.argv[1], cast("Engine", sys.argv[2])))
