from collections.abc import Callable

import numpy as np
import pytest
import torch

from recdistill.data.prepared import PreparedData, Targets
from recdistill.distill import lists
from recdistill.distill.lists import best_items, hide_history, list_scores, without_targets
from recdistill.students.losses import CHUNK_SCORES


def test_history_is_hidden_and_a_repeated_target_is_not(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 1, 3, 4], [5, 4, 3, 2], num_items=5)
    targets = Targets(np.array([0, 0, 1], np.int32), np.array([2, 3, 1], np.int32))
    scores = torch.arange(6.0).repeat(3, 1)
    hide_history(scores, data, targets)
    gone = -torch.inf
    # Target 1 after 1 2: only 2 is hidden. Target 3 after 1 2 1: 1 and 2. Target 4 after 5: 5.
    assert scores.tolist() == [[0, 1, gone, 3, 4, 5], [0, gone, gone, 3, 4, 5], [0, 1, 2, 3, 4, gone]]


def test_a_target_is_taken_out_and_what_stood_behind_it_moves_up() -> None:
    items = np.array([[7, 3, 5], [7, 3, 5], [7, 3, 5], [7, 3, 0], [7, 0, 0]], np.int32)
    scores = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1], [3, 2, -np.inf], [3, -np.inf, -np.inf]], np.float32)
    before = items.copy(), scores.copy()
    found, of_them = without_targets(items, scores, np.array([3, 7, 4, 3, 7]))
    assert found.tolist() == [[7, 5, 0], [3, 5, 0], [7, 3, 5], [7, 0, 0], [0, 0, 0]]
    empty = -np.inf
    assert of_them.tolist() == [[3, 1, empty], [2, 1, empty], [3, 2, 1], [3, empty, empty], [empty, empty, empty]]
    assert np.array_equal(items, before[0])
    assert np.array_equal(scores, before[1])


@pytest.mark.parametrize("places_per_item", [0, 1000])
def test_list_scores_by_product_and_by_look_up_are_the_same_with_their_gradients(
    places_per_item: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "ITEMS_PER_PLACE", places_per_item)  # 0: always looked up; 1000: always by product
    monkeypatch.setitem(CHUNK_SCORES, "cpu", 100)  # five rows at a time, the last chunk shorter
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(12, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(20, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    items = torch.randint(0, 20, (12, 6), generator=generator)  # repeats within a row among them
    weights = torch.randn(12, 6, generator=generator, dtype=torch.float64)
    found = torch.autograd.grad((list_scores(states, vectors, items) * weights).sum(), (states, vectors))
    expected = torch.autograd.grad(((states @ vectors.T).gather(1, items) * weights).sum(), (states, vectors))
    torch.testing.assert_close(list_scores(states, vectors, items), (states @ vectors.T).gather(1, items))
    torch.testing.assert_close(found, expected)


def test_list_scores_of_half_precision_are_full_precision() -> None:
    states, vectors = torch.ones(2, 4, dtype=torch.bfloat16), torch.ones(3, 4, dtype=torch.bfloat16)
    assert list_scores(states, vectors, torch.ones(2, 1, dtype=torch.int64)).dtype == torch.float32


def test_list_scores_by_hand_with_gradients_to_both() -> None:
    states = torch.tensor([[1.0, 2.0], [0.0, 3.0]], requires_grad=True)
    vectors = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, -1.0]], requires_grad=True)
    scores = list_scores(states, vectors, torch.tensor([[2, 1], [1, 0]]))
    assert scores.tolist() == [[0.0, 3.0], [3.0, 0.0]]
    scores.sum().backward()
    assert states.grad is not None
    assert states.grad.tolist() == [[3.0, 0.0], [1.0, 1.0]]
    assert vectors.grad is not None
    assert vectors.grad.tolist() == [[0.0, 3.0], [1.0, 5.0], [1.0, 2.0]]


def test_best_items_are_those_of_the_whole_catalog_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    states, vectors = torch.randn(7, 4, generator=generator), torch.randn(12, 4, generator=generator)
    vectors[0] = 100 * states[0]  # The padding's row is never listed, whatever it holds.
    wanted = [set(row) for row in ((states @ vectors[1:].T).topk(3).indices + 1).tolist()]
    assert [set(row) for row in best_items(states, vectors, 3).tolist()] == wanted
    monkeypatch.setitem(CHUNK_SCORES, "cpu", 30)  # two rows at a time
    assert [set(row) for row in best_items(states, vectors, 3).tolist()] == wanted
