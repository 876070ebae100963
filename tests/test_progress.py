import io
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from recdistill import progress
from recdistill.progress import progress_bar, set_up_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    logger = logging.getLogger("recdistill")
    before = logger.handlers[:], logger.propagate, logger.level
    with warnings.catch_warnings():
        yield
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_off_a_terminal_there_are_log_lines_at_intervals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 4.0, 11.0, 15.0, 22.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    set_up_logging(quiet=False)
    with progress_bar("student", 8, "steps") as bar:
        for loss in (4, 3, 2, 1):
            bar.advance(2, note=f"loss {loss}")
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["student: 4/8 steps in 11 s, loss 3", "student: 8/8 steps in 22 s, loss 1"]


def test_quiet_shows_warnings_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_LINE_SECONDS", 0.0)
    set_up_logging(quiet=True)
    logging.getLogger("recdistill").info("as usual")
    logging.getLogger("recdistill").warning("look here")
    with progress_bar("rank", 2, "rows") as bar:
        bar.advance(2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("look here")


def test_on_a_terminal_there_is_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "LOG_LINE_SECONDS", 0.0)
    set_up_logging(quiet=False)
    with progress_bar("student", 2, "steps") as bar:
        bar._bar.delay = 0
        bar.advance(1, "loss 2")
        bar._bar.refresh()
    text = terminal.getvalue()
    assert "student:  50%" in text
    assert "loss 2" in text
    assert "steps in" not in text


def test_track_counts_and_closes_when_the_loop_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[progress.Progress] = []
    closed: list[progress.Progress] = []

    class Watched(progress.Progress):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            made.append(self)

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr(progress, "Progress", Watched)
    with progress_bar("letters", 3, "letters") as bar:
        bar.advance(3)
    assert made[0].done == 3
    with pytest.raises(KeyboardInterrupt), progress_bar("letters", 3, "letters"):
        raise KeyboardInterrupt
    assert closed == made


def test_setting_up_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(quiet=False)
    set_up_logging(quiet=False)
    logging.getLogger("recdistill.rooms").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_only_the_named_library_warnings_are_silenced() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        set_up_logging(quiet=True)
        warnings.warn("`is_gradient_checkpointing` is deprecated and will be removed", FutureWarning, stacklevel=1)
        warnings.warn("another thing is deprecated", FutureWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["another thing is deprecated"]


def shared_lock() -> Any:
    """The lock that all bars of this process share."""
    return progress._Bar.get_lock()  # type: ignore[no-untyped-call]


def test_a_killed_process_stops_the_bars_of_no_other() -> None:
    with progress_bar("parent", 1, "steps"):  # whatever is made at first is there
        pass
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        shared_lock().acquire()
        os.write(writing, b"held")
        time.sleep(60)
        os._exit(1)
    assert os.read(reading, 4) == b"held"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lock = shared_lock()
    assert lock.acquire(timeout=5)
    lock.release()


def test_a_forked_process_has_a_lock_of_its_own() -> None:
    lock = shared_lock()
    reading, writing = os.pipe()
    with lock:
        child = os.fork()
        if not child:
            free = shared_lock() is not lock
            os.write(writing, b"1" if free else b"0")
            os._exit(0)
        os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"
