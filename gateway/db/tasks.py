"""Tasks that carry nothing over from the one that starts them."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import TypeVar

T = TypeVar("T")

# The loop itself holds its tasks only weakly.
_running: set[asyncio.Task[object]] = set()


def spawn(work: Coroutine[object, object, T], *, name: str) -> asyncio.Task[T]:
    """Start a task in a clean context: no context variable of the caller reaches it.

    The caller keeps the task to await or cancel it; a failure nobody asks for is reported by the loop.
    """
    task = asyncio.get_running_loop().create_task(work, name=name, context=Context())
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task
