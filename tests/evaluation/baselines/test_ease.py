from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.baselines.ease import EaseScorer, ease_weights

CONFIG = EvaluateConfig()


def test_weights_of_two_items_by_hand(make_data: Callable[..., PreparedData]) -> None:
    # Train: {1, 2} twice and {1}; XᵀX + I is [[4, 2], [2, 3]], its inverse [[3, -2], [-2, 4]] / 8.
    data = make_data([1, 2, 3, 3], [2, 1, 3, 3], [1, 3, 3], num_items=3)
    weights = ease_weights(data, 1.0)
    assert weights.numpy() == pytest.approx(np.array([[0, 1 / 2, 0], [2 / 3, 0, 0], [0, 0, 0]]))
    scores = EaseScorer(data, CONFIG, 1.0).score(np.array([0, 0, 0]), np.array([1, 2, 3]))
    expected = np.array([[0, 0, 1 / 2, 0], [0, 2 / 3, 1 / 2, 0], [0, 2 / 3, 1 / 2, 0]])
    assert scores.numpy() == pytest.approx(expected, abs=1e-6)


def test_weights_minimise_the_papers_loss(make_data: Callable[..., PreparedData]) -> None:
    rng = np.random.default_rng(0)
    data = make_data(*[rng.choice(np.arange(1, 10), 6, replace=False).tolist() for _ in range(30)], num_items=9)
    x = torch.zeros(30, 9, dtype=torch.float64)
    for user in range(30):
        x[user, data.history(user, 4).astype(int) - 1] = 1
    free = ease_weights(data, 3.0).double().requires_grad_()
    (((x - x @ free) ** 2).sum() + 3.0 * (free**2).sum()).backward()
    gradient = free.grad
    assert gradient is not None
    assert gradient.fill_diagonal_(0).abs().max() < 1e-4  # the diagonal is held at zero
    assert free.diagonal().abs().max() == 0


def test_one_matrix_holds_the_whole_fit(
    make_data: Callable[..., PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the limit of 4·N² bytes rests on: LAPACK writes into the very matrix that it reads."""
    made: list[Tensor] = []
    zeros = torch.zeros

    def watched(*size: int, **kind: Any) -> Tensor:
        made.append(zeros(*size, **kind))
        return made[-1]

    monkeypatch.setattr(torch, "zeros", watched)
    data = make_data([1, 2, 3, 4, 5, 5], [2, 1, 3, 4, 5], num_items=5)
    weights = ease_weights(data, 1.0)
    assert weights.data_ptr() == made[0].data_ptr()
    assert weights.untyped_storage().nbytes() == 4 * 5 * 5
