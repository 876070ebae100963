"""Seconds and peak memory of `prepare` on synthetic interactions, as one line of JSON.

    python benchmarks/prepare.py --events 20000000

The CSV file is made by a seeded generator in a temporary folder (27 bytes an event); `prepare` runs in a fresh process,
so that the peak holds nothing else. Goal at 20 million events on 2 cores: under 60 s, under 4 GiB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.prepare import prepare
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler


def make_csv(path: Path, events: int, users: int, items: int, seed: int) -> None:
    """Ratings in random order, with items of very different popularity and about one repeated event in ten."""
    generator = np.random.default_rng(seed)
    popularity = generator.pareto(1.2, items) + 1
    frame = pl.DataFrame(
        {
            "user_id": generator.integers(1, users + 1, events),
            "item_id": generator.choice(items, events, p=popularity / popularity.sum()) + 1,
            "rating": generator.integers(1, 11, events) / 2,
            "timestamp": generator.integers(800_000_000, 1_500_000_000, events),
        }
    )
    frame.write_csv(path)


def measure(path: Path, folder: Path) -> None:
    """Prepare `path` and print what it took."""
    config = DataConfig(source="csv", path=str(path), columns=ColumnsConfig(rating="rating"), min_rating=1.0)
    began = time.perf_counter()
    with Profiler() as profiler:
        data = prepare(config, 0, RunContext("cpu", profiler, folder))
    seconds = time.perf_counter() - began
    peak = max(profiler.peak_rss.values()) / 2**30
    result = {
        "benchmark": "prepare",
        "events_kept": len(data.items),
        "users": data.num_users,
        "items": data.num_items,
        "seconds": round(seconds, 2),
        "peak_rss_gib": round(peak, 3),
        "cores": os.cpu_count(),
        "phases": {name: round(value, 2) for name, value in profiler.seconds.items()},
    }
    print(json.dumps(result))


def main() -> None:
    """Make the file, then measure in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=140_000)
    parser.add_argument("--items", type=int, default=27_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.measure.parent / "prepared")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        make_csv(path, options.events, options.users, options.items, options.seed)
        subprocess.run([sys.executable, __file__, "--measure", str(path)], check=True)


if __name__ == "__main__":
    main()
