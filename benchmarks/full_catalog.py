"""Full-catalog ranking of every test user from one student's vectors: ours, by masks, and RecTools'; one line of JSON.

    PYTHONPATH=src OMP_NUM_THREADS=1 .others/bin/python benchmarks/full_catalog.py runs/games --model student

`requirements-others.txt` says how `.others` is made; in another environment RecTools is left out. All sides get the
same user states and item vectors, leave the items of the history out, and take turns, `--rounds` times; a figure is the
median of a side's CPU seconds, of the whole process. The model itself is timed apart.

ours          `rank`: each target's rank, and the ten best items
counted       `rank` without lists, as validation calls it
student       `rank` of the student itself, as `evaluate` calls it: it reads the histories
validated     the same without lists
by masks      the same ranks and lists the plain way: a mask for what is left out, a full comparison, torch's topk
scores        the product of states and vectors alone, which every side computes
RecTools      `recommend(k=10, filter_viewed=True)` of a model that has these vectors, by TorchRanker as its SASRec
implicit      the same by ImplicitRanker, as its matrix factorisations do
SASRec        `recommend` of RecTools' SASRec of the student's shape, untrained: its cost does not depend on weights. It
              reads the histories itself, so `student` stands against it

`evaluate_cpu_seconds` is all of `evaluate` for this model, once: model, ranks, lists, candidates, intervals.

Ranks of ours and by masks must be equal, and so must all sides' scores of the lists, to rounding. RecTools finds no
ranks of targets.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.ranking import MISS, rank, seen_items
from recdistill.evaluation.scorer import Scorer, latest_items
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.students.make import load_student
from recdistill.training.student import student_scorer

TOP_K, BATCH = 10, 256
Lists = tuple[Any, Any]
"""Items (rows, K) and, where a side finds them, ranks (rows,); None otherwise."""


class Given:
    """A scorer of given states (users, D), a row for each user."""

    def __init__(self, states: Tensor, vectors: Tensor) -> None:
        self.all_states, self.vectors = states, vectors

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1)."""
        return self.states(self.vectors, users, positions) @ self.vectors.T

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, D)."""
        return self.vectors

    def states(self, item_vectors: Tensor, users: IntArray, positions: IntArray) -> Tensor:
        """States (B, D)."""
        return self.all_states[torch.from_numpy(users.astype(np.int64))]


def user_states(folder: Path, data: PreparedData, targets: Targets) -> tuple[Tensor, Tensor]:
    """States (users, D) before each user's target, zero without one, and item vectors (N + 1, D)."""
    student = load_student(folder).eval()
    states = torch.zeros(data.num_users, student.config.embedding_dim)
    order = np.argsort(targets.positions, kind="stable")
    with torch.inference_mode():
        for rows in np.array_split(order, max(1, len(order) // BATCH)):
            users, positions = targets.users[rows], targets.positions[rows]
            windows = latest_items(data, users, positions, student.config.max_length)
            states[torch.from_numpy(users.astype(np.int64))] = student.last_states(torch.from_numpy(windows))
        return states, student.item_vectors().clone()


def by_masks(scorer: Given, data: PreparedData, targets: Targets) -> Lists:
    """Ranks and lists with a mask of all that is left out."""
    ranks, lists = np.empty(len(targets), dtype=np.int64), np.empty((len(targets), TOP_K), dtype=np.int64)
    for start in range(0, len(targets), BATCH):
        batch = Targets(targets.users[start : start + BATCH], targets.positions[start : start + BATCH])
        scores = scorer.score(batch.users, batch.positions)
        target = torch.from_numpy(data.target_items(batch).astype(np.int64)).unsqueeze(1)
        left_out = torch.zeros(scores.shape, dtype=torch.bool)
        left_out[:, 0] = True
        left_out[tuple(map(torch.from_numpy, seen_items(data, batch)))] = True
        repeated = left_out.gather(1, target).squeeze(1)
        found = ((scores >= scores.gather(1, target)) & ~left_out).sum(dim=1).masked_fill(repeated, MISS)
        ranks[start : start + BATCH] = found.numpy()
        best = torch.topk(scores.masked_fill(left_out, -torch.inf), TOP_K)
        lists[start : start + BATCH] = best.indices.numpy()
    return lists, ranks


def scores_alone(scorer: Given, targets: Targets) -> Lists:
    """All scores, of which nothing is kept."""
    for start in range(0, len(targets), BATCH):
        scorer.score(targets.users[start : start + BATCH], targets.positions[start : start + BATCH])
    return None, None


def whole_evaluation(folder: Path, data: PreparedData) -> float:
    """CPU seconds of `evaluate` with its default settings, for one model."""
    with tempfile.TemporaryDirectory() as out, Profiler() as profiler:
        context = RunContext("cpu", profiler, Path(out))
        began = time.process_time()
        evaluate(data, EvaluateConfig(), {"student": lambda: student_scorer(folder, data, "cpu")}, 42, context)
        return time.process_time() - began


def rectools_data(data: PreparedData, targets: Targets) -> Any:
    """A data set of the histories before the targets."""
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset

    lengths = targets.positions.astype(np.int64)
    users = np.repeat(targets.users, lengths)
    asked = zip(targets.users.tolist(), targets.positions.tolist(), strict=True)
    items = np.concatenate([data.history(user, position) for user, position in asked])
    # Every item is there once, so that the catalog is whole: an extra user knows them all, and is not asked about.
    extra = np.arange(1, data.num_items + 1)
    frame = {
        Columns.User: np.concatenate([users, np.full(len(extra), data.num_users)]),
        Columns.Item: np.concatenate([items, extra]),
    }
    times = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(users) + len(extra)), unit="s")
    return Dataset.construct(pd.DataFrame(frame | {Columns.Weight: 1, Columns.Datetime: times}))


