"""Stores events while the log of the SQLite file is checkpointed all the time, until it is killed.

`python -m tests.faults.checkpoint_writer URL NAME`; each line out is the id of an event that is stored.
"""

import asyncio
import logging
import sqlite3
import sys
import threading
from datetime import UTC, datetime

import structlog

from gateway.db import open_database
from gateway.services.events.inbox import store_event
from gateway.stripe_service import WebhookEvent

PADDING_CHARACTERS = 3_000


def checkpoint_for_ever(path: str) -> None:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    while True:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def store_for_ever(url: str, name: str) -> None:
    number = 0
    async with open_database(url) as database:
        while True:
            number += 1
            now = datetime.now(UTC)
            event = WebhookEvent(
                event_id=f"evt_{name}_{number}",
                type="plan.created",
                created_at=now,
                api_version=None,
                livemode=False,
                account=None,
                object_id=f"plan_{number}",
                object_type="plan",
                payload="{" + " " * PADDING_CHARACTERS + "}",
            )
            assert await store_event(database, event, now=now)
            sys.stdout.write(f"{event.event_id}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    threading.Thread(target=checkpoint_for_ever, args=(sys.argv[1].removeprefix("sqlite://"),), daemon=True).start()
    asyncio.run(store_for_ever(sys.argv[1], sys.argv[2]))
