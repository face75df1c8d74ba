"""The pool hands out each thing once, keeps its bound, and loses nothing to those who give up."""

import asyncio
import random

import pytest

from gateway.db import DatabaseUnavailable
from gateway.db.pool import Pool, PoolCounts


class Thing:
    """Something to hand out; counts its users to catch it being handed out twice."""

    def __init__(self) -> None:
        self.broken = False
        self.disposed = False
        self.users = 0


class Shop:
    """A pool and everything it ever opened."""

    def __init__(self, *, size_max: int = 3, acquire_seconds_max: float = 10.0) -> None:
        self.opened: list[Thing] = []
        self.openings_fail = False
        self.pool = Pool(
            open_one=self._open,
            usable=lambda thing: not thing.broken,
            dispose=self._dispose,
            size_max=size_max,
            acquire_seconds_max=acquire_seconds_max,
        )

    async def _open(self) -> Thing:
        await asyncio.sleep(0)
        if self.openings_fail:
            raise DatabaseUnavailable("down")
        self.opened.append(Thing())
        return self.opened[-1]

    def _dispose(self, thing: Thing) -> None:
        assert not thing.disposed
        thing.disposed = True


async def test_thing_given_back_is_handed_out_again() -> None:
    shop = Shop()
    first = await shop.pool.acquire()
    shop.pool.release(first)
    assert await shop.pool.acquire() is first
    assert shop.pool.counts == PoolCounts(open=1, idle=0, waiting=0)


async def test_broken_thing_is_dropped_and_its_place_goes_to_the_next_who_waits() -> None:
    shop = Shop(size_max=1)
    first = await shop.pool.acquire()
    waiting = asyncio.create_task(shop.pool.acquire())
    await asyncio.sleep(0)
    first.broken = True
    shop.pool.release(first)
    second = await waiting
    assert first.disposed
    assert second is not first
    assert shop.pool.counts == PoolCounts(open=1, idle=0, waiting=0)


async def test_thing_that_broke_while_idle_is_not_handed_out() -> None:
    shop = Shop()
    first = await shop.pool.acquire()
    shop.pool.release(first)
    first.broken = True
    assert await shop.pool.acquire() is not first
    assert shop.pool.counts.open == 1


async def test_failed_opening_leaves_its_place_to_others() -> None:
    shop = Shop(size_max=1)
    shop.openings_fail = True
    results = await asyncio.gather(*(shop.pool.acquire() for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 3
    shop.openings_fail = False
    assert isinstance(await shop.pool.acquire(), Thing)


async def test_waiting_ends_with_unavailable() -> None:
    shop = Shop(size_max=1, acquire_seconds_max=0.01)
    first = await shop.pool.acquire()
    with pytest.raises(DatabaseUnavailable, match="All 1 connections stayed busy"):
        await shop.pool.acquire()
    shop.pool.release(first)
    assert await shop.pool.acquire() is first


async def test_thing_given_to_one_who_is_cancelled_in_that_moment_is_not_lost() -> None:
    shop = Shop(size_max=1)
    first = await shop.pool.acquire()
    waiting = asyncio.create_task(shop.pool.acquire())
    await asyncio.sleep(0)
    shop.pool.release(first)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await shop.pool.acquire() is first


async def test_closing_refuses_those_who_wait_and_disposes_what_comes_back() -> None:
    shop = Shop(size_max=1)
    first = await shop.pool.acquire()
    waiting = asyncio.create_task(shop.pool.acquire())
    await asyncio.sleep(0)
    assert await shop.pool.drain(seconds_max=0.01) == []
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await waiting
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await shop.pool.acquire()
    shop.pool.release(first)
    assert first.disposed
    assert shop.pool.counts == PoolCounts(open=0, idle=0, waiting=0)


@pytest.mark.parametrize("seed", range(5))
async def test_crowd_that_gives_up_at_random_leaves_the_pool_whole(seed: int) -> None:
    dice = random.Random(seed)
    shop = Shop(size_max=3)

    async def use() -> None:
        thing = await shop.pool.acquire()
        thing.users += 1
        try:
            assert thing.users == 1
            await asyncio.sleep(dice.choice([0, 0, 0.001]))
        finally:
            thing.users -= 1
            thing.broken = dice.random() < 0.1
            shop.pool.release(thing)

    async def use_or_give_up() -> None:
        task = asyncio.create_task(use())
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        if dice.random() < 0.5:
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async with asyncio.timeout(60):
        await asyncio.gather(*(use_or_give_up() for _ in range(400)))
    counts = shop.pool.counts
    assert counts.open == counts.idle <= 3
    assert counts.waiting == 0
    assert sum(not thing.disposed for thing in shop.opened) == counts.open
