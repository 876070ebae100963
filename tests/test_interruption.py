"""The first signal and the second, in the places where they may arrive."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from recdistill import interruption
from recdistill.interruption import Interrupted, deferred, handled_signals, requested, stop_point
from recdistill.storage.files import clear_temporary


def send(number: int = signal.SIGINT) -> None:
    signal.raise_signal(number)


@pytest.fixture(autouse=True)
def _no_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "TWICE_SECONDS", -1.0)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_outside_of_long_work_the_first_signal_ends_it_where_it_stands(number: int, status: int) -> None:
    with pytest.raises(Interrupted) as found, handled_signals():
        send(number)
        pytest.fail("the work went on")
    assert found.value.exit_status == status
    assert not requested(), "nothing is left for who comes after"


def test_deferred_work_goes_on_to_its_stop_point_and_says_what_it_saved(capfd: pytest.CaptureFixture[str]) -> None:
    steps = 0
    with pytest.raises(Interrupted) as found, handled_signals(), deferred(), deferred():
        send()
        steps += 1
        stop_point("one step")
        steps += 1
    assert (steps, found.value.saved, found.value.at_once) == (1, "one step", False)
    assert capfd.readouterr().err == interruption.NOTICE


def test_deferred_work_without_a_stop_point_ends_with_its_block() -> None:
    steps = 0
    with handled_signals(quiet=True):
        with pytest.raises(Interrupted), deferred():
            with deferred():
                send()
            steps += 1  # only the outermost block counts
        with pytest.raises(Interrupted), deferred():
            pytest.fail("a signal that was lost is made up for before other work begins")
    assert steps == 1


def test_a_second_signal_ends_deferred_work_at_once_and_a_third_is_the_systems() -> None:
    with pytest.raises(Interrupted) as found, handled_signals(quiet=True), deferred():
        send()
        try:
            send(signal.SIGTERM)
        finally:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert (found.value.exit_status, found.value.at_once) == (143, True)


def test_a_signal_that_a_wrapper_passes_on_once_more_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "TWICE_SECONDS", 60.0)
    with pytest.raises(Interrupted) as found, handled_signals(quiet=True), deferred():
        send()
        send()
        stop_point("all")
    assert found.value.saved == "all"


def test_handlers_are_put_back_and_others_are_left_alone() -> None:
    def own(*_: Any) -> None:
        """Of a program that uses the package."""

    before = signal.signal(signal.SIGTERM, own)
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handled_signals():
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "as nohup has it"
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, ignored)
    with handled_signals():
        assert signal.getsignal(signal.SIGINT) is not ignored
    assert signal.getsignal(signal.SIGINT) is ignored
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_is_installed_by_the_work_itself_or_in_another_thread() -> None:
    handlers = [signal.getsignal(number) for number in interruption.SIGNALS]
    found: list[bool] = []

    def elsewhere() -> None:
        with handled_signals(), deferred():
            stop_point()
            found.append([signal.getsignal(number) for number in interruption.SIGNALS] == handlers)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    with deferred():
        assert [signal.getsignal(number) for number in interruption.SIGNALS] == handlers
    assert found == [True]


def test_halves_of_files_that_a_killed_process_left_are_removed(tmp_path: Path) -> None:
    names = [".checkpoint.safetensors.123.tmp", "below/.ranks.npy.7.tmp", "kept.tmp", ".kept", "below/.a.b.tmp"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clear_temporary(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(names[2:])
