"""How much of a teacher's lists is memory: lists of targets that it was trained on against lists of others.

A student that learns from a list whose first item is the very target learns little beyond the target. Lists of targets
that nobody was trained on (validation) show how good the teacher is; `teacher.folds` writes lists of the former kind.
"""

from typing import Any

import numpy as np

from recdistill.data.prepared import PreparedData, SplitName, Targets
from recdistill.distill.outputs import OutputsReader
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.ranking import MISS

MEMORY_FILE = "memory_of_targets.json"
SAMPLE = 50_000
"""Most targets of a split that are looked at."""


def memory_of_targets(reader: OutputsReader, data: PreparedData, seed: int) -> dict[str, dict[str, Any]]:
    """What the lists know of their own targets.

    Args:
        reader: the store.
        data: the histories, without made-up ones, which have no targets.
        seed: of the sample, where a split has more than :data:`SAMPLE` targets.

    Returns:
        For `train` and `validation`, where there are targets: `targets` looked at; `ndcg@10` of the target in its list,
        which is the teacher's where items already seen are left out; its mean probability there, `probability` (softmax
        of the list's scores; 0 where it is not in it); and the lists' mean `entropy` in nats.
    """
    splits: tuple[SplitName, ...] = ("train", "validation")
    return {split: _looked_at(reader, data, data.targets(split), seed) for split in splits if len(data.targets(split))}


def _looked_at(reader: OutputsReader, data: PreparedData, targets: Targets, seed: int) -> dict[str, Any]:
    """One split's figures."""
    if len(targets) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(len(targets), SAMPLE, replace=False))
        targets = Targets(targets.users[rows], targets.positions[rows])
    records = reader.require(targets.users, targets.positions, with_states=False)
    scores = records.top_scores.astype(np.float64)  # -inf in empty places: exp makes them 0
    shares = np.exp(scores - scores[:, :1])
    shares /= shares.sum(axis=1, keepdims=True)
    hits = records.top_items == data.target_items(targets)[:, None]
    ranks = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, MISS)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    means = {"ndcg@10": ndcg(ranks, 10), "probability": (shares * hits).sum(axis=1), "entropy": entropy}
    return {"targets": len(targets)} | {name: float(values.mean()) for name, values in means.items()}
