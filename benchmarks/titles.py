r"""What the reading of titles is worth to a student by itself, and how much of it is pretrained knowledge.

    recdistill prepare --config my.yaml
    python benchmarks/titles.py runs/mine --out runs/titles --epochs 6 --seeds 1 2

No teacher takes part: each arm is the default student, trained on the data alone, and arms differ in what its item
vectors see.

    plain       ids alone
    titles      ids and titles as `--encoder` reads them (minilm, llm, a folder)
    shuffled    the same encoder, the values of each of its matrices in a random order
    random      the same encoder with new weights
    tuned       `titles`, the encoder first trained on what follows what (`--steps` of teacher.title_tuning)
    tuned-shuffled   the same from shuffled weights

After the last epoch (nothing is chosen) all validation users are ranked as `evaluate` ranks them. `--out` gets a folder
of ranks and a line of JSON in `titles.jsonl` for each arm and seed; what is there is not trained again, and an
interrupted training goes on. The table at the end sets each arm beside others, with paired sign flips over users and
95 % intervals; both hold the seeds fixed.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recdistill.config import EvaluateConfig, LossConfig, StudentConfig, TeacherConfig
from recdistill.config.teacher import Weights
from recdistill.config.title_tuning import TitleTuningConfig
from recdistill.data.batches import training_windows
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData, Targets
from recdistill.evaluation.metrics import METRICS
from recdistill.evaluation.protocol import rank_validation
from recdistill.evaluation.significance import bootstrap_means, interval, sign_flip_test
from recdistill.language_models.title_tuning import tune_titles
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import write_array
from recdistill.students.make import make_student
from recdistill.teacher.whitening import whiten
from recdistill.training.fit import fit
from recdistill.training.student import StudentTraining, student_sequence_scorer

FEW = 5
"""Targets with fewer training interactions than this are told apart."""
WATCHED = 500
"""Validation targets that are ranked at the end of the training, where nothing is left to choose."""
PAIRS = (
    ("titles", "plain"),
    ("shuffled", "plain"),
    ("titles", "shuffled"),
    ("titles", "random"),
    ("tuned", "titles"),
    ("tuned", "tuned-shuffled"),
)
"""What is told of what, where both were trained."""
ARMS: dict[str, tuple[Weights, bool]] = {
    "titles": ("pretrained", False),
    "shuffled": ("shuffled", False),
    "random": ("random", False),
    "tuned": ("pretrained", True),
    "tuned-shuffled": ("shuffled", True),
}


def main(argv: list[str] | None = None) -> None:
    """Train what is not there yet; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run that was prepared")
    parser.add_argument("--out", type=Path, required=True, help="folder for lines and ranks")
    parser.add_argument("--arms", nargs="+", default=["plain", "titles", "shuffled"], choices=["plain", *ARMS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--beta2", type=float, default=StudentConfig().train.beta2, help="as student.train.beta2")
    parser.add_argument("--encoder", default="minilm", help="as teacher.title_encoder")
    parser.add_argument("--steps", type=int, default=60, help="of the tuned arms")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    data = PreparedData.load(arguments.run / "prepare")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for arm in arguments.arms:
            folder = arguments.out / f"{arm}-{seed}"
            if not (folder / "ranks.npy").is_file():
                line = train_arm(arm, seed, data, arguments, folder)
                with (arguments.out / "titles.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    print(table(data, arguments.out, arguments.arms, arguments.seeds))


def train_arm(
    arm: str, seed: int, data: PreparedData, arguments: argparse.Namespace, folder: Path
) -> Mapping[str, Any]:
    """One student of one arm: its line, its ranks written to `folder`."""
    began = time.process_time()
    titles = None if arm == "plain" else arm_titles(arm, seed, data, arguments)
    read = time.process_time() - began
    config = StudentConfig()
    train = replace(
        config.train,
        max_epochs=arguments.epochs,
        beta2=arguments.beta2,
        patience=0,
        validate_every=float(arguments.epochs),
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        student = make_student(config, data.num_items, titles, 1.0 if titles is not None else 0.0)
    windows = training_windows(data, config.max_length, config.windows)
    all_targets = data.targets("validation")
    watched = Targets(all_targets.users[:WATCHED], all_targets.positions[:WATCHED])
    training = StudentTraining(student, data, windows, LossConfig(), train, seed, "cpu", EvaluateConfig(), watched)
    folder.mkdir(parents=True, exist_ok=True)
    with Profiler("cpu") as profiler:
        fit(training, train, RunContext("cpu", profiler, folder), seed, f"{arm} {arguments}", f"{arm}, seed {seed}")
    trained = time.process_time() - began - read
    ranking = rank_validation(student_sequence_scorer(student, data, "cpu"), data, EvaluateConfig())
    write_array(folder / "ranks.npy", ranking.ranks)
    values, few = ndcg(ranking.ranks), few_trained(data)
    return {
        "arm": arm,
        "seed": seed,
        "epochs": arguments.epochs,
        "beta2": arguments.beta2,
        "encoder": arguments.encoder,
        "steps": arguments.steps if arm.startswith("tuned") else 0,
        "users": len(values),
        "ndcg@10": round(float(values.mean()), 5),
        "ndcg@10 few": round(float(values[few].mean()), 5) if few.any() else None,
        "few": int(few.sum()),
        "reading_cpu_seconds": round(read, 1),
        "training_cpu_seconds": round(trained, 1),
        "data": data.fingerprint,
    }


def arm_titles(arm: str, seed: int, data: PreparedData, arguments: argparse.Namespace) -> torch.Tensor:
    """Whitened title embeddings of an arm: fp32 (N + 1, W), numbers of half precision as in a store of outputs."""
    weights, tuned = ARMS[arm]
    kind = "llm_weights" if arguments.encoder == "llm" else "title_encoder_weights"
    config = TeacherConfig(
        title_encoder=arguments.encoder,
        title_tuning=TitleTuningConfig(steps=arguments.steps if tuned else 0),
        **{kind: weights},  # type: ignore[arg-type]
    )
    tuning = tune_titles(config, data, seed, cache_folder(), "cpu")
    found = title_embeddings(config, data.texts, cache_folder(), "cpu", tuning)
    return whiten(found.half().float(), config.title_dim)


def ndcg(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """NDCG@10 of each row."""
    return METRICS["ndcg"](ranks, 10)


def few_trained(data: PreparedData) -> NDArray[np.bool_]:
    """Which validation targets are items with fewer than :data:`FEW` training interactions."""
    return np.asarray(data.train_item_counts()[data.target_items(data.targets("validation"))] < FEW)


def table(data: PreparedData, out: Path, arms: list[str], seeds: list[int]) -> str:
    """Each arm's mean, and what is told of what: gain, interval, p; and the gain on targets with few interactions."""
    values = {arm: np.stack([ndcg(np.load(out / f"{arm}-{seed}" / "ranks.npy")) for seed in seeds]) for arm in arms}
    users, few = data.targets("validation").users, few_trained(data)
    lines = [
        f"NDCG@10 of {len(users):,} validation targets, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}; of the "
        f"{int(few.sum()):,} with fewer than {FEW} training interactions in brackets"
    ]
    for arm, found in values.items():
        each = ", ".join(f"{one:.4f}" for one in found.mean(axis=1))
        rare = f" ({found[:, few].mean():.4f})" if few.any() else ""
        lines.append(f"{arm:15} {found.mean():.4f}{rare}   seeds {each}")
    for one, other in PAIRS:
        if one not in values or other not in values:
            continue
        gap = (values[one].mean(axis=0) - values[other].mean(axis=0))[:, None]
        rng = np.random.default_rng(0)
        low, high = interval(bootstrap_means(users, gap, 1000, rng))[0]
        p = float(sign_flip_test(users, gap, 10_000, rng)[0])
        gain = 100 * gap.mean() / values[other].mean()
        told = f"{one} - {other}: {gain:+.1f} % ({gap.mean():+.4f}, 95 % {low:+.4f} to {high:+.4f}, p = {p:.4f})"
        if few.any() and (base := values[other][:, few].mean()):
            told += f"; few {100 * (values[one][:, few].mean() / base - 1):+.0f} %"
        lines.append(told)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
