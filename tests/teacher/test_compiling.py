"""The end to compiling that never ends."""

import signal
import time

import pytest

from recdistill.errors import UserError
from recdistill.teacher.compiling import compile_limit

OVER = r"teacher\.compile: compiling took longer than teacher\.compile_seconds \(0\.05 s\)"


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
