"""Time and peak memory by phase. Phases never mix: inside an inner phase the outer one's clock stands still."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import psutil
import torch

from recdistill.storage.files import write_json
from recdistill.storage.manifest import Memory, PhaseMemory, Timings

GIB = 1024**3
SAMPLE_SECONDS = 0.02
CUDA_PEAKS = ("allocated", "reserved", "device")
"""Bytes that the allocator gave out, that it held, and that were in use on the whole device."""


class Profiler:
    """Seconds and peak memory of each phase of one step; use as a context manager around the step.

    On the CPU a thread reads the process's resident set every 20 ms, and each change of phase reads it too; the peak
    belongs to the innermost phase of that moment. On CUDA the allocator's own peaks are read and reset at each change.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.core_seconds: dict[str, float] = defaultdict(float)
        self.peak_rss: dict[str, int] = defaultdict(int)
        self.peak_cuda: dict[str, dict[str, int]] = {}
        self._cuda = device.startswith("cuda")
        self._process = psutil.Process()
        self._stack: list[str] = []
        self._since, self._cores_since = 0.0, 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._sample, name="memory-sampler", daemon=True)

    def __enter__(self) -> "Profiler":
        """Start the sampling thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the sampling thread."""
        self._stop.set()
        self._thread.join()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's time and memory as `name`; phases nest, and time counts for the innermost alone."""
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def timings(self) -> Timings:
        """`{"phases": {name: seconds}, "core_seconds": {name: seconds}}`.

        Core-seconds are what all threads of this process computed, by the system's own count, so that they tell less
        of what else the machine did; worker processes are not in them.
        """
        return {"phases": _rounded(self.seconds), "core_seconds": _rounded(self.core_seconds)}

    def memory(self) -> Memory:
        """`{"phases": {name: {"peak_rss_gib", "peak_allocated_gib", …}}}`; the CUDA figures are null on the CPU."""
        return {"phases": {name: self._peaks(name) for name in self.peak_rss}}

    def _peaks(self, phase: str) -> PhaseMemory:
        cuda = {kind: round(peak / GIB, 4) for kind, peak in self.peak_cuda.get(phase, {}).items()}
        return {
            "peak_rss_gib": round(self.peak_rss[phase] / GIB, 4),
            "peak_allocated_gib": cuda.get("allocated"),
            "peak_reserved_gib": cuda.get("reserved"),
            "peak_device_gib": cuda.get("device"),
        }

    def write(self, folder: Path) -> None:
        """Write `timings.json` and `memory.json` to `folder`."""
        write_json(folder / "timings.json", self.timings())
        write_json(folder / "memory.json", self.memory())

    def restore(self, timings: Timings, memory: Memory) -> None:
        """Resume from an interrupted run's figures: times add up, peaks keep the larger."""
        for name, seconds in timings["phases"].items():
            self.seconds[name] += seconds
        for name, seconds in timings.get("core_seconds", {}).items():
            self.core_seconds[name] += seconds
        for name, peaks in memory["phases"].items():
            self.peak_rss[name] = max(self.peak_rss[name], int(peaks["peak_rss_gib"] * GIB))
            cuda = {
                "allocated": peaks.get("peak_allocated_gib"),
                "reserved": peaks.get("peak_reserved_gib"),
                "device": peaks.get("peak_device_gib"),
            }
            if found := {kind: int(peak * GIB) for kind, peak in cuda.items() if peak is not None}:
                self._raise_cuda(name, found)

    def _switch(self) -> None:
        """Close the books of the innermost phase up to this moment."""
        if self._cuda:
            torch.cuda.synchronize()
        now, cores = time.perf_counter(), time.process_time()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
            self.core_seconds[self._stack[-1]] += cores - self._cores_since
            self._read_memory()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._since, self._cores_since = time.perf_counter(), time.process_time()

    def _read_memory(self) -> None:
        """Raise the innermost phase's peaks to what is held now."""
        with self._lock:
            if not self._stack:
                return
            name = self._stack[-1]
            self.peak_rss[name] = max(self.peak_rss[name], self._process.memory_info().rss)
            if self._cuda:
                free, total = torch.cuda.mem_get_info()
                peaks = {
                    "allocated": torch.cuda.max_memory_allocated(),
                    "reserved": torch.cuda.max_memory_reserved(),
                    "device": total - free,
                }
                self._raise_cuda(name, peaks)

    def _raise_cuda(self, name: str, peaks: dict[str, int]) -> None:
        old = self.peak_cuda.get(name, {})
        self.peak_cuda[name] = {kind: max(old.get(kind, 0), peak) for kind, peak in peaks.items()}

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._read_memory()


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(spent, 4) for name, spent in seconds.items()}
