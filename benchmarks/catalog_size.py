"""A student's training by the size of its catalog: CPU seconds and peak memory; a line of JSON each.

    python benchmarks/catalog_size.py --items 10000 100000 1000000 --events 10000000

Events have an order to learn: after item i comes i + 1, i + 2 or i + 3 in three of four cases, else any item, popular
ones more often. Histories hold 20 of them. Each catalog is trained in a process of its own, with `loss.name: auto` and
`cross_entropy`, in turns, for `--steps` steps (0: a whole epoch); `cpu_seconds` is what an epoch takes at that rate.
Memory is the process's largest resident set, data and the optimiser's state included. `found` is the share of the last
targets of 2,000 users that the student ranks among its 10 best of all items; a guess finds 10 in N.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from recdistill.config import LossConfig, RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.training.optimisation import Optimisation
from recdistill.training.student import StudentTraining, student_training
from resident import resident_gib

LENGTH = 20
BATCH = 128


def shop(items: int, events: int, seed: int = 0) -> PreparedData:
    """Histories with an order, no file involved."""
    generator = np.random.default_rng(seed)
    users = events // LENGTH
    histories = np.empty((users, LENGTH), dtype=np.int32)
    histories[:, 0] = generator.integers(0, items, users)
    for place in range(1, LENGTH):
        follows = (histories[:, place - 1] + generator.integers(1, 4, users)) % items
        popular = (items * generator.random(users) ** 3).astype(np.int32)
        histories[:, place] = np.where(generator.random(users) < 0.75, follows, popular)
    ends = np.full(users, LENGTH - 2, dtype=np.int32)
    names = [""] * (items + 1)
    offsets = np.arange(users + 1, dtype=np.int64) * LENGTH
    stamps = np.broadcast_to(np.int64(0), users * LENGTH)
    return PreparedData(histories.ravel() + 1, stamps, offsets, ends, ends + 1, names, names, "shop", "shop")


@torch.no_grad()
def found(training: StudentTraining, data: PreparedData) -> float:
    """Share of last targets among the ten best."""
    student = training.module.eval()
    vectors = student.item_vectors()
    histories = torch.from_numpy(data.items[: 2000 * LENGTH].reshape(-1, LENGTH).astype(np.int64))
    hits = 0
    for part in torch.split(histories, 50):
        scores = student.last_states(part[:, :-1]) @ vectors.T
        scores[:, 0] = -torch.inf
        hits += int((scores.topk(10, dim=1).indices == part[:, -1:]).sum())
    return hits / len(histories)


def measure(items: int, events: int, loss: str, steps: int) -> dict[str, Any]:
    """Train one student in this process."""
    torch.set_num_threads(1)
    data = shop(items, events)
    config = RunConfig(seed=1)
    train = replace(config.student.train, batch_size=BATCH, beta2=0.999)
    shape = replace(config.student, loss=LossConfig(name=loss), train=train)  # type: ignore[arg-type]
    training = student_training(shape, data, 1, "cpu", config.evaluate)
    optimisation, plan = Optimisation(training, train, "cpu", "fp32"), training.plan(0)
    chosen = plan[:steps] if steps else plan
    training.module.train()
    targets, began = 0, time.process_time()
    for done, rows in enumerate(chosen):
        batch = training.collate(rows)
        count = training.num_targets(batch)
        optimisation.set_learning_rate(done / len(chosen))
        optimisation.backward([(batch, True)], count)
        optimisation.step()
        targets += count
    rate = (time.process_time() - began) / targets
    return {
        "benchmark": "student epoch",
        "items": items,
        "events": events,
        "loss": loss,
        "steps": len(chosen),
        "targets": targets,
        "cpu_seconds_per_1000": round(1000 * rate, 4),
        "cpu_seconds": round(rate * events * (LENGTH - 3) / LENGTH, 1),
        "peak_rss_gib": round(resident_gib("VmHWM"), 3),
        "found": round(found(training, data), 4),
    }


def main() -> None:
    """One child process for each catalog and loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--losses", nargs="+", default=["auto", "cross_entropy"])
    parser.add_argument("--steps", type=int, default=200, help="0: a whole epoch")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        line = measure(arguments.items[0], arguments.events, arguments.losses[0], arguments.steps)
        sys.stdout.write(json.dumps(line) + "\n")
        return
    for items in arguments.items:
        for loss in arguments.losses:
            numbers = [str(one) for one in (items, "--events", arguments.events, "--steps", arguments.steps)]
            command = [sys.executable, str(Path(__file__).resolve()), "--child", "--losses", loss, "--items", *numbers]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
