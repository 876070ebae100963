"""What the ablation does to quality: both ends trained on equally many targets, ranked on validation.

    recdistill fetch smollm2
    recdistill student --run runs/quality --data.train_user_fraction 0.05
    python benchmarks/ablation_quality.py --run runs/quality --epochs 2 --out docs/benchmarks/ablation-quality.jsonl

`naive` is trained as the naive teacher is, one target a prompt of the latest `--history` items, one gate a prompt; on
the package's fast path, whose loss and gradients `benchmarks/ablation.py` checks to be the naive teacher's. `ours`
predicts after every item of windows of `--window` items, with the causal gate. An epoch of either sees every training
target once.

A twentieth of the users is trained on, so that the naive variant ends in minutes, and all users are validated on, so
that the interval says something. Everything goes to `<run>/ablation_quality`: an interrupted run resumes where it was,
and an variant that is finished is read back. Prints a line of JSON for each variant (NDCG@10 before training, after the
last target, and of the kept epoch; seconds with validation, and of the last try without), and one of the difference
between the kept weights, with the bootstrap's 95 % interval over users.
"""

import argparse
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from naive.lines import Lines, told
from recdistill.config import GateConfig, RunConfig, TeacherConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.protocol import rank_validation
from recdistill.evaluation.significance import bootstrap_means, interval
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import map_array, read_json, write_array, write_json
from recdistill.storage.run_folder import fingerprint
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import Teacher
from recdistill.training.fit import fit
from recdistill.training.result import FitResult
from recdistill.training.teacher import TeacherTraining

RESULT, USERS_FILE = "result.json", "ndcg.npy"
BOOTSTRAP_SAMPLES = 2000


def settings(arguments: argparse.Namespace) -> dict[str, TeacherConfig]:
    """The two ends of the ablation."""
    base = TeacherConfig(
        llm=arguments.llm,
        layers=arguments.layers or None,
        prompt="text",
        head=arguments.head,
        title_encoder="llm",
        title_decay=0.0,
    )
    train = replace(base.train, max_epochs=arguments.epochs, learning_rate=arguments.learning_rate, patience=0)
    return {
        "naive": replace(
            base,
            targets="last",
            gate=GateConfig(kind="instance"),
            history_length=arguments.history,
            train=replace(train, batch_size=arguments.batch),
        ),
        "ours": replace(
            base,
            targets="every",
            gate=GateConfig(kind="causal"),
            history_length=arguments.window,
            prompt=arguments.prompt,
            train=replace(train, batch_size=arguments.window_batch),
        ),
    }


def variant_result(name: str, config: RunConfig, run: Path, data: PreparedData) -> dict[str, Any]:
    """Train one variant, or read back what it came to."""
    folder = run / "ablation_quality" / name
    folder.mkdir(parents=True, exist_ok=True)
    named = fingerprint("ablation_quality", config.teacher, config.seed, data.fingerprint, data.split_fingerprint)
    if (folder / RESULT).is_file():
        result = read_json(folder / RESULT)
        if result["fingerprint"] != named:
            raise SystemExit(f"{folder}: holds the result of other settings or data; remove it to train anew")
        return dict(result)
    teacher = Teacher(config, data, run / "student", "cpu")
    training = TeacherTraining(teacher, config.seed)
    with Profiler() as profiler:
        found = fit(training, config.teacher.train, RunContext("cpu", profiler, folder), config.seed, named, name)
    write_array(folder / USERS_FILE, by_user(teacher, data))
    result = {"variant": name, "fingerprint": named} | summary(found, profiler, config.teacher)
    write_json(folder / RESULT, result)
    return result


def by_user(teacher: Teacher, data: PreparedData) -> np.ndarray:
    """NDCG@10 of each validation target with the kept weights."""
    teacher.ranker.eval()
    return ndcg(rank_validation(TeacherScorer(teacher), data, teacher.evaluate).ranks, 10)


def summary(found: FitResult, profiler: Profiler, config: TeacherConfig) -> dict[str, Any]:
    """What a variant's line tells."""
    last = found.history[-1]
    if last.loss is None:
        raise ValueError("nothing was trained")
    return {
        "ndcg@10_before": round(found.history[0].watched, 5),
        "ndcg@10_after": round(last.watched, 5),
        "ndcg@10_kept": round(found.metrics["ndcg@10"], 5),
        "kept_epoch": found.best_epoch,
        "loss_after": round(last.loss, 4),
        "targets": found.targets,
        "steps": found.steps,
        "seconds": round(found.seconds, 1),
        "train_seconds_of_last_try": round(profiler.seconds["train step"] + profiler.seconds["data wait"], 1),
        "settings": asdict(config),
    }


def difference(run: Path, data: PreparedData) -> dict[str, Any]:
    """NDCG@10 of the kept weights, ours minus naive, with its interval."""
    ours, naive = (map_array(run / "ablation_quality" / name / USERS_FILE) for name in ("ours", "naive"))
    users, values = data.targets("validation").users, np.stack([ours - naive, ours, naive], axis=1)
    means = bootstrap_means(users, values, BOOTSTRAP_SAMPLES, np.random.default_rng(0))
    return {
        "ndcg@10_ours_minus_naive": round(float(values[:, 0].mean()), 5),
        "interval_95": [round(float(end), 5) for end in interval(means)[0]],
        "validation_targets": len(users),
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run with the finished steps prepare and student")
    parser.add_argument("--out", type=Path, help="file that gets the lines too")
    parser.add_argument("--llm", default="smollm2", help="as `teacher.llm`")
    parser.add_argument("--layers", type=int, default=6, help="decoder blocks; 0: all")
    parser.add_argument("--epochs", type=int, default=1, help="how often either variant sees every training target")
    parser.add_argument("--history", type=int, default=10, help="items of a prompt with one target")
    parser.add_argument("--window", type=int, default=50, help="items of a prompt with every target")
    parser.add_argument("--prompt", choices=("text", "item"), default="text", help="our prompts; the naive are texts")
    parser.add_argument("--head", choices=("residual", "plain"), default="residual")
    parser.add_argument("--batch", type=int, default=16, help="prompts of a step, one target each")
    parser.add_argument("--window-batch", type=int, default=4, help="windows of a step, a target after every item")
    parser.add_argument("--learning-rate", type=float, default=TeacherConfig().train.learning_rate)
    parser.add_argument("--seed", type=int, default=RunConfig().seed)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train both, compare."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    data, tell = PreparedData.load(arguments.run / "prepare"), Lines(arguments.out)
    results = {}
    for name, teacher in settings(arguments).items():
        results[name] = variant_result(name, RunConfig(seed=arguments.seed, teacher=teacher), arguments.run, data)
        tell({key: value for key, value in results[name].items() if key not in ("fingerprint", "settings")})
    if results["naive"]["targets"] != results["ours"]["targets"]:
        raise SystemExit("the variants have not seen equally many targets, so their quality cannot be compared")
    tell(difference(arguments.run, data) | {"settings": told(arguments)})


if __name__ == "__main__":
    main()
