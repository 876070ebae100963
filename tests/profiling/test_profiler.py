import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from recdistill.profiling import profiler as module
from recdistill.profiling.profiler import GIB, Profiler


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; tests set it. Two cores are busy all the while."""
    now = [0.0]
    monkeypatch.setattr(module.time, "process_time", lambda: 2 * now[0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_phases_exclude_what_runs_inside_them(clock: list[float]) -> None:
    profiler = Profiler()
    with profiler.phase("train step"):
        clock[0] += 3
        with profiler.phase("validation"):
            clock[0] += 10
            with profiler.phase("checkpoint"):
                clock[0] += 100
        clock[0] += 4
    clock[0] += 1000  # no phase's
    with profiler.phase("validation"):
        clock[0] += 5
    assert profiler.timings() == {
        "phases": {"train step": 7.0, "validation": 15.0, "checkpoint": 100.0},
        "core_seconds": {"train step": 14.0, "validation": 30.0, "checkpoint": 200.0},
    }


def test_a_phase_that_fails_is_counted_and_closed(clock: list[float]) -> None:
    profiler = Profiler()
    with pytest.raises(ZeroDivisionError), profiler.phase("set-up"):
        clock[0] += 2
        raise ZeroDivisionError
    with profiler.phase("write"):
        clock[0] += 1
    assert profiler.timings()["phases"] == {"set-up": 2.0, "write": 1.0}


def test_a_peak_inside_a_phase_is_seen_though_it_is_gone_at_the_end() -> None:
    size = 256 * 1024**2
    with Profiler() as profiler:
        with profiler.phase("before"):
            pass
        with profiler.phase("peak"):
            block = np.ones(size, dtype=np.uint8)
            time.sleep(5 * module.SAMPLE_SECONDS)
            del block
    phases = profiler.memory()["phases"]
    assert phases["peak"]["peak_rss_gib"] - phases["before"]["peak_rss_gib"] > 0.8 * size / GIB
    assert phases["peak"]["peak_allocated_gib"] is None
    assert phases["peak"]["peak_reserved_gib"] is None
    assert phases["peak"]["peak_device_gib"] is None


def test_the_sampling_thread_ends_with_the_step() -> None:
    with pytest.raises(ZeroDivisionError), Profiler():
        assert any(thread.name == "memory-sampler" for thread in threading.enumerate())
        raise ZeroDivisionError
    assert not any(thread.name == "memory-sampler" for thread in threading.enumerate())


def test_a_step_that_goes_on_adds_times_and_keeps_the_larger_peak(clock: list[float], tmp_path: Path) -> None:
    profiler = Profiler()
    before = {"phases": {"train step": {"peak_rss_gib": 5000.0}, "old": {"peak_rss_gib": 0.5}}}
    times = {"phases": {"train step": 2.5, "old": 1.0}, "core_seconds": {"train step": 5.5, "old": 2.0}}
    profiler.restore(times, before)
    with profiler.phase("train step"):
        clock[0] += 2
    profiler.write(tmp_path)
    assert json.loads((tmp_path / "timings.json").read_text()) == {
        "phases": {"train step": 4.5, "old": 1.0}, "core_seconds": {"train step": 9.5, "old": 2.0},
    }  # fmt: skip
    memory = json.loads((tmp_path / "memory.json").read_text())["phases"]
    assert memory["train step"]["peak_rss_gib"] == 5000.0
    assert memory["old"]["peak_rss_gib"] == 0.5


def test_peaks_of_a_gpu_are_gone_on_from_too() -> None:
    profiler = Profiler()
    peaks = {"peak_rss_gib": 1.0, "peak_allocated_gib": 2.0, "peak_reserved_gib": 3.0, "peak_device_gib": 4.0}
    profiler.restore({"phases": {"train step": 5.0}}, {"phases": {"train step": peaks}})
    assert profiler.memory()["phases"]["train step"] == peaks
    assert profiler.timings()["phases"]["train step"] == 5.0
