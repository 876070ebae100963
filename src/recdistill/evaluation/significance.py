"""How large the noise is: intervals, tests and their correction. A user is the unit of everything here.

Rows of one user are not independent, so users are resampled (cluster bootstrap) and users' signs are flipped (paired
permutation test); their rows stay together. Several columns, a metric or a model each, share the same draws: that costs
no more than one column and makes the intervals of differences paired.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from recdistill.data.prepared import IntArray
from recdistill.evaluation.metrics import FloatArray

CHUNK_CELLS = 1 << 22
"""Draws × users handled at a time: 32 MiB of float64."""


def bootstrap_means(users: IntArray, values: FloatArray, samples: int, rng: np.random.Generator) -> FloatArray:
    """Means over rows in `samples` redraws of the users, with replacement (Field & Welsh, JRSS B 2007).

    Args:
        users: (rows,) whose row it is.
        values: (rows, C), C columns that are resampled together.
        samples: number of redraws.
        rng: where the draws come from.

    Returns:
        (samples, C) float64.

    Raises:
        ValueError: there are no rows.
    """
    sums, rows = _by_user(users, values)
    count = len(sums)
    means = np.empty((samples, values.shape[1]))
    for chunk in _chunks(samples, count):
        size = chunk.stop - chunk.start
        drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
        means[chunk] = (times @ sums) / (times @ rows)[:, None]
    return means


def bootstrap_over_seeds(
    users: IntArray,
    values: Sequence[FloatArray],
    seeds: Sequence[tuple[int, ...]],
    samples: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Means over rows and seeds in `samples` redraws of both, each with replacement: a two-level bootstrap.

    Users and seeds are crossed, every user was ranked under every seed, so each is redrawn by itself (the pigeonhole
    bootstrap; Owen, Annals of Applied Statistics 2007). All columns share the users' draws. Those with the same list of
    seeds also share the seeds' draws: their runs are paired. Of S seeds the variance between seeds comes out as
    (S - 1) / S of what it is; of one seed there is none to see, and users alone are redrawn.

    Args:
        users: (rows,) whose row it is.
        values: C arrays (rows, S), a column a seed; S may differ.
        seeds: C lists of the S seeds.
        samples: number of redraws.
        rng: where the draws come from.

    Returns:
        (samples, C) float64.

    Raises:
        ValueError: there are no rows.
    """
    by_seed = bootstrap_means(users, np.concatenate(values, axis=1), samples, rng)
    ends = np.cumsum([len(names) for names in seeds])
    drawn = {names: rng.integers(len(names), size=(samples, len(names))) for names in dict.fromkeys(seeds)}
    columns = [
        np.take_along_axis(by_seed[:, end - len(names) : end], drawn[names], axis=1).mean(axis=1)
        for names, end in zip(seeds, ends, strict=True)
    ]
    return np.stack(columns, axis=1)


def interval(bootstrapped: FloatArray) -> FloatArray:
    """The central 95 % of bootstrapped values, by percentiles: (samples, C) → (C, 2), lower and upper end."""
    return np.quantile(bootstrapped, (0.025, 0.975), axis=0).T


def sign_flip_test(
    users: IntArray,
    differences: FloatArray,
    permutations: int,
    rng: np.random.Generator,
    beside: FloatArray | None = None,
) -> FloatArray:
    """Two-sided p-values of "the two models of a pair are interchangeable" for each column of paired differences.

    Were they, swapping them for a user, which flips the sign of that user's differences, would change nothing. p is
    the share of sign patterns with a mean at least as far from 0 as the observed one. All patterns are gone through
    where there are at most `permutations` of them (users whose differences are all 0 do not count); otherwise
    `permutations` random ones, and p = (1 + hits) / (1 + permutations), which is never too small (Phipson & Smyth,
    2010).

    Args:
        users: (rows,) whose row it is.
        differences: (rows, C), one model's values minus the other's.
        permutations: sign patterns at most.
        rng: where random patterns come from.
        beside: (permutations, C), what else moves a mean difference when nothing is behind it, such as the seeds that
            were drawn (:func:`seed_noise`); one is added to each random pattern. None: users are all that varies.

    Returns:
        (C,) float64.

    Raises:
        ValueError: there are no rows.
    """
    sums, rows = _by_user(users, differences)
    total_rows = rows.sum()
    sums = sums[(sums != 0).any(axis=1)]
    observed = np.abs(sums.sum(axis=0))
    # A pattern that is exactly as far from 0 as the observed one may fall short of it in the last bits.
    threshold = observed - 1e-9 * np.abs(sums).sum(axis=0)
    count = len(sums)
    exact = beside is None and count < 63 and 2**count <= permutations
    total = 2**count if exact else permutations
    hits = np.zeros(sums.shape[1], dtype=np.int64)
    for chunk in _chunks(total, count):
        if exact:
            bits = (np.arange(chunk.start, chunk.stop)[:, None] >> np.arange(count)) & 1
        else:
            bits = rng.integers(2, size=(chunk.stop - chunk.start, count), dtype=np.int8)
        flipped = (1.0 - 2.0 * bits) @ sums
        if beside is not None:
            flipped += beside[chunk] * total_rows
        hits += (np.abs(flipped) >= threshold).sum(axis=0)
    return hits / total if exact else (1 + hits) / (1 + total)


def seed_noise(
    values: Sequence[FloatArray], seeds: Sequence[tuple[int, ...]], samples: int, rng: np.random.Generator
) -> FloatArray:
    """How far means over redrawn seeds lie from the mean over all: (samples, C); 0 where there is one seed.

    Those with the same list of seeds share the draws, as in :func:`bootstrap_over_seeds`.

    Args:
        values: C arrays (rows, S), a column a seed.
        seeds: C lists of the S seeds.
        samples: number of redraws.
        rng: where the draws come from.
    """
    drawn = {names: rng.integers(len(names), size=(samples, len(names))) for names in dict.fromkeys(seeds)}
    columns = []
    for one, names in zip(values, seeds, strict=True):
        of_seed = one.mean(axis=0)
        columns.append((of_seed - of_seed.mean())[drawn[names]].mean(axis=1))
    return np.stack(columns, axis=1)


def holm(p_values: FloatArray) -> FloatArray:
    """Holm's step-down correction of a family of p-values (1979): (tests,) → (tests,), in the order given.

    Of m tests the j-th smallest p, from 0, is multiplied by m - j; none falls below a smaller one's, none exceeds 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return corrected


def _by_user(users: IntArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each user's column sums (U, C) and number of rows (U,)."""
    if not len(users):
        raise ValueError("no rows to compare")
    _, index = np.unique(users, return_inverse=True)
    sums: FloatArray = np.stack([np.bincount(index, weights=column) for column in values.T], axis=1)
    return sums, np.bincount(index).astype(np.float64)


def _chunks(total: int, width: int) -> Iterator[slice]:
    """Slices that cover `total` rows of `width` cells in pieces of bounded memory."""
    step = max(1, CHUNK_CELLS // max(1, width))
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))
