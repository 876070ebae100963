"""What can be ranked with: scores of all items for a history, or a state whose products with item vectors they are."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.data.prepared import IntArray, PreparedData
from recdistill.evaluation.top_k import products


class Scorer(Protocol):
    """Anything that can score the whole catalog for a history."""

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores of all items for the histories before B targets.

        Args:
            users: (B,) int32.
            positions: (B,) int32, at least 1; the history of a row is what its user did before that position.

        Returns:
            Floats (B, N+1), higher is better; column 0, the padding's, is never read.
        """
        ...


@runtime_checkable
class StateScorer(Scorer, Protocol):
    """A scorer by products of states and item vectors: the ranking makes as many of them at a time as it likes."""

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, D) as the model has them now, row 0 the padding's."""
        ...

    def states(self, item_vectors: Tensor, users: IntArray, positions: IntArray) -> Tensor:
        """States (B, D) of the histories before B targets, given what :meth:`item_vectors` returned."""
        ...


class StateModel(Protocol):
    """A model of item sequences whose scores are products of states and item vectors."""

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, D)."""
        ...

    def last_states_with(self, item_vectors: Tensor, items: Tensor) -> Tensor:
        """States (B, D) after whole histories, int64 (B, L), oldest item first, 0 to the right."""
        ...


class _SequenceScorer:
    """See :func:`sequence_scorer`."""

    def __init__(
        self, last_scores: Callable[[Tensor], Tensor], data: PreparedData, max_length: int, device: str
    ) -> None:
        self.last_scores, self.data, self.max_length, self.device = last_scores, data, max_length, device

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N+1) for the latest items of the histories."""
        windows = latest_items(self.data, users, positions, self.max_length)
        return self.last_scores(torch.from_numpy(windows).to(self.device))


class _StateSequenceScorer:
    """See :func:`state_scorer`."""

    def __init__(self, model: StateModel, data: PreparedData, max_length: int, device: str) -> None:
        self.model, self.data, self.max_length, self.device = model, data, max_length, device

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, D)."""
        return self.model.item_vectors()

    def states(self, item_vectors: Tensor, users: IntArray, positions: IntArray) -> Tensor:
        """States (B, D) after the latest items of the histories."""
        windows = latest_items(self.data, users, positions, self.max_length)
        return self.model.last_states_with(item_vectors, torch.from_numpy(windows).to(self.device))

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N+1) for the latest items of the histories."""
        vectors = self.item_vectors()
        return products(self.states(vectors, users, positions), vectors.T)


def sequence_scorer(
    last_scores: Callable[[Tensor], Tensor], data: PreparedData, max_length: int, device: str = "cpu"
) -> Scorer:
    """Make a scorer from a model that reads item sequences.

    Args:
        last_scores: histories (B, L) int64, oldest item first, 0 to the right → scores (B, N+1) of what comes next.
        data: where the histories are.
        max_length: the latest items of a history that the model is given.
        device: where the model is.
    """
    return _SequenceScorer(last_scores, data, max_length, device)


def state_scorer(model: StateModel, data: PreparedData, max_length: int, device: str = "cpu") -> StateScorer:
    """As :func:`sequence_scorer`, from a model whose scores are products: its item vectors are made once a ranking."""
    return _StateSequenceScorer(model, data, max_length, device)


def latest_items(data: PreparedData, users: IntArray, positions: IntArray, max_length: int) -> NDArray[np.int64]:
    """The last `max_length` items before each position: (B, L), oldest first, 0 to the right, L as short as can be."""
    lengths = np.minimum(positions, max_length).astype(np.int64)
    places = np.arange(lengths.max(initial=0))
    events = (data.offsets[users] + positions - lengths)[:, None] + places
    real = places < lengths[:, None]
    return np.where(real, data.items[np.where(real, events, 0)], 0).astype(np.int64)
