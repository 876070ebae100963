"""How fast the store of teacher outputs is written and read, and that memory does not grow with its rows.

    python benchmarks/export.py

For each number of rows a fresh process exports a teacher that costs nothing: scores drawn at random over 1,682 items,
of which the best 20 are kept with a state of 128 numbers. Prints one line of JSON for each: rows a second of the whole
export and of the store alone (rows handed over ready), bytes a row on disk, the peak of the resident set, how much of
it the export added, and reading by key in random order.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from recdistill.config import ExportConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Windows, training_windows
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.distill.writer import OutputsWriter
from recdistill.measure.context import RunContext
from recdistill.measure.evidence import TokenCount
from recdistill.measure.profiler import Profiler

ROWS = (100_000, 1_000_000)
ITEMS, STATE_DIM, TOP_K, EVENTS_PER_USER, BATCH = 1682, 128, 20, 103, 32
PRINTS = Fingerprints("synthetic", "synthetic", "free")
MIB = 1024**2


class FreeTeacher:
    """Random scores for the targets of each window."""

    state_dim = STATE_DIM
    growing = None
    inputs_per_prompt = None

    def __init__(self, data: PreparedData) -> None:
        self.data, self.generator = data, torch.Generator().manual_seed(0)
        self.read = TokenCount()

    def export_windows(self) -> Windows:
        """All training targets."""
        return training_windows(self.data, EVENTS_PER_USER, "all")

    def prompt_lengths(self, windows: Windows) -> np.ndarray:
        """The windows' lengths."""
        return windows.lengths.astype(np.int64)

    def readers(self, windows: Windows) -> np.ndarray:
        """One for all."""
        return np.zeros(len(windows), dtype=np.int64)

    def predict(
        self, windows: Windows, rows: np.ndarray, full_rows: int | None = None
    ) -> tuple["TensorKeys", torch.Tensor, torch.Tensor]:
        """Keys, states and scores."""
        chosen = windows.take(rows)
        users = np.repeat(chosen.users, chosen.num_targets)
        positions = np.concatenate(
            [np.arange(f, e + 1) for f, e in zip(chosen.first_targets, chosen.ends, strict=True)]
        )
        length = int(chosen.lengths.max())
        self.read.add(int(chosen.lengths.sum()), len(rows), length, len(rows), len(users))
        scores = torch.rand(len(users), ITEMS + 1, generator=self.generator)
        return TensorKeys(users, positions), scores[:, :STATE_DIM].clone(), scores

    def trial(self, windows: Windows, rows: np.ndarray) -> object:
        """Nothing is tried, since nothing is read."""
        return None


class TensorKeys:
    """Keys as tensors."""

    def __init__(self, users: np.ndarray, positions: np.ndarray) -> None:
        self.users, self.positions = torch.from_numpy(users), torch.from_numpy(positions)


def synthetic_data(rows: int) -> PreparedData:
    """Users with the same number of events each, about `rows` training targets in all."""
    users = rows // (EVENTS_PER_USER - 3)
    ends = np.full(users, EVENTS_PER_USER, dtype=np.int32)
    items = np.random.default_rng(0).integers(1, ITEMS + 1, users * EVENTS_PER_USER, dtype=np.int32)
    names = [""] * (ITEMS + 1)
    offsets = np.arange(users + 1, dtype=np.int64) * EVENTS_PER_USER
    return PreparedData(items, items.astype(np.int64), offsets, ends - 2, ends - 1, names, names, "", "")


class PeakMemory:
    """The largest resident set of this process while the block runs, in MiB."""

    def __enter__(self) -> "PeakMemory":
        """Start looking, every 10 ms."""
        self.process, self.done = psutil.Process(), threading.Event()
        self.before = self.peak = self.process.memory_info().rss / MIB
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        self.done.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.done.wait(0.01):
            self.peak = max(self.peak, self.process.memory_info().rss / MIB)


def store_seconds(data: PreparedData, folder: Path) -> float:
    """Write the same rows without a teacher."""
    targets, generator = data.targets("train"), np.random.default_rng(0)
    size = BATCH * 100
    items = generator.integers(1, ITEMS + 1, (size, TOP_K), dtype=np.int32)
    scores, states = items.astype(np.float32), np.zeros((size, STATE_DIM), np.float16)
    began = time.perf_counter()
    with OutputsWriter(folder, PRINTS, TOP_K, STATE_DIM, ExportConfig().shard_rows) as writer:
        for start in range(0, len(targets), size):
            part = slice(start, start + size)
            count = len(targets.users[part])
            writer.append(targets.users[part], targets.positions[part], items[:count], scores[:count], states[:count])
    return time.perf_counter() - began


def read_rows_per_second(reader: OutputsReader, targets: Targets) -> float:
    """Look random keys up, 3,200 at a time as a training batch does."""
    generator, batches = np.random.default_rng(1), 30
    began = time.perf_counter()
    for _ in range(batches):
        rows = generator.integers(0, len(targets), 3200)
        reader.require(targets.users[rows], targets.positions[rows], with_states=False)
    return batches * 3200 / (time.perf_counter() - began)


def measure(rows: int) -> dict[str, float | int | str]:
    """One size, in this process."""
    torch.set_num_threads(2)
    data = synthetic_data(rows)
    targets = data.targets("train")
    with tempfile.TemporaryDirectory() as temporary:
        folder, alone = Path(temporary) / "outputs", Path(temporary) / "alone"
        embeddings = torch.zeros(ITEMS + 1, 576)
        config = ExportConfig(batch_size=BATCH, top_k=TOP_K, exclude_seen=True)
        with PeakMemory() as memory, Profiler() as profiler:
            began = time.perf_counter()
            export_outputs(FreeTeacher(data), data, embeddings, config, RunContext("cpu", profiler, folder), PRINTS)
            seconds = time.perf_counter() - began
        size = json.loads((folder / "outputs.json").read_text())["bytes"]
        reader = OutputsReader(folder, PRINTS)
        return {
            "benchmark": "export",
            "rows": len(reader),
            "rows_per_second": round(len(reader) / seconds),
            "waiting_for_disk_seconds": round(profiler.seconds["write"], 3),
            "seconds": round(seconds, 3),
            "store_rows_per_second": round(len(targets) / store_seconds(data, alone)),
            "bytes_per_row": round(size / len(reader), 1),
            "peak_rss_mib": round(memory.peak),
            "added_rss_mib": round(memory.peak - memory.before),
            "read_rows_per_second": round(read_rows_per_second(reader, targets)),
        }


def main() -> None:
    """Measure each size in its own process, since a process keeps its peak."""
    if len(sys.argv) == 2:
        print(json.dumps(measure(int(sys.argv[1]))))
        return
    for rows in ROWS:
        subprocess.run([sys.executable, __file__, str(rows)], check=True)


if __name__ == "__main__":
    main()
