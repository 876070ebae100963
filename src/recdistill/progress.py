"""Progress that a person can watch: a bar on a terminal, plain log lines elsewhere, nothing but warnings when quiet."""

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from tqdm import tqdm

from recdistill.printable import LogLines

logger = logging.getLogger("recdistill")

LOG_LINE_SECONDS = 10.0


def set_up_logging(quiet: bool) -> None:
    """Send the package's log lines to stderr: all of them, or warnings only when `quiet`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines())
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    _quieten_libraries()


def _quieten_libraries() -> None:
    """Silence, one by one, what libraries say that a person can do nothing about."""
    # PEFT asks transformers for a property by its old name.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    # bitsandbytes, which PEFT imports where it is installed, misses an optional kernel for 4-bit layers on some CPUs.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    _leave_tensorboard_errors_to_the_main_thread()


@cache
def _leave_tensorboard_errors_to_the_main_thread() -> None:
    """TensorBoard writes in a thread and raises what goes wrong there (a full disk) in the main thread once more."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        of_tensorboard = type(failure.thread).__module__.startswith("tensorboard.")
        if not (of_tensorboard and isinstance(failure.exc_value, OSError)):
            before(failure)

    threading.excepthook = hook


class _Bar(tqdm):  # type: ignore[type-arg]
    """A bar with a lock of its own process.

    tqdm's own lock is shared by all processes that are forked from one: one of them that is killed while it draws would
    stop the bars of all others, for ever.
    """


def _own_lock() -> None:
    _Bar.set_lock(threading.RLock())


_own_lock()
os.register_at_fork(after_in_child=_own_lock)


class Progress:
    """Counts work done towards `total`; made by :func:`progress_bar`."""

    def __init__(self, description: str, total: int, unit: str) -> None:
        self.description, self.total, self.unit, self.done = description, total, unit, 0
        self._enabled = logger.isEnabledFor(logging.INFO)
        terminal = sys.stderr.isatty()
        self._bar = _Bar(
            total=total, desc=description, unit=unit, disable=not (self._enabled and terminal), leave=False, delay=0.5
        )
        self._lines = self._enabled and not terminal
        self._started = self._last_line = time.perf_counter()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units as done; `note` (a loss, a metric) is shown behind the count."""
        self.done += count
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(count)
        now = time.perf_counter()
        if self._lines and now - self._last_line >= LOG_LINE_SECONDS:
            self._last_line = now
            elapsed = now - self._started
            text = f"{self.done}/{self.total} {self.unit} in {elapsed:.0f} s"
            logger.info("%s: %s%s", self.description, text, f", {note}" if note else "")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


@contextmanager
def progress_bar(description: str, total: int, unit: str) -> Iterator[Progress]:
    """A :class:`Progress` that is closed at the end of the block."""
    progress = Progress(description, total, unit)
    try:
        yield progress
    finally:
        progress.close()
