"""The time of an epoch: a plain student against the distilled one, on data of MovieLens-100K's size.

    python benchmarks/distilled_epoch.py

Both train on the same synthetic histories with the same batches; the distilled one also reads a store of random lists
by key and computes the distillation loss. Epochs alternate, so that other work on the machine slows both alike, and so
does which is first. Prints one line of JSON; for each way of distilling `ratio` is the median over pairs of epochs,
`seconds` the fastest of its epochs and `plain_seconds` the fastest of the plain ones that they alternated with.
"""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from recdistill.config import DLLM2RecConfig, RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import training_windows
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.distill.writer import OutputsWriter
from recdistill.students.make import make_student
from recdistill.training.distilled import DistilledTraining, make_distilled
from recdistill.training.student import StudentTraining
from recdistill.training.trainable import Trainable

USERS, ITEMS, EVENTS_PER_USER, TOP_K, HIDDEN, EPOCHS = 943, 1682, 106, 20, 576, 4
PRINTS = Fingerprints("synthetic", "synthetic", "random")


def synthetic_data(generator: np.random.Generator) -> PreparedData:
    """Histories of one length, items by a Zipf-like law."""
    shares = 1 / np.arange(1, ITEMS + 1)
    items = generator.choice(ITEMS, size=USERS * EVENTS_PER_USER, p=shares / shares.sum()) + 1
    names = ["", *(str(item) for item in range(1, ITEMS + 1))]
    ends = np.full(USERS, EVENTS_PER_USER, dtype=np.int32)
    return PreparedData(
        items.astype(np.int32),
        np.zeros(len(items), np.int64),
        np.arange(USERS + 1, dtype=np.int64) * EVENTS_PER_USER,
        ends - 2,
        ends - 1,
        names,
        names,
        PRINTS.data,
        PRINTS.split,
    )


def random_store(data: PreparedData, folder: Path, generator: np.random.Generator) -> OutputsReader:
    """A record of random items for every training target."""
    targets = data.targets("train")
    order = generator.permutation(len(targets))
    with OutputsWriter(folder, PRINTS, TOP_K, 128, 16384) as writer:
        writer.write_item_embeddings(generator.standard_normal((ITEMS + 1, HIDDEN)))
        for rows in np.array_split(order, 100):
            items = generator.integers(1, ITEMS + 1, (len(rows), TOP_K))
            scores = -np.sort(-generator.standard_normal((len(rows), TOP_K)))
            writer.append(targets.users[rows], targets.positions[rows], items, scores, np.zeros((len(rows), 128)))
    return OutputsReader(folder, PRINTS)


def epoch_seconds(training: Trainable, epoch: int) -> float:
    """Train one epoch."""
    optimizer = torch.optim.AdamW(map(dict[str, Any], training.parameter_groups()), lr=1e-3)
    training.module.train()
    began = time.perf_counter()
    for rows in training.plan(epoch):
        batch = training.collate(rows)
        (training.loss(batch) / training.num_targets(batch)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - began


def paired_seconds(plain: StudentTraining, distilled: DistilledTraining) -> list[tuple[float, float]]:
    """Seconds of plain and distilled epochs, in pairs; the first pair warms up and is left out.

    Each pair begins with the other one, so that neither always runs on what the other left in the caches.
    """
    pairs = []
    for epoch in range(EPOCHS):
        found = {one: epoch_seconds(one, epoch) for one in ((plain, distilled), (distilled, plain))[epoch % 2]}
        pairs.append((found[plain], found[distilled]))
    return pairs[1:]


def main() -> None:
    """Time each way of distilling against plain training."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    generator, config = np.random.default_rng(0), RunConfig()
    data = synthetic_data(generator)
    windows = training_windows(data, config.student.max_length, config.student.windows)
    result: dict[str, float | int] = {"targets_per_epoch": int(windows.num_targets.sum())}
    with tempfile.TemporaryDirectory() as folder:
        reader = random_store(data, Path(folder), generator)
        selected = np.ones(len(data.items), dtype=np.bool_)
        settings = (data, windows, config.student.loss, config.student.train, config.seed, "cpu", config.evaluate)
        plain = StudentTraining(make_student(config.student, data.num_items), *settings)
        for name, changes in {
            "dllm2rec": {"method": "dllm2rec", "top_k": 10},
            "dllm2rec_without_consistency": {
                "method": "dllm2rec",
                "top_k": 10,
                "dllm2rec": DLLM2RecConfig(consistency_weight=0.0),
            },
            "topk_kl": {"method": "topk_kl"},
        }.items():
            own = replace(config, distill=replace(config.distill, weight=8.0, dropout=0.1, **changes))  # type: ignore[arg-type]
            student = StudentTraining(make_distilled(own, data, reader), *settings)
            distilled = DistilledTraining(student, own.distill, reader, selected)
            pairs = paired_seconds(plain, distilled)
            result[f"{name}_plain_seconds"] = round(min(seconds for seconds, _ in pairs), 3)
            result[f"{name}_seconds"] = round(min(seconds for _, seconds in pairs), 3)
            result[f"{name}_ratio"] = round(median(second / first for first, second in pairs), 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
