r"""Histories larger than memory: what a student's steps wait for, rows shuffled together and by blocks.

    python benchmarks/larger_than_memory.py write runs/histories --events 200000000
    mkdir /sys/fs/cgroup/memory/small && echo 700M > /sys/fs/cgroup/memory/small/memory.limit_in_bytes
    python benchmarks/larger_than_memory.py train runs/histories --cgroup /sys/fs/cgroup/memory/small --rounds 3

`write` makes the histories of `catalog_size.py` as a file, 50 events a user. `train` trains a student of 10,001 items
from it, memory-mapped as a run does, in a process of its own for each way, in turns; a line of JSON each. With
`--cgroup` (a folder of Linux's control groups whose limit you have set, as root) that process, and what it keeps of
the file, stays below the limit. The file is dropped from memory first; items are counted before the first step, which
reads all of it once, and the steps are the first of an epoch.
Figures are of the steps alone: seconds, CPU seconds, and what came from the disk. `targets` must be equal: both ways
read as much.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.lib.format import open_memmap

from recdistill.config import LossConfig, RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.training.optimisation import Optimisation
from recdistill.training.student import student_training
from resident import resident_gib

LENGTH, ITEMS, BATCH = 50, 10_001, 128
USERS_AT_A_TIME = 500_000


def write(folder: Path, events: int) -> None:
    """Histories with an order, a part of the users at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    users = events // LENGTH
    file = open_memmap(folder / "items.npy", "w+", np.int32, (users * LENGTH,))
    generator = np.random.default_rng(0)
    for first in range(0, users, USERS_AT_A_TIME):
        count = min(USERS_AT_A_TIME, users - first)
        part = file[first * LENGTH : (first + count) * LENGTH].reshape(count, LENGTH)
        part[:, 0] = generator.integers(0, ITEMS, count)
        for place in range(1, LENGTH):
            follows = (part[:, place - 1] + generator.integers(1, 4, count)) % ITEMS
            popular = (ITEMS * generator.random(count) ** 3).astype(np.int32)
            part[:, place] = np.where(generator.random(count) < 0.75, follows, popular)
        part += 1
    file.flush()


def mapped(folder: Path) -> PreparedData:
    """The histories, not read yet."""
    items = np.load(folder / "items.npy", mmap_mode="r")
    users = len(items) // LENGTH
    ends = np.full(users, LENGTH - 2, dtype=np.int32)
    offsets = np.arange(users + 1, dtype=np.int64) * LENGTH
    names = [""] * (ITEMS + 1)
    stamps = np.broadcast_to(np.int64(0), users * LENGTH)
    return PreparedData(items, stamps, offsets, ends, ends + 1, names, names, "shop", "shop")


def from_disk() -> int:
    """Bytes that this process has read from disks."""
    told = Path("/proc/self/io").read_text(encoding="ascii")
    return int(told.split("read_bytes: ")[1].split("\n")[0])


def limit_of(cgroup: Path | None) -> int | None:
    """MiB that a control group's processes may hold; None: no group, or one without a limit."""
    for name in ("memory.limit_in_bytes", "memory.max"):
        if cgroup and (cgroup / name).is_file():
            told = (cgroup / name).read_text(encoding="ascii").strip()
            return int(told) >> 20 if told != "max" else None
    return None


def measure(folder: Path, block: int, steps: int, cgroup: Path | None = None) -> dict[str, Any]:
    """The first steps of an epoch, in this process."""
    torch.set_num_threads(1)
    with (folder / "items.npy").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # Pages count for whoever reads them first.
    data, config = mapped(folder), RunConfig(seed=1)
    train = replace(config.student.train, batch_size=BATCH, shuffle_block=block or None)
    shape = replace(config.student, loss=LossConfig(name="auto"), train=train)
    training = student_training(shape, data, 1, "cpu", config.evaluate)
    optimisation, plan = Optimisation(training, train, "cpu", "fp32"), training.plan(0)
    training.module.train()
    targets, waited, read = 0, resource.getrusage(resource.RUSAGE_SELF).ru_majflt, from_disk()
    began, worked = time.perf_counter(), time.process_time()
    for done, rows in enumerate(plan[:steps]):
        batch = training.collate(rows)
        count = training.num_targets(batch)
        optimisation.set_learning_rate(done / steps)
        optimisation.backward([(batch, True)], count)
        optimisation.step()
        targets += count
    return {
        "benchmark": "larger than memory",
        "shuffle_block": block,
        "events": len(data.items),
        "file_mib": data.items.nbytes >> 20,
        "limit_mib": limit_of(cgroup),
        "steps": steps,
        "targets": targets,
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "waits_for_the_disk": resource.getrusage(resource.RUSAGE_SELF).ru_majflt - waited,
        "mib_from_disk": round((from_disk() - read) / 2**20, 1),
        "peak_rss_gib": round(resident_gib("VmHWM"), 3),
    }


def main() -> None:
    """Write the files, or train from them in child processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", "train"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=200_000_000)
    parser.add_argument("--blocks", type=int, nargs="+", default=[0, 10_000], help="0: all rows together")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cgroup", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "write":
        write(arguments.folder, arguments.events)
        return
    if arguments.child:
        if arguments.cgroup:
            (arguments.cgroup / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        line = measure(arguments.folder, arguments.blocks[0], arguments.steps, arguments.cgroup)
        sys.stdout.write(json.dumps(line) + "\n")
        return
    command = [sys.executable, str(Path(__file__).resolve()), "train", str(arguments.folder), "--child"]
    command += ["--steps", str(arguments.steps)]
    command += ["--cgroup", str(arguments.cgroup)] if arguments.cgroup else []
    for _ in range(arguments.rounds):
        for block in arguments.blocks:
            subprocess.run([*command, "--blocks", str(block)], check=True)


if __name__ == "__main__":
    main()
