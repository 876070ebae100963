"""Seconds and peak memory of `prepare` on synthetic interactions, as one line of JSON.

    python benchmarks/prepare.py --events 20000000
    python benchmarks/prepare.py --events 100000000 --users 2000000 --items 1000000 --files 100

The CSV file (27 bytes an event) or the Parquet files (`--files`, 12 bytes an event) are made by a seeded generator in a
temporary folder; `prepare` runs in a fresh process, so that the peak holds nothing else. Goals on 2 cores: at 20
million events under 60 s and 4 GiB, at 100 million under 6 minutes and 6 GiB. The peak counts what is memory-mapped.
"""

import argparse
import json
import os
import resource
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
from resident import resident_gib


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


def make_parquet(folder: Path, files: int, events: int, users: int, items: int, seed: int) -> None:
    """The same events without ratings in Parquet files of about one size, one file in memory at a time."""
    generator = np.random.default_rng(seed)
    popularity = np.cumsum(generator.pareto(1.2, items) + 1)
    folder.mkdir()
    for part, rows in enumerate(np.diff(np.linspace(0, events, files + 1).astype(int)).tolist()):
        drawn = np.searchsorted(popularity, generator.random(rows) * popularity[-1])
        frame = pl.DataFrame(
            {
                "user_id": generator.integers(1, users + 1, rows),
                "item_id": np.minimum(drawn, items - 1) + 1,
                "timestamp": generator.integers(800_000_000, 1_500_000_000, rows),
            }
        )
        frame.write_parquet(folder / f"part-{part}.parquet")


def measure(path: Path, folder: Path) -> None:
    """Prepare `path` and print what it took."""
    config = DataConfig(source="csv", path=str(path), columns=ColumnsConfig(rating="rating"), min_rating=1.0)
    if path.is_dir():
        config = DataConfig(source="parquet", path=str(path))
    began = time.perf_counter()
    with Profiler() as profiler:
        data = prepare(config, 0, RunContext("cpu", profiler, folder))
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "benchmark": "prepare",
        "events_kept": len(data.items),
        "users": data.num_users,
        "items": data.num_items,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_rss_gib": round(resident_gib("VmHWM"), 3),
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
    parser.add_argument("--files", type=int, default=0, help="Parquet files; 0: one CSV file")
    parser.add_argument("--folder", type=Path, help="takes the files in place of a temporary folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.measure.parent / "prepared")
        return
    sizes = options.events, options.users, options.items, options.seed
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / ("events" if options.files else "ratings.csv")
        if options.files:
            make_parquet(path, options.files, *sizes)
        else:
            make_csv(path, *sizes)
        subprocess.run([sys.executable, __file__, "--measure", str(path)], check=True)


if __name__ == "__main__":
    main()
