"""What a teacher's stored lists know of their own targets: those that were trained on against those that were not.

    python benchmarks/lists.py runs/studies/ml-latest-small-quarter/*/seed-6

A line of JSON for each run with finished teacher outputs. `train` holds the targets that the distilled student learns
on, `validation` those that no one was trained on, and of each `ndcg@10` of the target in its list, `target` its mean
probability there (softmax of the list's scores; 0 where it is not in the list) and `entropy` of the list in nats. Lists
of a teacher that has seen its targets place them far better than validation's; with `teacher.folds` they do not.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from recdistill.data.prepared import PreparedData, Targets
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.ranking import MISS
from recdistill.files import read_json

ROWS_AT_A_TIME = 65536


def of_targets(reader: OutputsReader, data: PreparedData, targets: Targets) -> dict[str, float]:
    """Quality and sharpness of these targets' lists, as above; and `targets`, how many there are."""
    quality, probability, entropy = [], [], []
    for start in range(0, len(targets), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        part = Targets(targets.users[rows], targets.positions[rows])
        records = reader.require(part.users, part.positions, with_states=False)
        scores = records.top_scores.astype(np.float64)  # -inf in empty places: exp makes them 0
        shares = np.exp(scores - scores[:, :1])
        shares /= shares.sum(axis=1, keepdims=True)
        hits = records.top_items == data.target_items(part)[:, None]
        ranks = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, MISS)
        quality.append(ndcg(ranks, 10))
        probability.append((shares * hits).sum(axis=1))
        entropy.append(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1))
    means = {"ndcg@10": quality, "target": probability, "entropy": entropy}
    return {"targets": len(targets)} | {
        name: round(float(np.concatenate(values).mean()), 4) for name, values in means.items()
    }


def measure(run: Path) -> dict[str, Any]:
    """What the run's lists know of the targets trained on, and of validation's."""
    data = PreparedData.load(run / "prepare")
    teacher = read_json(run / "teacher" / "manifest.json")
    made_from = Fingerprints(data.fingerprint, data.split_fingerprint, teacher["fingerprint"])
    reader = OutputsReader(run / "teacher_outputs", made_from)
    about = {"run": str(run), "folds": teacher["config"].get("folds", 0), "top_k": reader.top_k}
    return about | {
        "train": of_targets(reader, data, data.targets("train")),
        "validation": of_targets(reader, data, data.targets("validation")),
    }


def main() -> None:
    """Measure each run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders with the finished step export")
    for run in parser.parse_args().runs:
        print(json.dumps(measure(run)), flush=True)


if __name__ == "__main__":
    main()
