"""The end to compiling that never ends."""

import re
import signal
import threading
import time

import pytest

from recdistill.errors import UserError
from recdistill.teacher import compiling
from recdistill.teacher.compiling import compile_limit

OVER = r"teacher\.compile: compiling took longer than teacher\.compile_seconds \(0\.05 s\)"


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "GRACE_SECONDS", 0.0)


class Swallower:
    """Whatever is raised while it goes is only printed, as in a hook of the garbage collector."""

    def __del__(self) -> None:
        time.sleep(0.2)


def go_on_swallowing() -> None:
    gone = Swallower()
    del gone


def test_a_block_in_time_is_left_alone() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with compile_limit(5.0):
        pass
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_block_that_asks_is_ended_without_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "GRACE_SECONDS", 60.0)
    asked = 0
    with pytest.raises(UserError, match=OVER), compile_limit(0.05) as limit:
        while asked < 1000:
            limit.check()
            asked += 1
            time.sleep(0.01)
    assert 0 < asked < 1000


def test_a_block_that_was_late_is_told_so_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "GRACE_SECONDS", 60.0)
    with pytest.raises(UserError, match=OVER), compile_limit(0.05):
        time.sleep(0.1)


def test_another_thread_has_a_limit_too() -> None:
    found: list[BaseException] = []

    def late() -> None:
        try:
            with compile_limit(0.05):
                time.sleep(0.1)
        except UserError as error:
            found.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
    assert re.search(OVER, str(found[0]))


def test_a_block_that_hangs_is_ended() -> None:
    with pytest.raises(UserError, match=OVER), compile_limit(0.05):
        time.sleep(30)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_end_that_a_destructor_swallowed_still_ends_the_block() -> None:
    with pytest.raises(UserError, match=OVER), compile_limit(0.05):
        go_on_swallowing()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_end_that_was_swallowed_comes_again() -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match=OVER), compile_limit(0.05):
        go_on_swallowing()
        time.sleep(30)
    assert time.monotonic() - begun < 15
