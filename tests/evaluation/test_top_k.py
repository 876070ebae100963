"""One rule for equal scores in evaluation, export and serving."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recdistill.evaluation.top_k import best_items
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
