"""Compiled decoder blocks: how they are made, how many there are, and an end to compiling that never ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from recdistill.errors import UserError

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


RETRY_SECONDS = 1.0
"""Once the time is over, the signal comes again after so long: what is raised while Python runs a destructor or a hook
of its garbage collector is only printed, and the block goes on."""


class _Over(BaseException):
    """The time is over. Not an `Exception`, since the compiler wraps those into its own."""


@contextmanager
def compile_limit(seconds: float) -> Iterator[None]:
    """Stop the block with a :class:`UserError` when it takes longer than `seconds`.

    A compiler that hangs is waited for in the main thread, so a timer's signal gets through to it. In another thread,
    where no signal arrives, there is no limit.

    Raises:
        UserError: the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_over = False

    def over(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal is_over
        is_over = True
        raise _Over

    before = signal.signal(signal.SIGALRM, over)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, RETRY_SECONDS)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if is_over:
            raise _Over
    except _Over as error:
        raise UserError(
            f"teacher.compile: compiling took longer than teacher.compile_seconds ({seconds:g} s); raise it, lower "
            "teacher.compile_buckets, or set teacher.compile: false"
        ) from error
    finally:
        signal.signal(signal.SIGALRM, before)
