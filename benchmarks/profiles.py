r"""Is a language model's reading of a whole history worth anything to a student as an auxiliary target? A table.

    recdistill prepare --config my.yaml
    python benchmarks/profiles.py runs/mine --out runs/profiles --variants titles profile@1 permuted@1 --seeds 1 2

The `--reader` (minilm, llm, a folder) reads each user's latest `--titles` training titles as one text, oldest first;
the whitened embedding is the user's profile. While a student with titles trains (`titles` of `benchmarks/titles.py`), a
linear map of its state must point to the profile: 1 - cosine is added to the loss of each training target, times a
weight. The map is thrown away afterwards, and nothing is read when the student serves.

    titles        no profiles
    profile@W     profiles with weight W
    shuffled@W    the same, the values of each of the reader's matrices in a random order
    mean@W        the mean of the same titles' whitened embeddings instead: nothing reads them as one text
    permuted@W    profiles of other users, dealt at random: a regulariser that knows nothing

With `--positions last` the state after a window's last item alone is asked, as often as the window has targets.

After the last epoch (nothing is chosen) all validation users are ranked. `--out` gets a folder of ranks and a line in
`profiles.jsonl` for each variant and seed; what is there is not trained again, and an interrupted training resumes.
`profile_cosine` says how well the map has learned: the mean cosine over the users, after their last window. The table
at the end sets each variant beside `titles` and its controls of the same weight, paired over users; the seeds are
fixed.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from profile_training import ProfileTraining
from recdistill.config import EvaluateConfig, RunConfig, StudentConfig, TeacherConfig
from recdistill.config.teacher import Weights
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import training_windows
from recdistill.evaluation.protocol import rank_validation
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import write_array
from recdistill.storage.run_folder import fingerprint
from recdistill.teacher.whitening import whiten
from recdistill.training.fit import fit
from recdistill.training.student import StudentTraining, student_sequence_scorer
from recdistill.training.titled_student import titled_student
from title_variants import Variant
from titles import WATCHED, difference, few_trained, ndcg, ranks_folder, train_missing

INSTRUCTION = "Chosen by one person, oldest first: "
KINDS = ("titles", "profile", "shuffled", "mean", "permuted")
READ = ("profile", "shuffled", "permuted")
"""Kinds whose profiles the reader reads."""
CONTROLS = {"profile": ("titles", "shuffled", "mean", "permuted")}
"""What a kind is set beside, of the same weight; the others beside `titles`."""


@dataclass(frozen=True)
class Arm:
    """A variant: what stands as profile, and its weight in the loss."""

    kind: str
    weight: float = 0.0

    @classmethod
    def of(cls, name: str) -> "Arm":
        """Take a name apart."""
        kind, _, weight = name.partition("@")
        if kind not in KINDS or (kind == "titles") == bool(weight):
            raise SystemExit(f"{name}: no such variant; titles, or one of {', '.join(KINDS[1:])} with @ and a weight")
        return cls(kind, float(weight or 0))

    def beside(self, other: "Arm") -> bool:
        """Whether the other is one that this one is set beside."""
        if other.kind not in CONTROLS.get(self.kind, ("titles",) if self.kind != "titles" else ()):
            return False
        return other.kind == "titles" or other.weight == self.weight


def latest_trained(data: PreparedData, count: int) -> list[list[int]]:
    """The latest items of each user that are trained on, at most so many, oldest first."""
    ends = data.trained_ends.tolist()
    return [[int(item) for item in data.history(user, end)[-count:]] for user, end in enumerate(ends)]


def profile_texts(data: PreparedData, count: int) -> list[str]:
    """What the reader is given of each user, U texts: the latest training titles; empty where there is none."""
    known = [[title for item in items if (title := data.titles[item])] for items in latest_trained(data, count)]
    return [INSTRUCTION + "; ".join(titles) if titles else "" for titles in known]


def profiles(arm: Arm, data: PreparedData, titles: Tensor, arguments: argparse.Namespace) -> Tensor | None:
    """Profiles of all users, fp32 (U, P), zero where nothing is known of one; None: the variant has none.

    Args:
        arm: the variant.
        data: the histories; training interactions alone are read.
        titles: fp32 (N + 1, H), embeddings of the titles, for `mean`.
        arguments: the command's.
    """
    if arm.kind == "titles":
        return None
    if arm.kind == "mean":
        vectors = whiten(titles, arguments.dims)
        means = [
            vectors[items].mean(dim=0) if items else torch.zeros(vectors.shape[1])
            for items in latest_trained(data, arguments.titles)
        ]
        return whiten(torch.stack([torch.zeros(vectors.shape[1]), *means]), arguments.dims)[1:]
    texts = ["", *profile_texts(data, arguments.titles)]
    config = reader_config(arguments.reader, "shuffled" if arm.kind == "shuffled" else "pretrained")
    found = whiten(title_embeddings(config, texts, cache_folder(), "cpu"), arguments.dims)[1:]
    return dealt(found) if arm.kind == "permuted" else found


def dealt(found: Tensor) -> Tensor:
    """Each user's profile (U, P) given to another one, in one ring through all users who have one."""
    known = torch.nonzero((found != 0).any(dim=1)).squeeze(1)
    order = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(0))]
    others = torch.zeros_like(found)
    others[order] = found[order.roll(1)]
    return others


