"""How well a teacher's lists place their own targets: those of training against those of validation.

A teacher that was trained on a target names it from memory, and a list whose first item is the very target says little
beyond it. Lists of targets that nobody was trained on (validation) show how good the teacher is. `distill.drop_target`
takes the target out of the list; `teacher.folds` has lists written by teachers that have not seen the user.
"""

from typing import TypedDict

import numpy as np

from recdistill.data.prepared import PreparedData, SplitName, Targets
from recdistill.distill.outputs import OutputsReader
from recdistill.errors import UserError
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.ranking import MISS

SAMPLE = 50_000
"""Most targets of a split that are looked at."""


Memorised = TypedDict("Memorised", {"targets": int, "ndcg@10": float, "probability": float, "entropy": float})
"""What the lists of a split know of their targets; see :func:`target_memorisation`."""


def target_memorisation(reader: OutputsReader, data: PreparedData, seed: int) -> dict[str, Memorised]:
    """What the lists know of their own targets.

    Args:
        reader: the store.
        data: the histories, without mixed ones, which have no targets.
        seed: of the sample, where a split has more than :data:`SAMPLE` targets.

    Returns:
        For `train` and `validation`, where there are targets: `targets` looked at; `ndcg@10` of the target in its list;
        its mean probability there, `probability` (softmax of the list's scores; 0 where it is not in it); and the mean
        `entropy` of the lists in nats. On validation `ndcg@10` is the teacher's of an evaluation that leaves out items
        already seen, unless targets repeat their history (a list holds them, an evaluation misses them) or lists are
        shorter than ten.

    Raises:
        UserError: a score is infinite.
    """
    splits: tuple[SplitName, ...] = ("train", "validation")
    targets = {split: data.targets(split) for split in splits}
    return {split: _looked_at(reader, data, rows, seed) for split, rows in targets.items() if len(rows)}


def _looked_at(reader: OutputsReader, data: PreparedData, targets: Targets, seed: int) -> Memorised:
    """One split's figures."""
    if len(targets) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(len(targets), SAMPLE, replace=False))
        targets = Targets(targets.users[rows], targets.positions[rows])
    records = reader.require(targets.users, targets.positions, with_states=False)
    scores = records.top_scores.astype(np.float64)  # -inf in empty places: exp makes them 0
    if np.isposinf(scores[:, 0]).any():
        raise UserError(f"{reader.folder}: a score is infinite: the teacher's training has overflowed")
    shares = np.exp(scores - scores[:, :1])
    shares /= shares.sum(axis=1, keepdims=True)
    hits = records.top_items == data.target_items(targets)[:, None]
    ranks = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, MISS)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return {
        "targets": len(targets),
        "ndcg@10": float(ndcg(ranks, 10).mean()),
        "probability": float((shares * hits).sum(axis=1).mean()),
        "entropy": float(entropy.mean()),
    }
