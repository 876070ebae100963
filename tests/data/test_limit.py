import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.data.limit import sample_users
from recdistill.errors import UserError


def ends(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, dtype=np.int32)


def test_users_are_taken_until_the_next_is_too_many() -> None:
    order = np.random.default_rng(3).permutation(4)
    train_ends = ends(0, 0, 0, 0)
    train_ends[order] = [4, 3, 9, 2]  # 3 + 2 targets, then 8 are too many, though the 1 behind them would fit.
    assert sample_users(train_ends, 6, np.random.default_rng(3)).tolist() == sorted(order[:2])
    assert sample_users(train_ends, 13, np.random.default_rng(3)).tolist() == sorted(order[:3])


def test_the_first_user_is_too_many() -> None:
    with pytest.raises(UserError, match=r"data\.limit_rows: 5 is too few; the first user drawn has 9 training targets"):
        sample_users(ends(10, 10), 5, np.random.default_rng(0))


@given(st.lists(st.integers(0, 12), min_size=1, max_size=20), st.integers(12, 100), st.integers(0, 5))
def test_never_more_targets_than_the_limit_and_all_users_when_they_fit(
    values: list[int], limit: int, seed: int
) -> None:
    users = sample_users(ends(*values), limit, np.random.default_rng(seed))
    targets = [max(value - 1, 0) for value in values]
    assert sum(targets[user] for user in users) <= limit
    assert users.tolist() == sorted(set(users.tolist()))
    assert len(users) == len(values) or sum(targets) > limit