def reader_config(reader: str, weights: Weights) -> TeacherConfig:
    """The settings of whoever reads the profiles' texts."""
    if reader == "llm":
        return TeacherConfig(title_encoder=reader, llm_weights=weights)
    return TeacherConfig(title_encoder=reader, title_encoder_weights=weights)


def train_arm(
    name: str, seed: int, data: PreparedData, arguments: argparse.Namespace, folder: Path
) -> Mapping[str, Any]:
    """One variant: its line, its ranks written to `folder`."""
    began, arm = time.process_time(), Arm.of(name)
    config = Variant.of("titles", arguments.encoder).config(seed, arguments)
    encoder = reader_config(arguments.encoder, "pretrained")
    titles = title_embeddings(encoder, data.texts, cache_folder(), "cpu").half().float()  # as in a store of outputs
    wanted = profiles(arm, data, titles, arguments)
    training = make_training(config, data, titles, wanted, arm, arguments.positions == "last")
    read = time.process_time() - began
    folder.mkdir(parents=True, exist_ok=True)
    about = [arguments.encoder, arguments.reader, arguments.titles, arguments.dims, arguments.positions]
    made_from = fingerprint("profiles", name, config, about, data.fingerprint, data.split_fingerprint)
    with Profiler("cpu") as profiler:
        context = RunContext("cpu", profiler, folder)
        fit(training, config.student.train, context, seed, made_from, f"{name}, seed {seed}")
    trained = time.process_time() - began - read
    cosine = round(training.cosine(), 4) if isinstance(training, ProfileTraining) else None
    if isinstance(training, ProfileTraining):
        del training.module.profile_map
    ranking = rank_validation(student_sequence_scorer(training.module, data, "cpu"), data, EvaluateConfig())
    write_array(folder / "ranks.npy", ranking.ranks)
    values, few = ndcg(ranking.ranks), few_trained(data)
    return {
        "variant": name,
        "seed": seed,
        "epochs": arguments.epochs,
        "beta2": arguments.beta2,
        "loss": arguments.loss,
        "encoder": arguments.encoder,
        "reader": arguments.reader if arm.kind in READ else None,
        "titles": arguments.titles if wanted is not None else None,
        "positions": arguments.positions if wanted is not None else None,
        "profiles": 0 if wanted is None else int((wanted != 0).any(dim=1).sum()),
        "profile_cosine": cosine,
        "users": len(values),
        "ndcg@10": round(float(values.mean()), 5),
        "ndcg@10 few": round(float(values[few].mean()), 5) if few.any() else None,
        "few": int(few.sum()),
        "reading_cpu_seconds": round(read, 1),
        "training_cpu_seconds": round(trained, 1),
        "data": data.fingerprint,
    }


def make_training(
    config: RunConfig, data: PreparedData, titles: Tensor, wanted: Tensor | None, arm: Arm, last: bool
) -> StudentTraining:
    """An untrained student with titles; with profiles (U, P) where there are any. First weights follow the seed."""
    targets = data.targets("validation")
    rest = (
        titled_student(config, data.num_items, titles),
        data,
        training_windows(data, config.student.max_length, config.student.windows),
        config.student.loss,
        config.student.train,
        config.seed,
        "cpu",
        config.evaluate,
        Targets(targets.users[:WATCHED], targets.positions[:WATCHED]),
    )
    return StudentTraining(*rest) if wanted is None else ProfileTraining(wanted, arm.weight, last, *rest)


def table(data: PreparedData, arguments: argparse.Namespace) -> str:
    """Each variant's mean over seeds, and each beside what it is compared with: gain, interval, p."""
    names, seeds = arguments.variants, arguments.seeds
    values = {
        name: np.stack([ndcg(np.load(ranks_folder(arguments.out, name, seed) / "ranks.npy")) for seed in seeds])
        for name in names
    }
    users = data.targets("validation").users
    lines = [f"NDCG@10 of {len(users):,} validation targets, seeds {', '.join(map(str, seeds))}"]
    for name, found in values.items():
        each = ", ".join(f"{one:.4f}" for one in found.mean(axis=1))
        lines.append(f"{name:15} {found.mean():.4f}   seeds {each}")
    for one in names:
        for other in names:
            if Arm.of(one).beside(Arm.of(other)):
                gap = values[one].mean(axis=0) - values[other].mean(axis=0)
                lines.append(f"{one} - {other}: {difference(users, gap, values[other].mean())}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Train what is not there yet; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run that was prepared")
    parser.add_argument("--out", type=Path, required=True, help="folder for lines and ranks")
    parser.add_argument("--variants", nargs="+", default=["titles", "profile@1", "shuffled@1", "permuted@1"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--beta2", type=float, default=StudentConfig().train.beta2, help="as student.train.beta2")
    parser.add_argument("--loss", default="cross_entropy", choices=["cross_entropy", "auto"], help="student.loss.name")
    parser.add_argument("--encoder", default="minilm", help="of the item vectors' titles, as teacher.title_encoder")
    parser.add_argument("--reader", default="minilm", help="of the histories, as teacher.title_encoder")
    parser.add_argument("--titles", type=int, default=15, help="latest titles that are read of a history")
    parser.add_argument("--dims", type=int, default=128, help="of a profile, at most")
    parser.add_argument("--positions", default="every", choices=["every", "last"], help="whose states are asked")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    data = train_missing(arguments, "profiles.jsonl", train_arm)
    print(table(data, arguments))


if __name__ == "__main__":
    main()
