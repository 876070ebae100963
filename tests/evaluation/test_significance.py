import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recdistill.evaluation.significance as significance
from recdistill.evaluation.significance import (
    bootstrap_means,
    bootstrap_over_seeds,
    holm,
    interval,
    seed_noise,
    sign_flip_test,
)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_bootstrap_interval_of_a_mean_is_close_to_the_normal_one() -> None:
    values = rng(1).normal(size=(400, 1))
    low, high = interval(bootstrap_means(np.arange(400, dtype=np.int32), values, 4000, rng()))[0]
    error = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - error, abs=0.01)
    assert high == pytest.approx(values.mean() + error, abs=0.01)


def test_rows_of_one_user_stay_together() -> None:
    users, values = np.array([0, 0, 0, 1], dtype=np.int32), column(1, 1, 1, 0)
    drawn = bootstrap_means(users, values, 500, rng())[:, 0]
    assert set(np.round(drawn, 6)) == {0.0, 0.75, 1.0}  # users drawn: 11, 01 or 10, 00
    assert (drawn == 0.75).mean() == pytest.approx(0.5, abs=0.08)


def test_ten_copies_of_each_row_do_not_narrow_the_interval() -> None:
    users, values = np.arange(50, dtype=np.int32), rng(2).normal(size=(50, 1))
    once = interval(bootstrap_means(users, values, 1000, rng()))
    copied = interval(bootstrap_means(users.repeat(10), values.repeat(10, axis=0), 1000, rng()))
    assert copied == pytest.approx(once)


def test_columns_share_their_draws() -> None:
    values = rng(3).normal(size=(30, 1))
    drawn = bootstrap_means(np.arange(30, dtype=np.int32), np.hstack([values, values + 5]), 100, rng())
    assert drawn[:, 1] - drawn[:, 0] == pytest.approx(np.full(100, 5.0))


def test_interval_covers_the_truth_about_19_times_in_20() -> None:
    covered = 0
    for seed in range(300):
        values = rng(seed).exponential(size=(80, 1))
        low, high = interval(bootstrap_means(np.arange(80, dtype=np.int32), values, 300, rng(seed + 1000)))[0]
        covered += low <= 1 <= high
    assert 0.88 <= covered / 300 <= 0.98


def test_seeds_and_users_are_both_redrawn() -> None:
    """Of a table of user effects plus seed effects the variance of the mean is that of both parts."""
    users_part, seeds_part = rng(10).normal(size=(40, 1)), rng(11).normal(size=(1, 5))
    drawn = bootstrap_over_seeds(
        np.arange(40, dtype=np.int32), [users_part + seeds_part], [(1, 2, 3, 4, 5)], 20000, rng()
    )[:, 0]
    expected = users_part.var() / 40 + seeds_part.var() / 5
    assert drawn.var() == pytest.approx(expected, rel=0.05)
    assert drawn.mean() == pytest.approx((users_part + seeds_part).mean(), abs=0.02)


def test_one_seed_is_the_bootstrap_over_users() -> None:
    values = rng(12).normal(size=(30, 1))
    drawn = bootstrap_over_seeds(np.arange(30, dtype=np.int32), [values], [(7,)], 200, rng())
    assert drawn.tolist() == bootstrap_means(np.arange(30, dtype=np.int32), values, 200, rng()).tolist()


def test_the_same_seeds_are_redrawn_together_and_others_apart() -> None:
    by_seed = np.tile([[1.0, 2, 4]], (10, 1))
    seeds = [(1, 2, 3), (1, 2, 3), (4, 5, 6)]
    drawn = bootstrap_over_seeds(np.arange(10, dtype=np.int32), [by_seed, by_seed + 5, by_seed], seeds, 300, rng())
    assert drawn[:, 1] - drawn[:, 0] == pytest.approx(np.full(300, 5.0))
    assert (drawn[:, 2] - drawn[:, 0]).std() > 0.5


