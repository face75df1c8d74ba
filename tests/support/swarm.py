"""Many processes doing one thing to one database at the same moment: `python -m tests.support.swarm COUNT ACTION URL`.

They are forked from one that has imported everything, and held at a gate until all are there.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

from gateway.db import Connection, migrate, open_database
from models.migrations import Migration
from tests.db.shop import SHOP

WRITERS: Final = 20
CRASH_STATUS: Final = 9


class EndsTheProcess(tuple[str, ...]):
    """Statements after whose last one the process is gone, as if the power had failed."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        os._exit(CRASH_STATUS)


async def migrate_shop(url: str) -> None:
    await migrate(url, migrations=[SHOP])


async def crash_before_record(url: str) -> None:
    """Runs every statement of the migration, and ends before it is recorded."""
    crashing = Migration(name=SHOP.name, postgres=EndsTheProcess(SHOP.postgres), sqlite=EndsTheProcess(SHOP.sqlite))
    await migrate(url, migrations=[crashing])


def write_often(transactions: int) -> Callable[[str], Awaitable[None]]:
    """Read, insert and update in each transaction, from many tasks at once."""

    async def write(url: str) -> None:
        async def sell(connection: Connection, name: str) -> None:
            await connection.fetch_one("SELECT cents FROM till WHERE code = 'main'")
            await connection.execute("INSERT INTO sale (name, cents) VALUES ($1, 1)", [name])
            await connection.execute("UPDATE till SET cents = cents + 1 WHERE code = 'main'")

        async def writer(seat: int) -> None:
            for number in range(transactions):
                await database.run(partial(sell, name=f"{os.getpid()} {seat} {number}"))

        async with open_database(url) as database:
            await asyncio.gather(*(writer(seat) for seat in range(WRITERS)))

    return write


ACTIONS: Final[dict[str, Callable[[str], Awaitable[None]]]] = {
    "migrate": migrate_shop,
    "crash": crash_before_record,
    "write": write_often(5),
    "write-long": write_often(25),
}


async def _act(action: Callable[[str], Awaitable[None]], url: str) -> None:
    await action(url)


def _child(gate: int, action: Callable[[str], Awaitable[None]], url: str) -> int:
    os.read(gate, 1)  # nothing is ever written: it returns when the parent closes its end
    try:
        asyncio.run(_act(action, url))
    except Exception:  # noqa: BLE001 - told to the parent by text and status
        traceback.print_exc()
        return 1
    return 0


def main(count: int, action: str, url: str) -> int:
    """Returns how many of the processes failed."""
    gate, opener = os.pipe()
    children: list[int] = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            os.close(opener)
            status = _child(gate, ACTIONS[action], url)
            sys.stderr.flush()
            os._exit(status)
        children.append(child)
    os.close(opener)
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
