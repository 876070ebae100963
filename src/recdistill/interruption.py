"""Ctrl-C and SIGTERM: the first one lets the work reach a point where nothing is lost, the second one ends it at once.

The command line takes both signals with :func:`handled_signals`; a program that imports the package keeps its own
handlers, and everything below is then without effect. Outside of :func:`deferred` the first signal raises
:class:`Interrupted` where it arrives. Inside, it only leaves a note: the work asks for it at its stop points
(:func:`requested`, :func:`stop_point`), saves what it has, and raises there.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TWICE_SECONDS = 0.1
"""A signal so soon after the first one is the same one: a wrapper passes on what the terminal sends to all anyway."""
NOTICE = "recdistill: stopping after this step; the next signal (Ctrl-C) stops at once\n"


class Interrupted(KeyboardInterrupt):
    """The work was stopped by a signal.

    Attributes:
        signal: its number.
        saved: what was saved on the way out, for the last line on stderr; empty: nothing but what was there before.
        at_once: whether it was the second signal, after which nothing is saved.
    """

    def __init__(self, number: int, saved: str = "", at_once: bool = False) -> None:
        super().__init__(f"signal {number}")
        self.signal, self.saved, self.at_once = number, saved, at_once

    @property
    def exit_status(self) -> int:
        """As shells have it: 130 after SIGINT, 143 after SIGTERM."""
        return 128 + self.signal


class _State:
    """What has arrived, and whether it must wait; one for the process, since signals are."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.since = 0.0
        self.depth = 0
        self.quiet = False


_state = _State()


def requested() -> bool:
    """Whether a signal asked for the end of the work."""
    return _state.number is not None


def stop_point(saved: str = "") -> None:
    """End the work here if that was asked for.

    Args:
        saved: what was saved for it, in a person's words.

    Raises:
        Interrupted: it was.
    """
    if _state.number is not None:
        raise Interrupted(_state.number, saved)


def stop_together(stop: bool, saved: str = "") -> None:
    """End the work here if any process was asked to.

    Args:
        stop: whether any was.
        saved: what was saved for it, in a person's words.

    Raises:
        Interrupted: it was.
    """
    if stop:
        stop_point(saved)
        raise Interrupted(signal.SIGTERM, saved)  # It was another one.


@contextmanager
def deferred() -> Iterator[None]:
    """A first signal inside the block waits for a stop point, or for the end of the outermost such block.

    Only the main thread gets signals, so only its blocks defer them.

    Raises:
        Interrupted: a signal came before the block, or in it after its last stop point.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.depth += 1
    try:
        if _state.depth == 1:  # What was raised inside a destructor was lost, and is made up for here.
            stop_point()
        yield
    finally:
        _state.depth -= 1
    if _state.depth == 0:
        stop_point()


@contextmanager
def handled_signals(quiet: bool = False) -> Iterator[None]:
    """Take SIGINT and SIGTERM for the time of the block, where nobody else has: a handler that is not Python's own, or
    an ignored signal (`nohup`, a job in the background of a script), stays. In another thread than the main one, which
    gets no signals, this does nothing.

    Args:
        quiet: say nothing when a signal has to wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] is own[number]]
    _state.__init__()  # type: ignore[misc]
    _state.quiet = quiet
    for number in taken:
        signal.signal(number, _arrived)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
        _state.number = None


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A signal that is taken here ends the process at once inside the block, with nothing said.

    For a call that waits outside Python, where a handler would run only when what it waits for has come.
    """
    main = threading.current_thread() is threading.main_thread()
    taken = [number for number in SIGNALS if main and signal.getsignal(number) is _arrived]
    for number in taken:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, _arrived)


def be_quiet() -> None:
    """Say nothing when a signal has to wait."""
    _state.quiet = True


def _arrived(number: int, frame: FrameType | None) -> None:
    """The handler. Python runs it between two instructions of the main thread."""
    if _state.number is None:
        _state.number, _state.since = number, time.monotonic()
        if _state.depth == 0:
            raise Interrupted(number)
        if not _state.quiet:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, NOTICE.encode())  # sys.stderr may be in use
    elif time.monotonic() - _state.since > TWICE_SECONDS:
        _at_once(number)


def _at_once(number: int) -> NoReturn:
    """End the work here, whatever is lost; a third signal is the system's to answer, which ends the process."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number, at_once=True)
