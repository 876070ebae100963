"""Work of more than a few milliseconds: on threads beside the event loop, and never more of it than can be done."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from recdistill.web.limits import SLOW_WAITING
from recdistill.web.problems import Problem

T = TypeVar("T")
THREADS = 2
"""So that a search need not wait for a large batch; the model's own work is one thread's."""


class SlowWork:
    """Two threads and a queue of limited length.

    Args:
        waiting: pieces of work that may wait or run.
    """

    def __init__(self, waiting: int = SLOW_WAITING) -> None:
        self.waiting, self.held = waiting, 0
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`. Where the caller gives up, work that has not begun is dropped.

        Raises:
            Problem: too much waits.
        """
        if self.held >= self.waiting:
            raise Problem("busy", "too many slow requests wait; try again in a second", {"Retry-After": "1"})
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="slow")
        self.held += 1
        future = self._threads.submit(work)
        future.add_done_callback(_release(self, asyncio.get_running_loop()))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what runs and drop what waits."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _release(work: SlowWork, loop: asyncio.AbstractEventLoop) -> Callable[[object], None]:
    def done() -> None:
        work.held -= 1

    def callback(_future: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(done)

    return callback
