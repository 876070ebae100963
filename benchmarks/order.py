"""What the order of a history is worth to a run's models: validation ranked with histories reordered; JSON lines.

    python benchmarks/order.py runs/games
    python benchmarks/order.py runs/mine runs/mine-shuffled --models student

Each model of the finished runs ranks the same targets behind the same items, as they are and reordered:

    shuffled      the items that models read (the latest `--window`), in a random order
    but-latest    the same, the latest item left where it is
    reversed      the same, the latest first
    whole         all items before the target in a random order, so that others than the latest are read

`correction` is what the language model adds to the student's scores in the teacher's, alone, where it has learned any.
Beside the models stand baselines, fitted on the histories as they are, and title similarity with two decays; with decay
1 and a random order of what is read it sees no order, so its loss is 0 but for rounding. A line for each model: NDCG@10
as it is, and of each order NDCG@10 (the mean of `--draws` permutations of each user), what was lost with its 95 %
interval over users and the p value of paired sign flips, and how much more than the first model lost (`beyond_first`).
`by_read` holds NDCG@10 as it is and reordered by the number of items read.

Behind the first run may stand runs of the same targets, such as one that was trained with `data.history_order:
shuffled`: their models read the first run's histories, and `against_first` is their NDCG@10 less that of its model of
the same name.

Nothing is trained, and no folder is written to. Data in which a user has several validation targets
(`data.split: global_time`) are refused, since one of them may stand before another.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gate import refuse_several_targets
from recdistill.config import RunConfig
from recdistill.config.evaluate import BaselineName
from recdistill.config.settings import run_config
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.evaluation.baselines import BUILDERS
from recdistill.evaluation.metrics import FloatArray, ndcg
from recdistill.evaluation.protocol import rank_validation
from recdistill.evaluation.scorer import Scorer, latest_items
from recdistill.evaluation.significance import bootstrap_means, interval, sign_flip_test
from recdistill.evaluation.top_k import products
from recdistill.language_models.title_lora import load_tuning
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.pipeline.models import scorers
from recdistill.pipeline.plans import OpenRun
from recdistill.storage.files import read_json, read_tensors
from recdistill.storage.run_folder import RunFolder
from recdistill.students.title_similarity import decayed_last
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import load_teacher
from recdistill.teacher.whitening import whiten

Places = NDArray[np.int64]
Maker = Callable[[PreparedData], Scorer]

ORDERS: dict[str, Callable[[Places, np.random.Generator], Places]] = {
    "shuffled": lambda places, rng: rng.permutation(places),
    "but-latest": lambda places, rng: np.append(rng.permutation(places[:-1]), places[-1:]),
    "reversed": lambda places, _: places[::-1],
    "whole": lambda places, rng: rng.permutation(places),
}
BASELINES: tuple[BaselineName, ...] = ("popularity", "cooccurrence", "item_knn")
DECAYS = (0.9, 1.0)
CORRECTION = "correction"
READ = ((1, 1), (2, 4), (5, 9), (10, 10**9))
"""Numbers of items read that are told apart."""
SAMPLES, FLIPS = 2000, 10_000


def reordered(data: PreparedData, targets: Targets, window: int, order: str, seed: int) -> PreparedData:
    """A copy in which the items before each target stand in another order; targets and later items stay.

    Args:
        data: the histories.
        targets: at most one a user.
        window: the latest items before the target that are reordered; of order `whole` all are.
        order: one of :data:`ORDERS`.
        seed: with the user's number, of the permutation.
    """
    items = np.array(data.items)
    for user, position in zip(targets.users.tolist(), targets.positions.tolist(), strict=True):
        end = int(data.offsets[user]) + position
        places = np.arange(end - (position if order == "whole" else min(position, window)), end)
        items[places] = data.items[ORDERS[order](places, np.random.default_rng([seed, user]))]
    return replace(data, items=items)


class Similarity:
    """How like each title is to those of the history, an item of age a weighing decay^a; `vectors` are (N + 1, W)."""

    def __init__(self, vectors: Tensor, decay: float, data: PreparedData, window: int) -> None:
        self.vectors, self.decay, self.data, self.window = vectors, decay, data, window

    def item_vectors(self) -> Tensor:
        """Title vectors (N + 1, W)."""
        return self.vectors

    def states(self, item_vectors: Tensor, users: IntArray, positions: IntArray) -> Tensor:
        """Decayed means (B, W)."""
        items = torch.from_numpy(latest_items(self.data, users, positions, self.window))
        return decayed_last(item_vectors, items, self.decay)

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1)."""
        return products(self.states(self.vectors, users, positions), self.vectors.T)


