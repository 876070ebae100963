r"""What the reading of titles is worth to a student by itself, and how much of it is pretrained knowledge.

    recdistill prepare --config my.yaml
    python benchmarks/titles.py runs/mine --out runs/titles --epochs 6 --seeds 1 2

No teacher takes part: each variant is the default student, trained on the data alone, and variants differ in what its
item vectors see.

    plain       ids alone
    titles      ids and titles as `--encoder` reads them (minilm, llm, a folder)
    shuffled    the same encoder, the values of each of its matrices in a random order
    random      the same encoder with new weights
    tuned       `titles`, the encoder first trained on what follows what (`--steps` of teacher.title_tuning)
    tuned-shuffled   the same from shuffled weights

Before such a name may stand another encoder, `llm:titles`, or several, `minilm+llm:titles`, whose whitened embeddings
are set side by side; `minilm+llm~shuffled:titles` shuffles the weights of the second alone. Behind it may stand how the
student takes the titles in: `titles@start` (distill.start titles alone), `titles@both` (beside the projection),
`titles@ids0.5` (distill.id_dropout), `titles@weight3` (distill.embedding_weight), `titles@dim384` (teacher.title_dim).
`titles@similarity` trains nothing: items are ranked by title similarity, as in the teacher's third part; `titles@plus`
adds that to the scores of the student of `titles`, with a weight chosen on every other one of at most 10,000 users.

After the last epoch (nothing is chosen) all validation users are ranked as `evaluate` ranks them. `--out` gets a folder
of ranks and a line of JSON in `titles.jsonl` for each variant and seed; what is there is not trained again, and an
interrupted training resumes. The table at the end sets each variant beside those that differ from it in one thing, with
paired sign flips over users and 95 % intervals; both hold the seeds fixed.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from new_items import Likeness
from recdistill.config import EvaluateConfig, RunConfig, StudentConfig, TeacherConfig
from recdistill.config.title_tuning import TitleTuningConfig
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.data.windows import training_windows
from recdistill.evaluation.metrics import METRICS
from recdistill.evaluation.protocol import rank_validation, validation_metrics
from recdistill.evaluation.scorer import Scorer
from recdistill.evaluation.significance import bootstrap_means, interval, sign_flip_test
from recdistill.language_models.title_tuning import tune_titles
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_tensors, write_array
from recdistill.teacher.whitening import whiten
from recdistill.training.correction import TITLE_WEIGHTS
from recdistill.training.fit import fit
from recdistill.training.student import StudentTraining, student_sequence_scorer
from recdistill.training.titled_student import titled_student
from title_variants import PLUS, READINGS, SIMILARITY, Variant, without_plus

FEW = 5
"""Targets with fewer training interactions than this are told apart."""
WATCHED = 500
"""Validation targets that are ranked at the end of the training, where nothing is left to choose."""
CHOOSERS = 10_000
"""Users of whom every other one chooses the weight of title similarity."""


def main(argv: list[str] | None = None) -> None:
    """Train what is not there yet; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run that was prepared")
    parser.add_argument("--out", type=Path, required=True, help="folder for lines and ranks")
    parser.add_argument("--variants", nargs="+", default=["plain", "titles", "shuffled"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--beta2", type=float, default=StudentConfig().train.beta2, help="as student.train.beta2")
    parser.add_argument("--loss", default="cross_entropy", choices=["cross_entropy", "auto"], help="student.loss.name")
    parser.add_argument("--encoder", default="minilm", help="as teacher.title_encoder")
    parser.add_argument("--steps", type=int, default=60, help="of the tuned variants")
    parser.add_argument(
        "--tuning_seed", type=int, help="of the tuned variants' encoders; their students' own otherwise"
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    data = train_missing(arguments, "titles.jsonl", train_arm)
    print(table(data, arguments))


Arm = Callable[[str, int, PreparedData, argparse.Namespace, Path], Mapping[str, Any]]
"""Trains a variant with a seed, writes its ranks into a folder, and gives its line."""


def train_missing(arguments: argparse.Namespace, lines: str, arm: Arm) -> PreparedData:
    """Each variant and seed whose ranks are not there yet; its line goes to the file `lines`. The data, prepared."""
    torch.set_num_threads(arguments.threads)
    data = PreparedData.load(arguments.run / "prepare")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.variants:
            folder = ranks_folder(arguments.out, name, seed)
            if not (folder / "ranks.npy").is_file():
                line = arm(name, seed, data, arguments, folder)
                with (arguments.out / lines).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    return data


def ranks_folder(out: Path, name: str, seed: int) -> Path:
    """Where a variant's ranks lie."""
    return out / f"{name}-{seed}".replace(":", "_").replace("/", "_")


def train_arm(
    name: str, seed: int, data: PreparedData, arguments: argparse.Namespace, folder: Path
) -> Mapping[str, Any]:
    """One variant: its line, its ranks written to `folder`."""
    began = time.process_time()
    variant = Variant.of(name, arguments.encoder)
    config = variant.config(seed, arguments)
    titles = (
        torch.zeros(data.num_items + 1, 1)
        if variant.reading == "plain"
        else variant_titles(variant, seed, data, arguments)
    )
    read = time.process_time() - began
    folder.mkdir(parents=True, exist_ok=True)
    similarity = Likeness(whiten(titles, config.teacher.title_dim), data, config.student.max_length)
    uses, weight = variant.use.split(","), None
    if SIMILARITY in uses:
        scorer: Scorer = similarity
    elif PLUS in uses:
        student = student_of(name, config, titles, data, ranks_folder(arguments.out, without_plus(name), seed))
        weight = best_weight(student, similarity, data)
        scorer = Sum(student, similarity, weight)
    else:
        scorer = trained_scorer(name, config, titles, data, arguments, folder)
    trained = time.process_time() - began - read
    ranking = rank_validation(scorer, data, EvaluateConfig())
    write_array(folder / "ranks.npy", ranking.ranks)
    values, few = ndcg(ranking.ranks), few_trained(data)
    return {
        "variant": name,
        "seed": seed,
        "epochs": 0 if SIMILARITY in uses else arguments.epochs,
        "similarity": weight,
        "beta2": arguments.beta2,
        "loss": arguments.loss,
        "encoder": variant.encoder,
        "steps": arguments.steps if variant.reading.startswith("tuned") else 0,
        "users": len(values),
        "ndcg@10": round(float(values.mean()), 5),
        "ndcg@10 few": round(float(values[few].mean()), 5) if few.any() else None,
        "few": int(few.sum()),
        "reading_cpu_seconds": round(read, 1),
        "training_cpu_seconds": round(trained, 1),
        "ranking_cpu_seconds": round(time.process_time() - began - read - trained, 1),
        "data": data.fingerprint,
    }


def trained_scorer(
    name: str,
    config: RunConfig,
    titles: torch.Tensor,
    data: PreparedData,
    arguments: argparse.Namespace,
    folder: Path,
) -> Scorer:
    """A student of these settings, trained on the data alone."""
    student, train, seed = titled_student(config, data.num_items, titles), config.student.train, config.seed
    windows = training_windows(data, config.student.max_length, config.student.windows)
    targets = data.targets("validation")
    watched = Targets(targets.users[:WATCHED], targets.positions[:WATCHED])
    loss = config.student.loss
    training = StudentTraining(student, data, windows, loss, train, seed, "cpu", EvaluateConfig(), watched)
    with Profiler("cpu") as profiler:
        fit(training, train, RunContext("cpu", profiler, folder), seed, f"{name} {arguments}", f"{name}, seed {seed}")
    return student_sequence_scorer(student, data, "cpu")


class Sum:
    """A student's scores and, with a weight, those of title similarity."""

    def __init__(self, student: Scorer, similarity: Scorer, weight: float) -> None:
        self.student, self.similarity, self.weight = student, similarity, weight

    def score(self, users: IntArray, positions: IntArray) -> torch.Tensor:
        """Scores (B, N + 1)."""
        scores = self.student.score(users, positions)
        return scores + self.weight * self.similarity.score(users, positions) if self.weight else scores


def student_of(name: str, config: RunConfig, titles: torch.Tensor, data: PreparedData, folder: Path) -> Scorer:
    """The student that another variant trained."""
    if not (folder / "ranks.npy").is_file():
        raise SystemExit(f"{name}: train {without_plus(name)} first")
    student = titled_student(config, data.num_items, titles)
    tensors = read_tensors(folder / "checkpoint.safetensors")
    best = {key.removeprefix("best."): value for key, value in tensors.items() if key.startswith("best.")}
    student.load_state_dict(best, strict=True)
    return student_sequence_scorer(student, data, "cpu")


def best_weight(student: Scorer, similarity: Scorer, data: PreparedData) -> float:
    """The weight of title similarity with the best NDCG@10."""
    targets = data.targets("validation")
    some = Targets(targets.users[:CHOOSERS:2], targets.positions[:CHOOSERS:2])
    found = {
        one: validation_metrics(Sum(student, similarity, one), data, EvaluateConfig(), some) for one in TITLE_WEIGHTS
    }
    return max(TITLE_WEIGHTS, key=lambda one: found[one]["ndcg@10"])


def variant_titles(variant: Variant, seed: int, data: PreparedData, arguments: argparse.Namespace) -> torch.Tensor:
    """Title embeddings of a variant: fp32 (N + 1, H), numbers of half precision as in a store of outputs."""
    weights, tuned = READINGS[variant.reading]
    found = []
    for one in variant.encoder.split("+"):
        encoder, _, own = one.partition("~")
        kind = "llm_weights" if encoder == "llm" else "title_encoder_weights"
        config = TeacherConfig(
            title_encoder=encoder,
            title_tuning=TitleTuningConfig(steps=arguments.steps if tuned else 0),
            **{kind: own or weights},  # type: ignore[arg-type]
        )
        tuning_seed = seed if arguments.tuning_seed is None else arguments.tuning_seed
        tuning = tune_titles(config, data, tuning_seed, cache_folder(), "cpu")
        found.append(title_embeddings(config, data.texts, cache_folder(), "cpu", tuning).half().float())
    if len(found) == 1:
        return found[0]
    return torch.cat([whiten(one, TeacherConfig().title_dim) for one in found], dim=1)


def ndcg(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """NDCG@10 of each row."""
    return METRICS["ndcg"](ranks, 10)


def few_trained(data: PreparedData) -> NDArray[np.bool_]:
    """Which validation targets are items with fewer than :data:`FEW` training interactions."""
    return np.asarray(data.train_item_counts()[data.target_items(data.targets("validation"))] < FEW)


def table(data: PreparedData, arguments: argparse.Namespace) -> str:
    """Each variant's mean, and what is told of what: gain, interval, p; all of it once more for targets with few
    interactions.
    """
    names, seeds = arguments.variants, arguments.seeds
    variants = {name: Variant.of(name, arguments.encoder) for name in names}
    values = {
        name: np.stack([ndcg(np.load(ranks_folder(arguments.out, name, seed) / "ranks.npy")) for seed in seeds])
        for name in names
    }
    users, few = data.targets("validation").users, few_trained(data)
    lines = [
        f"NDCG@10 of {len(users):,} validation targets, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}; of the "
        f"{int(few.sum()):,} with fewer than {FEW} training interactions in brackets"
    ]
    for name, found in values.items():
        each = ", ".join(f"{one:.4f}" for one in found.mean(axis=1))
        rare = f" ({found[:, few].mean():.4f})" if few.any() else ""
        lines.append(f"{name:15} {found.mean():.4f}{rare}   seeds {each}")
    for one in names:
        for other in names:
            if one != other and variants[one].controls(variants[other]):
                gap = values[one].mean(axis=0) - values[other].mean(axis=0)
                told = f"{one} - {other}: {difference(users, gap, values[other].mean())}"
                if few.any() and (base := values[other][:, few].mean()):
                    told += f"; few {difference(users[few], gap[few], base)}"
                lines.append(told)
    return "\n".join(lines)


def difference(users: IntArray, gap: NDArray[np.float64], base: float) -> str:
    """A paired difference of targets, (rows,): in per cent of the other's mean, with its interval and p."""
    rng = np.random.default_rng(0)
    low, high = interval(bootstrap_means(users, gap[:, None], 1000, rng))[0]
    p = float(sign_flip_test(users, gap[:, None], 10_000, rng)[0])
    return f"{100 * gap.mean() / base:+.1f} % ({gap.mean():+.4f}, 95 % {low:+.4f} to {high:+.4f}, p = {p:.4f})"


if __name__ == "__main__":
    main()
