"""Charges what it reads, a call a line, until it is killed: `python -m tests.faults.charge_server URL`.

A line in is [callId, toolId, consumerId]; a line out is [callId, entryId, replayed], written once it is committed.
"""

import asyncio
import json
import logging
import sys
from functools import partial
from uuid import UUID

import structlog

from gateway.db import open_database
from gateway.domain.charges import Call, Charged
from gateway.domain.clock import SystemClock
from gateway.services.marketplace.charging import charge_calls
from gateway.services.marketplace.queue import ChargeQueue
from tests.services.market_world import open_market

#: Small groups, so that a kill finds some answered, some committed, some under way and some waiting.
GROUP_MAX = 16


async def serve(url: str) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with open_database(url) as database, asyncio.TaskGroup() as tasks:
        billing = open_market(database, clock=SystemClock()).billing
        queue = ChargeQueue(partial(charge_calls, billing), group_max=GROUP_MAX)
        while line := await reader.readline():
            call_id, tool_id, consumer_id = json.loads(line)
            tasks.create_task(answer(queue, Call(call_id, tool_id, UUID(consumer_id))))


async def answer(queue: ChargeQueue, call: Call) -> None:
    outcome = await queue.charge(call)
    assert isinstance(outcome, Charged), outcome
    sys.stdout.write(json.dumps([call.call_id, str(outcome.entry_id), outcome.replayed]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(serve(sys.argv[1]))
