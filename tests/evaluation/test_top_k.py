"""One rule for equal scores in evaluation, export and serving."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recdistill.evaluation import top_k as module
from recdistill.evaluation.top_k import best_by_states, best_items
from recdistill.serving.engines import best_of

ROWS = st.integers(1, 12).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=width, max_size=width), min_size=1, max_size=5
    )
)


@settings(deadline=None)
@given(ROWS, st.integers(1, 12))
def test_equal_scores_are_in_the_order_of_the_items_as_in_serving(rows: list[list[float]], top_k: int) -> None:
    top_k = min(top_k, len(rows[0]))
    values, columns = best_items(torch.tensor(rows), top_k)
    expected = [[item for _, item in sorted((-score, item) for item, score in enumerate(row))][:top_k] for row in rows]
    assert columns.tolist() == expected
    assert columns.tolist() == best_of(np.array(rows, dtype=np.float32), top_k).tolist()
    assert torch.equal(values, torch.tensor(rows).gather(1, columns))


def test_many_equal_scores_behind_few_good_ones() -> None:
    scores = torch.zeros(3, 5000)
    scores[:, 4000] = 1.0
    assert best_items(scores, 4)[1].tolist() == [[4000, 0, 1, 2]] * 3


def test_what_is_left_out_comes_last() -> None:
    scores = torch.tensor([[-torch.inf, 1.0, -torch.inf, 1.0]])
    values, columns = best_items(scores, 3)
    assert columns[0, :2].tolist() == [1, 3]
    assert values[0, 2] == -torch.inf


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("top_k", [1, 4, 12])
def test_lists_by_chunks_are_those_of_all_at_once_with_ties_across_chunks(
    monkeypatch: pytest.MonkeyPatch, width: int, top_k: int
) -> None:
    rng = np.random.default_rng(width)
    vectors = torch.from_numpy(rng.integers(-1, 2, size=(14, 2)).astype(np.float32))  # many equal ones
    states = torch.from_numpy(rng.integers(-2, 3, size=(6, 2)).astype(np.float32))
    hidden = torch.tensor([0, 0, 1, 5]), torch.tensor([3, 13, 7, 1])
    scores = states @ vectors.T
    scores[:, 0] = -torch.inf
    scores[hidden] = -torch.inf
    expected = best_items(scores, top_k)
    whole = best_by_states(states, vectors, top_k, hidden)
    monkeypatch.setattr(module, "most_scores", lambda memory: 2 * width)
    monkeypatch.setattr(module, "CHUNK", width)
    values, items = best_by_states(states, vectors, top_k, hidden)
    left = expected[0] > -torch.inf
    for found in (whole, (values, items)):
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1][left], expected[1][left])


def test_memory_of_scores_stays_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    listed = module.best_items

    def watched(scores: torch.Tensor, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(scores.numel())
        return listed(scores, top_k)

    monkeypatch.setattr(module, "best_items", watched)
    states, vectors, nothing = torch.ones(20, 2), torch.ones(200_001, 2), torch.zeros(0, dtype=torch.int64)
    values, items = best_by_states(states, vectors, 3, (nothing, nothing), score_memory=1)
    assert sum(sizes) == 20 * 200_001
    assert 2**17 <= max(sizes) <= 2**18  # 1 MiB of fp32
    assert items.tolist() == [[1, 2, 3]] * 20
    assert values.shape == (20, 3)