def settings(run: Path) -> RunConfig:
    """The settings of a run's student and, where it has one, its teacher, and how their targets were ranked."""
    manifests = {name: run / name / "manifest.json" for name in ("student", "teacher")}
    read = {name: read_json(path) for name, path in manifests.items() if path.is_file()}
    sections = {"teacher": {"kind": "none"}} | {name: manifest["config"] for name, manifest in read.items()}
    inputs = read["student"]["inputs"]
    ranked = {"filter_seen": inputs.get("evaluate.filter_seen", True), "baselines": [], "split": "validation"}
    return run_config(sections | {"evaluate": ranked, "seed": int(inputs["seed"])})


def models_of(run: Path, config: RunConfig, data: PreparedData) -> dict[str, Maker]:
    """Each model of a finished run, as what reads given histories."""
    folders = {"student": "student", "titled": "teacher/titled", "teacher": "teacher", "distilled": "distilled"}
    opened, context = OpenRun(config, RunFolder(run), "cpu"), RunContext("cpu", Profiler("cpu"), run)

    def maker(name: str) -> Maker:
        return lambda histories: scorers(opened, histories, context)[name]()

    made = {name: maker(name) for name in scorers(opened, data, context) if (run / folders[name]).is_dir()}
    if config.teacher.kind == "llm" and config.teacher.head == "residual" and "teacher" in made:
        weights = read_tensors(run / "teacher" / "ranker.safetensors")
        if weights["head.query.weight"].any():  # else validation has kept the teacher as it was before its first step
            made[CORRECTION] = partial(correction, run, config)
    return made


def correction(run: Path, config: RunConfig, histories: PreparedData) -> Scorer:
    """The part of a teacher's scores that the language model makes, alone."""
    teacher = load_teacher(config, histories, run / "student", run / "teacher", "cpu")
    head = teacher.ranker.head
    with torch.no_grad():
        head.student_vectors.zero_()
        head.correction_weight.fill_(1.0)
        if head.titles_weight is not None:
            head.titles_weight.fill_(0.0)
    return TeacherScorer(teacher)


def baseline(name: BaselineName, fitted_on: PreparedData, config: RunConfig) -> Maker:
    """A baseline that is fitted once, on the histories as they are, and reads others."""

    @cache
    def fitted() -> Scorer:
        return BUILDERS[name](fitted_on, config.evaluate)

    def read(histories: PreparedData) -> Scorer:
        vars(fitted())["data"] = histories
        return fitted()

    return read


def similarity(run: Path, config: RunConfig, data: PreparedData, decay: float, window: int) -> Maker:
    """Title similarity as the run's teacher embeds titles."""

    @cache
    def vectors() -> Tensor:
        tuning = load_tuning(run / "teacher")
        embeddings = title_embeddings(config.teacher, data.texts, cache_folder(), "cpu", tuning)
        return whiten(embeddings, config.teacher.title_dim)

    return lambda histories: Similarity(vectors(), decay, histories, window)


def beside(run: Path, config: RunConfig, data: PreparedData, window: int) -> dict[str, Maker]:
    """Baselines, and title similarity where items have titles."""
    similarities = {f"similarity {decay:g}": similarity(run, config, data, decay, window) for decay in DECAYS}
    return {name: baseline(name, data, config) for name in BASELINES} | (similarities if any(data.texts) else {})


def smallest_window(config: RunConfig) -> int:
    """The latest items that every model of a run reads."""
    lengths = [config.student.max_length]
    return min(lengths if config.teacher.kind == "none" else [*lengths, config.teacher.history_length])


def told(users: IntArray, gap: FloatArray) -> dict[str, Any]:
    """The mean of paired differences (rows,), its 95 % interval over users, and p."""
    rng, column = np.random.default_rng(0), gap[:, None]
    ends = interval(bootstrap_means(users, column, SAMPLES, rng))[0]
    return {
        "mean": round(float(gap.mean()), 5),
        "interval": [round(float(end), 5) for end in ends],
        "p": round(float(sign_flip_test(users, column, FLIPS, rng)[0]), 5),
    }


class Measured(NamedTuple):
    """NDCG@10 of a model, (rows,): with histories as they are, and in each order."""

    as_is: FloatArray
    orders: dict[str, FloatArray]