def rectools_side(data: PreparedData, targets: Targets, given: Given, kind: str) -> Callable[[], Lists]:
    """RecTools' `recommend` of a model that has these vectors, over a data set of the histories."""
    from rectools import Columns
    from rectools.models.rank import Distance, TorchRanker
    from rectools.models.vector import Factors, VectorModel

    dataset = rectools_data(data, targets)
    states = torch.cat([given.all_states, torch.zeros(1, given.all_states.shape[1])])[dataset.user_id_map.external_ids]
    vectors = given.vectors[dataset.item_id_map.external_ids]

    class Model(VectorModel):  # type: ignore[misc]
        u2i_dist = i2i_dist = Distance.DOT
        recommend_n_threads, recommend_use_gpu_ranking = 1, False

        def __init__(self) -> None:
            super().__init__()
            self.recommend_n_threads, self.is_fitted = 1, True

        def _fit(self, dataset: Any) -> None: ...

        def _get_users_factors(self, dataset: Any) -> Any:
            return Factors(states.numpy())

        def _get_items_factors(self, dataset: Any) -> Any:
            return Factors(vectors.numpy())

    class ByTorch(Model):
        def _recommend_u2i(self, user_ids: Any, dataset: Any, k: int, filter_viewed: bool, sorted_items: Any) -> Any:
            seen = dataset.get_user_item_matrix(include_weights=False, include_warm_items=True)[user_ids]
            ranker = TorchRanker(Distance.DOT, "cpu", states[user_ids], vectors)
            rows, items, scores = ranker.rank(np.arange(len(user_ids)), k, seen, sorted_items)
            return user_ids[rows], items, scores

    model = ByTorch() if kind == "torch" else Model()

    def recommend() -> Lists:
        found = model.recommend(targets.users, dataset, TOP_K, filter_viewed=True)
        return found[Columns.Item].to_numpy().reshape(len(targets), TOP_K), None

    return recommend


def rectools_sasrec(data: PreparedData, targets: Targets, folder: Path) -> Callable[[], Lists]:
    """`recommend` of an untrained SASRec of RecTools with the student's shape."""
    import pytorch_lightning as lightning
    from rectools.models import SASRecModel

    shape = load_student(folder).config
    model = SASRecModel(
        n_factors=shape.embedding_dim,
        n_blocks=shape.num_layers,
        n_heads=shape.num_heads,
        session_max_len=shape.max_length,
        recommend_batch_size=BATCH,
        recommend_torch_device="cpu",
        get_trainer_func=lambda: lightning.Trainer(
            max_epochs=0, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
        ),
    )
    dataset = rectools_data(data, targets)
    model.fit(dataset)

    def recommend() -> Lists:
        model.recommend(targets.users, dataset, TOP_K, filter_viewed=True)
        return None, None

    check_unseen(model.recommend(targets.users, dataset, TOP_K, filter_viewed=True), data, targets)
    return recommend


