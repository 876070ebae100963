"""Ranked lists: the best items of a score matrix, and a student's scores of the items on a list."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recdistill.data.prepared import PreparedData, Targets
from recdistill.evaluation.ranking import seen_items
from recdistill.students.losses import CHUNK_SCORES


def hide_history(scores: Tensor, data: PreparedData, targets: Targets) -> None:
    """Set the scores of each target's history to -inf, in place: what was chosen before is not to be listed.

    The whole history counts, also what a model's window has cut off. The target itself keeps its score where it is a
    repeat: nobody should be taught that what was chosen could not be.

    Args:
        scores: (M, N + 1).
        data: the histories.
        targets: the M keys.
    """
    own = torch.from_numpy(data.target_items(targets).astype(np.int64)).to(scores.device).unsqueeze(1)
    own_scores = scores.gather(1, own)
    rows, items = (torch.from_numpy(index).to(scores.device) for index in seen_items(data, targets))
    scores[rows, items] = -torch.inf
    scores.scatter_(1, own, own_scores)


def list_scores(states: Tensor, item_vectors: Tensor, items: Tensor) -> Tensor:
    """The scores of listed items: (M, D), (N + 1, D) and int64 (M, K) → (M, K)."""
    return torch.einsum("md,mkd->mk", states, functional.embedding(items, item_vectors))


@torch.no_grad()
def best_items(states: Tensor, item_vectors: Tensor, top_k: int) -> Tensor:
    """The K best of all items for each state, in no order: (M, D) and (N + 1, D) → int64 (M, K)."""
    catalog = item_vectors[1:].T
    chunks = torch.split(states, chunk_rows(item_vectors))
    return torch.cat([(part @ catalog).topk(top_k, dim=1, sorted=False).indices for part in chunks]) + 1


def chunk_rows(item_vectors: Tensor) -> int:
    """Rows whose scores of the whole catalog are held at a time."""
    return max(1, CHUNK_SCORES[item_vectors.device.type] // len(item_vectors))