class Orders:
    """The histories of a run in every order, and what models make of them.

    Args:
        data: the histories as they are.
        config: how targets are ranked.
        window: the latest items that are reordered.
        draws: permutations of each user, but for `reversed`, of which there is one.
        seed: of the permutations.

    Raises:
        SystemExit: some user has several validation targets.
    """

    def __init__(self, data: PreparedData, config: RunConfig, window: int, draws: int, seed: int) -> None:
        refuse_several_targets(data)
        self.data, self.config, self.targets = data, config, data.targets("validation")
        self.read = np.minimum(self.targets.positions, window)
        longer = bool((self.targets.positions > window).any())  # else `whole` would be `shuffled` once more
        self.copies = {
            order: [
                reordered(data, self.targets, window, order, seed + draw)
                for draw in range(1 if order == "reversed" else draws)
            ]
            for order in ORDERS
            if order != "whole" or longer
        }
        self.first: Measured | None = None

    def measure(self, make: Maker) -> Measured:
        """NDCG@10 of each target as histories are, and of each order the mean over its permutations."""
        as_is = self._quality(make, self.data)
        # Means of differences: where no permutation changes anything, they are 0 and not rounding.
        found = {
            order: as_is - np.mean([as_is - self._quality(make, copy) for copy in copies], axis=0)
            for order, copies in self.copies.items()
        }
        return Measured(as_is, found)

    def line(self, measured: Measured) -> dict[str, Any]:
        """What a model's line holds of its quality; the first model is that of `beyond_first`."""
        self.first = self.first or measured
        as_is, orders = measured.as_is, {}
        for order, values in measured.orders.items():
            lost = as_is - values
            orders[order] = {
                "reordered": self._reordered(order),
                "ndcg@10": round(float(values.mean()), 5),
                "lost": told(self.targets.users, lost),
                "lost_percent": round(100 * float(lost.mean() / as_is.mean()), 2) if as_is.any() else None,
                "beyond_first": told(self.targets.users, lost - (self.first.as_is - self.first.orders[order])),
                "by_read": dict(self._by_read(as_is, values)),
            }
        return {"targets": len(self.targets), "ndcg@10": round(float(as_is.mean()), 5), "orders": orders}

    def _quality(self, make: Maker, data: PreparedData) -> FloatArray:
        return ndcg(rank_validation(make(data), data, self.config.evaluate).ranks, 10)

    def _reordered(self, order: str) -> int:
        """Users whose history differs in the first permutation from what it is."""
        moved = np.flatnonzero(self.copies[order][0].items != self.data.items)
        return len(np.unique(np.searchsorted(self.data.offsets, moved, side="right")))

    def _by_read(self, as_is: FloatArray, values: FloatArray) -> Iterator[tuple[str, dict[str, float]]]:
        for first, last in READ:
            rows = (self.read >= first) & (self.read <= last)
            if rows.any():
                means = {"as it is": as_is[rows].mean(), "reordered": values[rows].mean()}
                name = f"{first}-{last}" if last < READ[-1][1] else f"{first}+"
                yield name, {"targets": int(rows.sum())} | {key: round(float(one), 5) for key, one in means.items()}


def asked_models(
    runs: list[Path], configs: Mapping[Path, RunConfig], data: PreparedData, window: int, names: list[str]
) -> Iterator[tuple[Path, str, Maker]]:
    """The models of each run, and behind the first run's what stands beside them; all, or those of these names.

    Raises:
        SystemExit: a run has other targets than the data, or lacks a model.
    """
    for run in runs:
        if PreparedData.load(run / "prepare").evaluation_fingerprint != data.evaluation_fingerprint:
            raise SystemExit(f"order: {run} has other targets than {runs[0]}")
        makers = models_of(run, configs[run], data)
        if run == runs[0]:
            makers |= beside(run, configs[run], data, window)
        if unknown := set(names) - makers.keys():
            raise SystemExit(f"order: {run} has no {', '.join(sorted(unknown))}; it has {', '.join(makers)}")
        for name in names or makers:
            yield run, name, makers[name]


def lines(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A line for each model.

    Raises:
        SystemExit: see :class:`Orders` and :func:`asked_models`.
    """
    data = PreparedData.load(given.runs[0] / "prepare")
    configs = {run: settings(run) for run in given.runs}
    window = given.window or min(map(smallest_window, configs.values()))
    orders = Orders(data, configs[given.runs[0]], window, given.draws, given.seed)
    of_first: dict[str, FloatArray] = {}
    for run, name, make in asked_models(given.runs, configs, data, window, given.models):
        began = time.process_time()
        measured = orders.measure(make)
        line = {"run": str(run), "model": name, "window": window, "draws": given.draws, "seed": given.seed}
        line |= orders.line(measured)
        if run == given.runs[0]:
            of_first[name] = measured.as_is
        elif name in of_first:
            line["against_first"] = told(orders.targets.users, measured.as_is - of_first[name])
        yield line | {"cpu_seconds": round(time.process_time() - began, 1), "data": data.fingerprint}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="finished runs of the same targets")
    parser.add_argument("--models", nargs="+", default=[], help="some of them alone (unset: all)")
    parser.add_argument(
        "--window", type=int, help="latest items that are reordered (unset: as many as all models read)"
    )
    parser.add_argument("--draws", type=int, default=3, help="permutations of each user")
    parser.add_argument("--seed", type=int, default=1, help="of the permutations")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for line in lines(given):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