def check_unseen(found: Any, data: PreparedData, targets: Targets) -> None:
    """Each user has a list of K items, all of them items that are not in the history.

    Args:
        found: RecTools' frame, with `user_id` and `item_id`.
        data: the histories.
        targets: whose histories were read.

    Raises:
        SystemExit: it is not so.
    """
    listed = found["user_id"].to_numpy() * (data.num_items + 1) + found["item_id"].to_numpy()
    per_user = np.bincount(found["user_id"], minlength=data.num_users)[targets.users]
    if len(np.unique(listed)) != len(listed) or not (per_user == TOP_K).all():
        raise SystemExit(f"RecTools' SASRec: not every user has {TOP_K} items")
    rows, seen = seen_items(data, targets)
    if np.isin(targets.users[rows].astype(np.int64) * (data.num_items + 1) + seen, listed).any():
        raise SystemExit("RecTools' SASRec: a list has an item of the history")


def check(given: Given, targets: Targets, found: dict[str, Lists]) -> dict[str, float]:
    """Share of each side's lists that are ours item by item.

    Raises:
        SystemExit: scores of lists differ by more than rounding, or ranks differ.
    """
    states = given.all_states[torch.from_numpy(targets.users.astype(np.int64))]

    def scores(lists: Any) -> Any:
        return torch.einsum("bd,bkd->bk", states, given.vectors[torch.from_numpy(lists.astype(np.int64))]).numpy()

    expected, ranks = found["ours"]
    same = {}
    for name, (lists, others) in found.items():
        if lists is not None:
            if not np.allclose(scores(lists), scores(expected), rtol=1e-4, atol=1e-4):
                raise SystemExit(f"{name}: lists of other scores than ours")
            same[name] = round(float((lists == expected).all(axis=1).mean()), 5)
        # Sums of a batch of other rows may be rounded otherwise: equal but for neighbours.
        if others is not None and (differ := float((ranks != others).mean())) > 1e-3:
            raise SystemExit(f"{name}: {differ:.2%} of the ranks differ from ours")
    return same


def measure(data: PreparedData, folder: Path, rounds: int) -> dict[str, Any]:
    """The line of JSON, for the student in a folder."""
    torch.set_num_threads(1)
    targets = data.targets("test")
    began = time.process_time()
    given = Given(*user_states(folder, data, targets))
    model_seconds = time.process_time() - began

    def ours(top_k: int, scorer: Scorer = given) -> Lists:
        found = rank(data, targets, scorer, BATCH, filter_seen=True, top_k=top_k)
        return (found.top_items if top_k else None), found.ranks

    sides: dict[str, Callable[[], Lists]] = {"ours": lambda: ours(TOP_K), "counted": lambda: ours(0)}
    student = student_scorer(folder, data, "cpu")
    sides |= {"student": lambda: ours(TOP_K, student), "validated": lambda: ours(0, student)}
    sides["by masks"] = lambda: by_masks(given, data, targets)
    if find_spec("rectools") is not None:
        sides["RecTools"] = rectools_side(data, targets, given, "torch")
        sides["implicit"] = rectools_side(data, targets, given, "implicit")
        sides["SASRec"] = rectools_sasrec(data, targets, folder)
    sides["scores"] = lambda: scores_alone(given, targets)
    spent: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, Lists] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            began = time.process_time()
            found[name] = side()
            spent[name].append(time.process_time() - began)
    return {
        "benchmark": "full catalog",
        "users": len(targets),
        "items": data.num_items,
        "rounds": rounds,
        "model_cpu_seconds": round(model_seconds, 2),
        "evaluate_cpu_seconds": round(whole_evaluation(folder, data), 2),
        "cpu_seconds": {name: round(statistics.median(values), 2) for name, values in spent.items()},
        "all": {name: [round(value, 2) for value in values] for name, values in spent.items()},
        "same_lists": check(given, targets, found),
        "rectools": version("rectools") if "RecTools" in sides else "",
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", choices=["distilled", "student"], default="distilled")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = PreparedData.load(options.run / "prepare", read_titles=False)
    print(json.dumps(measure(data, options.run / options.model, options.rounds)))


if __name__ == "__main__":
    main()
