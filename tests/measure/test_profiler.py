import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from recdistill.measure import profiler as module
from recdistill.measure.profiler import GIB, Profiler
from recdistill.storage.manifest import Memory, PhaseMemory, Timings


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; tests set it. Two cores are busy all the while."""
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: 2 * now[0])
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
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
    before: Memory = {"phases": {"train step": {"peak_rss_gib": 5000.0}, "old": {"peak_rss_gib": 0.5}}}
    times: Timings = {"phases": {"train step": 2.5, "old": 1.0}, "core_seconds": {"train step": 5.5, "old": 2.0}}
    profiler.restore(times, before)
    with profiler.phase("train step"):
        clock[0] += 2
    profiler.write(tmp_path)
    assert json.loads((tmp_path / "timings.json").read_text()) == {
        "phases": {"train step": 4.5, "old": 1.0},
        "core_seconds": {"train step": 9.5, "old": 2.0},
    }
    memory = json.loads((tmp_path / "memory.json").read_text())["phases"]
    assert memory["train step"]["peak_rss_gib"] == 5000.0
    assert memory["old"]["peak_rss_gib"] == 0.5


def test_peaks_of_a_gpu_are_gone_on_from_too() -> None:
    profiler = Profiler()
    peaks: PhaseMemory = {
        "peak_rss_gib": 1.0,
        "peak_allocated_gib": 2.0,
        "peak_reserved_gib": 3.0,
        "peak_device_gib": 4.0,
    }
    profiler.restore({"phases": {"train step": 5.0}}, {"phases": {"train step": peaks}})
    assert profiler.memory()["phases"]["train step"] == peaks
    assert profiler.timings()["phases"]["train step"] == 5.0


class StubbedCuda:
    """A device whose peaks a test sets; a reset brings them down to what is held."""

    def __init__(self) -> None:
        self.held = self.peak = self.synchronised = 0

    def use(self, peak: int, held: int) -> None:
        self.peak, self.held = max(self.peak, peak), held

    def reset_peak_memory_stats(self) -> None:
        self.peak = self.held

    def synchronize(self) -> None:
        self.synchronised += 1

    def max_memory_allocated(self) -> int:
        return self.peak

    def max_memory_reserved(self) -> int:
        return 2 * self.peak

    def mem_get_info(self) -> tuple[int, int]:
        return 100 * GIB - 3 * self.held, 100 * GIB


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> StubbedCuda:
    stub = StubbedCuda()
    monkeypatch.setattr(torch, "cuda", stub)
    return stub


def gpu_peaks(profiler: Profiler, phase: str) -> list[float | None]:
    found = profiler.memory()["phases"][phase]
    return [found["peak_allocated_gib"], found["peak_reserved_gib"], found["peak_device_gib"]]


def test_peaks_on_a_gpu_belong_to_the_phase_they_were_reached_in(cuda: StubbedCuda) -> None:
    profiler = Profiler("cuda")
    with profiler.phase("train step"):
        cuda.use(5 * GIB, 2 * GIB)
        with profiler.phase("validation"):
            cuda.use(3 * GIB, 1 * GIB)
        cuda.use(4 * GIB, 1 * GIB)
    assert gpu_peaks(profiler, "train step") == [5.0, 10.0, 6.0]
    assert gpu_peaks(profiler, "validation") == [3.0, 6.0, 3.0]
    assert cuda.synchronised == 4, "at each change of phase, so that time is the device's too"


def test_peaks_on_a_gpu_keep_the_larger_of_two_tries(cuda: StubbedCuda) -> None:
    first, second = Profiler("cuda"), Profiler("cuda")
    for profiler, peak in ((first, 7), (second, 4)):
        with profiler.phase("train step"):
            cuda.use(peak * GIB, 0)
    for profiler, other in ((first, second), (second, first)):
        profiler.restore(other.timings(), other.memory())
        assert gpu_peaks(profiler, "train step")[:2] == [7.0, 14.0]
