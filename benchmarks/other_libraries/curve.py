"""Validation quality against training seconds, by a clock that stands still while a model is ranked; best weights."""

import copy
import json
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recdistill.data.prepared import PreparedData, SplitName
from recdistill.evaluation.metrics import means
from recdistill.evaluation.ranking import rank
from recdistill.evaluation.scorer import Scorer

BATCH = 256
METRICS = ("ndcg@10", "hit_rate@10")


def quality(data: PreparedData, split: SplitName, scorer: Scorer) -> dict[str, float]:
    """NDCG@10 and hit rate@10: whole catalog, seen items left out, ties counted against the target."""
    values = means(rank(data, data.targets(split), scorer, BATCH, filter_seen=True, top_k=1).ranks)
    return {name: values[name] for name in METRICS}


@dataclass
class Curve:
    """A row for each validation: `epoch`, `seconds` and `cpu_seconds` of training so far, metrics.

    Seconds are those between :meth:`start` and the reading, without the readings before it.
    """

    data: PreparedData
    rows: list[dict[str, float]] = field(default_factory=list)
    wall: float = 0.0
    cpu: float = 0.0

    def start(self) -> None:
        """Let the clock run."""
        self.since = time.perf_counter(), time.process_time()

    def read(self, epoch: int, scorer: Scorer) -> dict[str, float]:
        """Stop the clock, rank validation, note and print a row, let the clock run on; returns the metrics."""
        self.wall += time.perf_counter() - self.since[0]
        self.cpu += time.process_time() - self.since[1]
        metrics = quality(self.data, "validation", scorer)
        times = {"seconds": round(self.wall, 2), "cpu_seconds": round(self.cpu, 2)}
        self.rows.append({"epoch": epoch, **times, **{name: round(value, 5) for name, value in metrics.items()}})
        print(json.dumps(self.rows[-1]), file=sys.stderr, flush=True)
        self.start()
        return metrics

    @property
    def best(self) -> dict[str, float]:
        """The first row with the highest NDCG@10."""
        return max(self.rows, key=lambda row: row["ndcg@10"])


def first_at(rows: list[dict[str, float]], value: float) -> dict[str, float] | None:
    """The first row of a curve with that NDCG@10 or a higher one; None where there is none."""
    return next((row for row in rows if row["ndcg@10"] >= value), None)


class BestWeights:
    """Keeps the weights of the best validation and says when there has been none better for `patience` of them, or when
    one has reached `until`.
    """

    def __init__(self, module: nn.Module, patience: int, until: float) -> None:
        self.module, self.patience, self.until = module, patience, until
        self.value, self.stale = -1.0, 0

    def see(self, value: float) -> bool:
        """Note a validation; True where training should stop."""
        if value > self.value:
            self.value, self.stale = value, 0
            self.weights = copy.deepcopy(self.module.state_dict())
        else:
            self.stale += 1
        return self.stale >= self.patience or value >= self.until

    def put_back(self) -> None:
        """Give the module its best weights."""
        self.module.load_state_dict(self.weights)


def write_result(
    out: Path, variant: str, curve: Curve, test: dict[str, float], settings: dict[str, Any], packages: tuple[str, ...]
) -> None:
    """Append one line of JSON to `out`.

    Args:
        out: the file.
        variant: whose model.
        curve: its validations.
        test: metrics of the best weights.
        settings: of the model and the run.
        packages: distributions whose versions matter.
    """
    line = {
        "variant": variant,
        "data": curve.data.fingerprint,
        "split": curve.data.split_fingerprint,
        "settings": settings,
        "threads": torch.get_num_threads(),
        "epochs": curve.rows[-1]["epoch"],
        "seconds": curve.rows[-1]["seconds"],
        "cpu_seconds": curve.rows[-1]["cpu_seconds"],
        "best": curve.best,
        "test": test,
        "curve": curve.rows,
        "versions": {name: version(name) for name in ("torch", "numpy", *packages)},
    }
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