def test_exact_p_of_a_hand_worked_case() -> None:
    # 1, 2, 3: of the 8 sign patterns only +++ and --- reach 6. 3, -1, 2: two sums are 6 away from 0 and two are 4.
    assert sign_flip_test(np.arange(3, dtype=np.int32), column(1, 2, 3), 100, rng()) == pytest.approx([2 / 8])
    assert sign_flip_test(np.arange(3, dtype=np.int32), column(3, -1, 2), 100, rng()) == pytest.approx([4 / 8])


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
def test_exact_p_is_the_share_of_all_sign_patterns(differences: list[int]) -> None:
    values = np.array(differences) / 10
    patterns = np.array(list(itertools.product([1, -1], repeat=len(values))))
    share = (np.abs(patterns @ values) >= abs(values.sum()) - 1e-12).mean()
    assert sign_flip_test(np.arange(len(values), dtype=np.int32), values[:, None], 256, rng()) == pytest.approx([share])


def test_a_user_counts_once_however_many_rows() -> None:
    users = np.array([0, 0, 0, 1, 1])
    assert sign_flip_test(users, column(1, 1, 1, 1, 1), 100, rng()) == pytest.approx([2 / 4])


def test_users_without_a_difference_keep_the_test_exact() -> None:
    differences = np.zeros((1000, 1))
    differences[[3, 500, 900]] = 1
    assert sign_flip_test(np.arange(1000, dtype=np.int32), differences, 100, rng()) == pytest.approx([2 / 8])


def test_equal_models_have_p_one() -> None:
    assert sign_flip_test(np.arange(5, dtype=np.int32), np.zeros((5, 2)), 100, rng()).tolist() == [1, 1]


def test_a_clear_difference_has_the_smallest_p_that_monte_carlo_can_give() -> None:
    differences = 1 + 0.1 * rng(4).normal(size=(200, 1))
    assert sign_flip_test(np.arange(200, dtype=np.int32), differences, 999, rng()) == pytest.approx([1 / 1000])


def test_monte_carlo_is_close_to_exact() -> None:
    differences = rng(5).normal(loc=0.4, size=(12, 2))
    exact = sign_flip_test(np.arange(12, dtype=np.int32), differences, 4096, rng())
    assert sign_flip_test(np.arange(12, dtype=np.int32), differences, 4095, rng()) == pytest.approx(exact, abs=0.03)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    p = sign_flip_test(np.arange(60, dtype=np.int32), rng(6).normal(size=(60, 1500)), 400, rng())
    for level in (0.05, 0.2, 0.5, 0.8):
        assert (p <= level).mean() == pytest.approx(level, abs=0.05)


def test_same_seed_same_numbers_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    users, values = rng(7).integers(20, size=50).astype(np.int32), rng(8).normal(size=(50, 2))
    drawn, p = bootstrap_means(users, values, 64, rng(9)), sign_flip_test(users, values, 1000, rng(9))
    monkeypatch.setattr(significance, "CHUNK_CELLS", 160)
    assert bootstrap_means(users, values, 64, rng(9)).tolist() == drawn.tolist()
    assert sign_flip_test(users, values, 1000, rng(9)).tolist() == p.tolist()


def test_holm_of_a_worked_example() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_and_bonferroni(p_values: list[float]) -> None:
    raw = np.array(p_values)
    corrected = holm(raw)
    assert (corrected >= raw - 1e-12).all()
    assert (corrected <= np.minimum(raw * len(raw), 1) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(raw, kind="stable")]) >= 0).all()


def test_no_rows_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no rows"):
        bootstrap_means(np.array([], dtype=np.int32), np.empty((0, 1)), 10, rng())


def test_seeds_that_disagree_make_p_larger_as_they_make_the_interval_wider() -> None:
    """200 users who all gain .1 under one seed and lose .06 under another: users alone would be sure of it."""
    rng = np.random.default_rng(0)
    values = np.stack([0.1 + rng.normal(0, 0.05, 200), -0.06 + rng.normal(0, 0.05, 200)], axis=1)
    difference = values.mean(axis=1)[:, None]
    fixed = sign_flip_test(np.arange(200, dtype=np.int32), difference, 2000, rng)
    noise = seed_noise([values], [(1, 2)], 2000, rng)
    assert set(np.round(noise[:, 0], 2)) == {-0.08, 0.0, 0.08}
    assert fixed[0] < 0.001
    assert sign_flip_test(np.arange(200, dtype=np.int32), difference, 2000, rng, noise)[0] > 0.3
    assert not seed_noise([values[:, :1]], [(1,)], 2000, rng).any(), "one seed shows nothing of seeds"
