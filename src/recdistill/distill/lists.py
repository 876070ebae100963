"""Ranked lists: the best items of a score matrix, and a student's scores of the items on a list."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.evaluation.ranking import seen_items
from recdistill.students.losses import CHUNK_SCORES, wide


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


def without_targets(
    items: IntArray, scores: NDArray[np.float32], targets: NDArray[np.integer]
) -> tuple[IntArray, NDArray[np.float32]]:
    """The lists without their own targets; what stood behind one moves up.

    Args:
        items: (M, K), best first; 0 in empty places, which are the last ones.
        scores: (M, K); -inf in empty places.
        targets: (M,), from 1.

    Returns:
        Both again, (M, K); a list that held its target has one empty place more.
    """
    held = items == targets[:, None]
    order = np.argsort(held, axis=1, kind="stable")  # the target goes last, all others keep their order
    items, scores = np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
    rows = held.any(axis=1)
    items[rows, -1], scores[rows, -1] = 0, -np.inf
    return items, scores


ITEMS_PER_PLACE = 100
"""Catalogs of up to this many items for each place of a list are scored whole: on a CPU core, 64 wide and 50 places,
that takes 60 % of the time of looking vectors up at 3,500 items, and as long at about 6,000."""


class _ListScores(torch.autograd.Function):
    """The scores of listed items, by whole-catalog products a chunk of rows at a time.

    Looking up K vectors for each row would move M · K · D numbers in either direction, and sum the gradients of the
    items entry by entry. A product with the whole table is many times the arithmetic and takes a fraction of the time,
    as its chunk of scores stays in the cache.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, item_vectors: Tensor, items: Tensor) -> Tensor:
        size = chunk_rows(item_vectors)
        pairs = zip(torch.split(states, size), torch.split(items, size), strict=True)
        ctx.save_for_backward(states, item_vectors, items)
        return torch.cat([(part @ item_vectors.T).gather(1, listed) for part, listed in pairs])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        states, item_vectors, items = ctx.saved_tensors
        for_states, for_items = ctx.needs_input_grad[:2]
        grad_states = torch.empty_like(states) if for_states else None
        grad_items = torch.zeros_like(item_vectors) if for_items else None
        size = chunk_rows(item_vectors)
        for start in range(0, len(states), size):
            rows = slice(start, start + size)
            part, listed, grad = states[rows], items[rows], grads[0][rows]
            gradient = grad.new_zeros(len(part), len(item_vectors)).scatter_add_(1, listed, grad)
            if grad_states is not None:
                torch.mm(gradient, item_vectors, out=grad_states[rows])
            if grad_items is not None:
                grad_items.addmm_(gradient.T, part)
        return grad_states, grad_items, None


def list_scores(states: Tensor, item_vectors: Tensor, items: Tensor) -> Tensor:
    """The scores of listed items: (M, D), (N + 1, D) and int64 (M, K) → (M, K), in fp32 at least.

    On catalogs that are small beside the lists (`ITEMS_PER_PLACE`), the memory beside the inputs, their gradients and
    the result is one chunk of scores, whatever M and K; on larger ones the items' vectors are held, M · K · D numbers.
    """
    with torch.autocast(states.device.type, enabled=False):
        if len(item_vectors) > ITEMS_PER_PLACE * items.shape[1]:
            return torch.einsum("md,mkd->mk", wide(states), functional.embedding(items, wide(item_vectors)))
        return _ListScores.apply(wide(states), wide(item_vectors), items)  # type: ignore[no-any-return, no-untyped-call]


@torch.no_grad()
def best_items(states: Tensor, item_vectors: Tensor, top_k: int) -> Tensor:
    """The K best of all items for each state, in no order: (M, D) and (N + 1, D) → int64 (M, K)."""
    catalog = item_vectors[1:].T
    chunks = torch.split(states, chunk_rows(item_vectors))
    return torch.cat([(part @ catalog).topk(top_k, dim=1, sorted=False).indices for part in chunks]) + 1


def chunk_rows(item_vectors: Tensor) -> int:
    """Rows whose scores of the whole catalog are held at a time."""
    return max(1, CHUNK_SCORES[item_vectors.device.type] // len(item_vectors))
