"""Compiled decoder blocks: how they are made, how many there are, and an end to compiling that never ends."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from recdistill.errors import UserError
from recdistill.interruption import deferred, stop_point

GRAPHS_AT_MOST = 64
"""Compiled forms of a block that torch may keep; beyond its own limit of 8 it would run the rest uncompiled."""


def compiled(function: Callable[..., Any], cuda_graphs: bool) -> Callable[..., Any]:
    """`function` through torch.compile, once for each shape of its arguments.

    Args:
        function: what is compiled; one compiled form serves all functions of the same code on like modules.
        cuda_graphs: replay it as a CUDA graph.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS_AT_MOST)
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    mode = "reduce-overhead" if cuda_graphs else None
    return torch.compile(function, dynamic=False, mode=mode)


def graphs_made() -> int:
    """Graphs that torch has compiled in this process so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def cuda_graphs_made() -> int:
    """CUDA graphs that are replayed in this process; 0 where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        return 0
    from torch._inductor.cudagraph_trees import get_manager

    manager = get_manager(torch.cuda.current_device(), create_if_none_exists=False)
    return 0 if manager is None else len(list(manager.get_roots()))


GRACE_SECONDS = 60.0
"""How long a single compilation may go on beyond the limit before it is broken off in the middle."""
RETRY_SECONDS = 1.0
"""Once it is broken off, the signal comes again after so long: what is raised while Python runs a destructor or a hook
of its garbage collector is only printed, and the block goes on."""


class _Over(BaseException):
    """The time is over. Not an `Exception`, since the compiler wraps those into its own."""


class CompileLimit:
    """An end to a block of compilations, asked for between them.

    Args:
        seconds: how long the block may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    def check(self) -> None:
        """Call it between compilations.

        Raises:
            UserError: the time is over.
            Interrupted: a signal came in the meantime.
        """
        stop_point()
        if time.monotonic() > self._until:
            raise self.error()

    def error(self) -> UserError:
        """What is said of a block that took too long."""
        return UserError(
            f"teacher.compile: compiling took longer than teacher.compile_seconds ({self.seconds:g} s); raise it, "
            "lower teacher.compile_buckets, or set teacher.compile: false"
        )


@contextmanager
def compile_limit(seconds: float) -> Iterator[CompileLimit]:
    """Stop the block with a :class:`UserError` when it takes longer than `seconds`.

    Ctrl-C and SIGTERM wait for the end of a compilation as well.

    The block asks for its end between compilations (:meth:`CompileLimit.check`), and once more when it ends. One that
    hangs never asks: `GRACE_SECONDS` later a timer's signal breaks it off, since a compiler is waited for in the main
    thread. That is the last resort, because an exception in the middle of the compiler can take the process with it.
    In another thread, where no signal arrives, only the asking is left.

    Raises:
        UserError: the time is over.
    """
    limit = CompileLimit(seconds)
    if threading.current_thread() is not threading.main_thread():
        yield limit
        limit.check()
        return
    with deferred(), _broken_off_after(limit):
        yield limit


@contextmanager
def _broken_off_after(limit: CompileLimit) -> Iterator[None]:
    """The timer of :func:`compile_limit`."""

    def over(number: int, frame: FrameType | None) -> NoReturn:
        raise _Over

    before = signal.signal(signal.SIGALRM, over)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, limit.seconds + GRACE_SECONDS, RETRY_SECONDS)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        limit.check()
    except _Over as error:
        raise limit.error() from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # Again: the signal may have come between the two lines above.
        signal.signal(signal.SIGALRM, before)
