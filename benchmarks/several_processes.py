"""Targets a second of a training by one process and by several, in turns, and whether the losses are the same.

    python benchmarks/several_processes.py runs/demo --step teacher --out processes.jsonl

The run must have finished the steps before. Each turn trains the step once, without dropout, by one process on one
core, by one process on all cores, and by one process a core; a line of JSON each, and one of medians in the end. The
rate is that of the profiler's phases `data wait` and `train step` of the first process, which all wait in; set-up,
validation and starting are left out and told as `wall`, the seconds of the whole command.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from recdistill.steps import SPECS, STEPS
from recdistill.storage.files import read_json

TRAINED_BEFORE = {"student": ("prepare",), "teacher": ("prepare", "student")}


def turn(run: Path, step: str, words: list[str], devices: int, threads: int) -> dict[str, Any]:
    """Train once, from the beginning, in a copy of the run."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "run")
        for before in TRAINED_BEFORE[step]:
            shutil.copytree(run / SPECS[_name(before)].folder, copy / SPECS[_name(before)].folder)
        line = [sys.executable, "-m", "recdistill", step, "--quiet", f"--run={copy}", *words]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        began = time.perf_counter()
        subprocess.run([*line, f"--devices={devices}", f"--threads={threads}"], check=True, env=environment)
        wall = time.perf_counter() - began
        done = copy / SPECS[_name(step)].folder
        phases = read_json(done / "timings.json")["phases"]
        with (done / "training.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["loss"]]
    seconds = float(phases["train step"]) + float(phases["data wait"])
    return {
        "processes": devices,
        "threads": threads,
        "targets": int(rows[-1]["targets"]),
        "seconds": round(seconds, 3),
        "targets_per_second": round(int(rows[-1]["targets"]) / seconds, 1),
        "wall": round(wall, 1),
        "losses": [float(row["loss"]) for row in rows],
        "ndcg@10": [float(row["ndcg@10"]) for row in rows],
    }


def _name(step: str) -> Any:
    return next(spec.name for spec in STEPS if spec.name == step)


def main() -> None:
    """Read the options, train in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--step", choices=sorted(TRAINED_BEFORE), default="teacher")
    parser.add_argument("--config", help="the run's YAML file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the run")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    words = [f"--config={given.config}"] if given.config else []
    words += ["--student.dropout=0", "--teacher.adapter.dropout=0", *(f"--{each}" for each in given.set)]
    arms = {(1, 1), (1, given.processes), (given.processes, 1)}
    made: dict[tuple[int, int], list[dict[str, Any]]] = {arm: [] for arm in sorted(arms)}
    for number in range(given.repeats):
        for arm in sorted(arms, reverse=bool(number % 2)):
            row = turn(given.run, given.step, words, *arm) | {"step": given.step, "repeat": number}
            made[arm].append(row)
            _tell(row, given.out)
    first = made[1, 1][0]["losses"]
    apart = max(
        abs(loss / other - 1)
        for rows in made.values()
        for row in rows
        for loss, other in zip(row["losses"], first, strict=True)
    )
    rates = {arm: median(row["targets_per_second"] for row in rows) for arm, rows in made.items()}
    several = rates[given.processes, 1]
    summary = {
        "step": given.step,
        "medians": {f"{arm[0]} x {arm[1]}": rate for arm, rate in rates.items()},
        "over_one_core": round(several / rates[1, 1], 3),
        "over_one_process": round(several / rates[1, given.processes], 3),
        "losses_differ_by": apart,
    }
    _tell(summary, given.out)
    if apart > 1e-4:
        sys.exit("the losses are not the same")


def _tell(row: dict[str, Any], out: Path | None) -> None:
    line = json.dumps(row) + "\n"
    sys.stdout.write(line)
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(line)


if __name__ == "__main__":
    main()
