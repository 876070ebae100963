"""What `distill.weight: auto` chooses for a run, beside what its own weight and dropout came to; JSON lines.

    recdistill study configs/studies/sparse-shop.yaml --until distill
    python benchmarks/strength.py runs/studies/sparse-shop/*/seed-*

All figures are of training and validation. `smooth` is the best mean of five neighbouring validations.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from recdistill.config import DistillConfig
from recdistill.data.prepared import PreparedData
from recdistill.distill.strength import STRENGTH_FILE, choose_strength
from recdistill.storage.files import read_json

SMOOTH = 5


def curve(step: Path) -> list[tuple[float, float]]:
    """Epoch and NDCG@10 of each validation of a finished training."""
    with (step / "training.csv").open(encoding="utf-8", newline="") as file:
        return [(float(row["epoch"]), float(row["ndcg@10"])) for row in csv.DictReader(file) if row["ndcg@10"]]


def best(step: Path) -> float:
    """The best validation of a finished training."""
    return max(value for _, value in curve(step))


def measure(run: Path) -> dict[str, Any]:
    """How sparse the data is, what the lists know of their targets, what was trained with, and what came of it."""
    data = PreparedData.load(run / "prepare")
    known = read_json(run / "teacher_outputs" / "target_memorisation.json")
    config = read_json(run / "distilled" / "manifest.json")["config"]
    chosen_then = run / "distilled" / STRENGTH_FILE
    used = read_json(chosen_then) if chosen_then.is_file() else config
    events = float(data.train_item_counts()[1:].mean())
    rule, points = choose_strength(DistillConfig(), events), curve(run / "distilled")
    values = [value for _, value in points]
    targets = data.targets("train")
    windows = [values[at : at + SMOOTH] for at in range(len(values) - SMOOTH + 1)]
    return {
        "run": str(run),
        "targets": len(targets),
        "targets_per_user": round(len(targets) / len(set(targets.users.tolist())), 2),
        "events_per_item": round(events, 2),
        "lists_train": known["train"]["ndcg@10"],
        "lists_validation": known["validation"]["ndcg@10"],
        "rule": {"weight": rule.weight, "dropout": rule.dropout},
        "weight": used["weight"],
        "dropout": used["dropout"],
        "student": best(run / "student"),
        "teacher": best(run / "teacher"),
        "distilled": max(values),
        "epoch": points[values.index(max(values))][0],
        "smooth": max((sum(window) / SMOOTH for window in windows), default=None),
    }


def main() -> None:
    """Measure each run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders with the finished step distill")
    for run in parser.parse_args().runs:
        print(json.dumps(measure(run)), flush=True)


if __name__ == "__main__":
    main()
