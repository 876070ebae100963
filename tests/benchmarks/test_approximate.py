import numpy as np

import approximate


def test_made_items_lie_around_real_ones() -> None:
    rng = np.random.default_rng(0)
    vectors = 100 * rng.standard_normal((50, 8)).astype(np.float32)
    made = approximate.many(vectors, 300, rng)
    assert made.shape == (301, 8)
    assert not made[0].any()
    nearest = np.linalg.norm(made[1:, None] - vectors[None, 1:], axis=2).min(axis=1)
    between = np.linalg.norm(vectors[1:, None] - vectors[None, 1:], axis=2)
    np.fill_diagonal(between, np.inf)
    assert 0.5 < np.median(nearest) / np.median(between.min(axis=1)) < 1.5
