r"""What an answer costs: a bundle (onnxruntime) beside torch, the same student, histories and answers, in turn.

    python benchmarks/serving.py [--run runs/demo] [--items 1682] [--out docs/benchmarks/serving.jsonl]

Without `--run` the student is untrained and of the default shape, over `--items` items: what an answer costs does not
depend on what the weights are. One thread. Times are the process's CPU time, so that another program on the machine
counts less; the machine's caches it shares all the same. First all answers are compared: the same items in the same
places, but for scores nearer to one another than rounding. Then, `--rounds` times in turn for both:

    one      CPU milliseconds an answer of ten to one history of 50 items: median and 99th percentile
    batch    answers a CPU second to 1,024 histories of 50 items in one call
    first    wall and CPU seconds, and resident MiB, of a fresh process from its start to its first answer

One line of JSON: the medians over the rounds, and the ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from numpy.typing import NDArray

from recdistill.config import StudentConfig
from recdistill.measure.environment import environment
from recdistill.serving.bundle import make_bundle
from recdistill.serving.loading import load_run
from recdistill.serving.recommender import Recommender
from recdistill.storage.files import write_json
from recdistill.students.make import make_student, save_student

LENGTH, TOP_K, BATCH = 50, 10, 1024
ROUNDING = 1e-4
"""Share of the largest score below which two scores may change places."""
FIRST = """\
import sys, time
from recdistill.serving.recommender import Recommender
Recommender.load(sys.argv[1]).recommend_ids(sys.argv[2].split(","))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(time.time(), time.process_time(), int(status["VmHWM"].split()[0]) / 1024)
"""


def untrained_run(folder: Path, num_items: int) -> Path:
    """A run's folder with an untrained student of the default shape, and just what a bundle is made of."""
    torch.manual_seed(0)
    student = make_student(StudentConfig(), num_items)
    (folder / "distilled").mkdir(parents=True)
    save_student(student, folder / "distilled")
    prepare = folder / "prepare"
    prepare.mkdir()
    events = np.random.default_rng(0).integers(1, num_items + 1, size=64 * (LENGTH + 2)).astype(np.int32)
    arrays: dict[str, NDArray[np.generic]] = {
        "items": events,
        "timestamps": np.arange(len(events)),
        "offsets": np.arange(0, len(events) + 1, LENGTH + 2),
        "train_ends": np.full(64, LENGTH, dtype=np.int32),
        "validation_ends": np.full(64, LENGTH + 1, dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(prepare / f"{name}.npy", array)
    ids = [""] + [str(item) for item in range(1, num_items + 1)]
    write_json(prepare / "catalog.json", {"item_ids": ids, "titles": ids})
    about = {"fingerprint": "0", "split_fingerprint": "0", "source": "untrained", "settings": {}}
    targets = {"train": 64 * (LENGTH - 1), "validation": 64, "test": 64}
    counts = {"events": len(events), "users": 64, "items": num_items, "targets": targets}
    write_json(prepare / "data.json", about | {"statistics": counts})
    return folder


def by_torch(run: Path) -> Recommender:
    """What answers where there is no bundle."""
    found = load_run(run, "distilled")
    return Recommender(found.engine, found.catalog, found.exclude_seen, found.popularity, found.about)


def check_answers(one: Recommender, other: Recommender, histories: list[list[str]]) -> float:
    """Compare all answers; the largest difference of two scores of one item.

    Raises:
        SystemExit: an item stands in another place, and its score does not explain it.
    """
    worst = 0.0
    for mine, theirs in zip(*(each.recommend_ids_batch(histories, TOP_K) for each in (one, other)), strict=True):
        least = ROUNDING * max(abs(item.score) for item in theirs)
        for a, b in zip(mine, theirs, strict=True):
            worst = max(worst, abs(a.score - b.score))
            if abs(a.score - b.score) > least or (a.item_id != b.item_id and abs(a.score - b.score) > least):
                raise SystemExit(f"another answer: {a} and {b}")
    return worst


def one_by_one(recommender: Recommender, histories: list[list[str]]) -> tuple[float, float]:
    """CPU milliseconds of an answer: median, 99th percentile."""
    spent = []
    for history in histories:
        before = time.process_time_ns()
        recommender.recommend_ids(history, TOP_K)
        spent.append((time.process_time_ns() - before) / 1e6)
    return statistics.median(spent), float(np.quantile(spent, 0.99))


def at_once(recommender: Recommender, histories: list[list[str]]) -> float:
    """Answers a CPU second to all histories in one call."""
    before = time.process_time()
    recommender.recommend_ids_batch(histories, TOP_K)
    return len(histories) / (time.process_time() - before)


def first_answer(folder: Path, history: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and resident MiB of a fresh process up to its first answer."""
    begun = time.time()
    command = [sys.executable, "-c", FIRST, str(folder), ",".join(history)]
    ended, spent, resident = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(ended) - begun, float(spent), float(resident)


def measured(recommender: Recommender, folder: Path, histories: list[list[str]]) -> dict[str, float]:
    """One round for one of the two."""
    median, slow = one_by_one(recommender, histories)
    wall, spent, resident = first_answer(folder, histories[0])
    return {
        "one_p50_ms": median,
        "one_p99_ms": slow,
        "batch_per_second": at_once(recommender, histories[:BATCH]),
        "first_wall_seconds": wall,
        "first_cpu_seconds": spent,
        "first_resident_mib": resident,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="A finished run. Without: an untrained student.")
    parser.add_argument("--items", type=int, default=1682, help="Items of the untrained student.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="A file of JSON lines to add to.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        run = options.run or untrained_run(Path(temporary) / "run", options.items)
        bundle = make_bundle(run, Path(temporary) / "bundle", name="serving")
        both = {"torch": (by_torch(run), run), "bundle": (Recommender.load(bundle), bundle)}
        ids = both["torch"][0].catalog.item_ids[1:]
        draw = np.random.default_rng(1)
        count = max(options.histories, BATCH)
        histories = [[ids[item] for item in draw.integers(0, len(ids), size=LENGTH)] for _ in range(count)]
        difference = check_answers(both["bundle"][0], both["torch"][0], histories[:BATCH])
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in both}
        for _ in range(options.rounds):
            for name, (recommender, folder) in both.items():
                rounds[name].append(measured(recommender, folder, histories))
    found: dict[str, Any] = {
        name: {key: round(statistics.median(one[key] for one in all_rounds), 4) for key in all_rounds[0]}
        for name, all_rounds in rounds.items()
    }
    found["ratio"] = {key: round(found["torch"][key] / found["bundle"][key], 3) for key in found["torch"]}
    line = {
        "items": len(ids),
        "run": options.run is not None,
        "rounds": options.rounds,
        "largest_difference_of_a_score": difference,
        **found,
        "environment": {key: environment("cpu")[key] for key in ("cpu", "packages", "python")},
    }
    print(json.dumps(line))
    if options.out:
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
