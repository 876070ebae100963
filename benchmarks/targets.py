"""Targets learned per second, `targets: every` against `targets: last`, same language model and prompts; one JSON line.

    recdistill prepare --run runs/bench && python benchmarks/targets.py --data runs/bench/prepare

Checked first: for the same targets both variants give the same user states, so what is learned at a target is the same
thing. Then whole training steps (forward, loss over the catalog, backward, optimiser) are timed in turn.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import history_windows
from recdistill.students.make import make_student, save_student
from recdistill.teacher.teacher import Teacher
from recdistill.training.teacher import TeacherTraining


def make_training(
    config: RunConfig, targets: Literal["every", "last"], data: PreparedData, student: Path
) -> TeacherTraining:
    """One variant, with experts and head that have an effect."""
    config = replace(config, teacher=replace(config.teacher, targets=targets))
    teacher = Teacher(config, data, student, "cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in teacher.ranker.named_parameters():
            if parameter.requires_grad and ("lora_B" in name or "head.query" in name):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return TeacherTraining(teacher, config.seed)


def check_equal(every: Teacher, last: Teacher) -> None:
    """The same targets get the same states in both variants."""
    windows = every.training_windows()
    rows = np.flatnonzero(windows.starts == 0)[:4]
    batch, states, _ = every.predict(windows, rows)
    keys = Targets(batch.users.numpy().astype(np.int32), batch.positions.numpy().astype(np.int32))
    single = history_windows(last.data, keys, last.window_length)
    for row in range(0, len(single), 7):
        _, state, _ = last.predict(single, np.array([row]))
        torch.testing.assert_close(state[0], states[row], rtol=1e-3, atol=1e-3)


def learn(training: TeacherTraining, optimizer: torch.optim.Optimizer, plan: list[np.ndarray]) -> int:
    """A training step for each batch of rows; targets learned."""
    targets = 0
    for rows in plan:
        batch = training.collate(rows)
        count = training.num_targets(batch)
        (training.loss(batch) / count).backward()
        optimizer.step()
        optimizer.zero_grad()
        targets += count
    return targets


def timed_steps(training: TeacherTraining, optimizer: torch.optim.Optimizer, turn: int, steps: int) -> float:
    """Targets learned per second over some training steps, on batches of all lengths an epoch has, evenly spread."""
    training.module.train()
    plan = sorted(training.plan(turn), key=lambda rows: training.lengths[rows].max())
    plan = [plan[int((step + 0.5) * len(plan) / steps)] for step in range(steps)]
    began = time.perf_counter()
    return learn(training, optimizer, plan) / (time.perf_counter() - began)


def main() -> None:
    """Check, then time both variants in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `prepare`")
    parser.add_argument("--prompt", choices=("item", "text"), default="item")
    parser.add_argument("--layers", type=int, default=6, help="first blocks kept; 0: all")
    parser.add_argument("--steps", type=int, default=8, help="training steps of a variant in one turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = RunConfig()
    config = replace(
        config,
        teacher=replace(
            config.teacher,
            prompt=arguments.prompt,
            adapter=replace(config.teacher.adapter, dropout=0.0),
            windows="all",
            layers=arguments.layers or None,
            title_encoder="llm",
            title_decay=0.0,
        ),
    )
    data = PreparedData.load(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        torch.manual_seed(0)
        save_student(make_student(config.student, data.num_items), Path(name))
        variants = {
            "every": make_training(config, "every", data, Path(name)),
            "last": make_training(config, "last", data, Path(name)),
        }
    check_equal(variants["every"].teacher, variants["last"].teacher)
    optimizers = {
        key: torch.optim.AdamW(map(dict[str, Any], training.parameter_groups()), lr=1e-6)
        for key, training in variants.items()
    }
    speeds: dict[str, list[float]] = {"every": [], "last": []}
    for turn in range(arguments.repeats + 1):
        for key, training in variants.items():
            speed = timed_steps(training, optimizers[key], turn, arguments.steps)
            if turn:  # the first turn warms up
                speeds[key].append(speed)
    ratios = [every / last for every, last in zip(speeds["every"], speeds["last"], strict=True)]
    line = {
        "targets_per_second_every": round(statistics.median(speeds["every"]), 1),
        "targets_per_second_last": round(statistics.median(speeds["last"]), 2),
        "ratio_median_of_pairs": round(statistics.median(ratios), 1),
        "ratio_range": [round(min(ratios), 1), round(max(ratios), 1)],
        "settings": {key: str(value) for key, value in vars(arguments).items() if key != "data"},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
