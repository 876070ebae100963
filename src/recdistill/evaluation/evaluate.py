"""Models side by side on one split: metrics, intervals, paired tests, and the same again in slices of the rows."""

from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.metrics import CUTOFFS, FloatArray, beyond_accuracy, means, per_row
from recdistill.evaluation.ranking import Ranking, Scorer, rank
from recdistill.evaluation.significance import bootstrap_means, holm, interval, sign_flip_test
from recdistill.evaluation.slices import by_history_length, by_popularity
from recdistill.files import write_array, write_json
from recdistill.profiling.profiler import Profiler

TESTED_METRICS = ("ndcg@10", "hit_rate@10")
"""The metrics on which models are compared: the one they are chosen by, and the one that is easiest to picture."""
SLICE_METRIC = "ndcg@10"
"""The metric of the comparisons within slices."""


def evaluate(
    data: PreparedData,
    config: EvaluateConfig,
    scorers: Mapping[str, Callable[[], Scorer]],
    seed: int,
    folder: Path,
    profiler: Profiler,
) -> dict[str, Any]:
    """Rank every target of the split with every model, compare, and write `metrics.json` and the rows' ranks.

    Args:
        data: the histories.
        config: the split, the filter, the sizes.
        scorers: what makes each model's scorer, by name; a model is made when its turn comes and let go after it, so
            that memory holds one at a time. The names are those of the result.
        seed: of the resamples and permutations.
        folder: where to write.
        profiler: counts the phases `load <model>`, `rank <model>`, `statistics` and `write`.

    Returns:
        What `metrics.json` holds: see :func:`assess`.

    Raises:
        UserError: the split has no rows, or a model's scores are not numbers.
    """
    rankings = {}
    for name, make_scorer in scorers.items():
        with profiler.phase(f"load {name}"):
            scorer = make_scorer()
        with profiler.phase(f"rank {name}"):
            rankings[name] = rank_split(data, config, scorer, name)
        del scorer
    with profiler.phase("statistics"):
        result = assess(data, config, rankings, seed)
    with profiler.phase("write"):
        save_rankings(folder, data.targets(config.split), rankings)
        write_json(folder / "metrics.json", result)
    return result


def rank_split(data: PreparedData, config: EvaluateConfig, scorer: Scorer, name: str) -> Ranking:
    """Rank the split's targets with one scorer; `name` is for the progress bar."""
    targets = data.targets(config.split)
    return rank(data, targets, scorer, config.batch_size, config.filter_seen, max(CUTOFFS), f"ranking with {name}")


def save_rankings(folder: Path, targets: Targets, rankings: Mapping[str, Ranking]) -> None:
    """Write what a later comparison across runs needs: `users.npy`, `positions.npy` (keys), `ranks/<model>.npy`."""
    write_array(folder / "users.npy", targets.users)
    write_array(folder / "positions.npy", targets.positions)
    for name, ranking in rankings.items():
        write_array(folder / "ranks" / f"{name}.npy", ranking.ranks)


def assess(data: PreparedData, config: EvaluateConfig, rankings: Mapping[str, Ranking], seed: int) -> dict[str, Any]:
    """Turn ranks into what `metrics.json` holds.

    `models` has one flat entry of plain numbers a model; `intervals` the 95 % intervals of the same metrics; `tests`
    every pair of models on each of :data:`TESTED_METRICS`, a the later one: the difference a - b of the means, its
    95 % interval, the p-value of the paired sign-flip test, and `p_holm`, corrected over all pairs on that metric.
    `slices` holds all of it for subsets of the rows; their p-values are corrected over all slices of one kind.

    Raises:
        UserError: the split has no rows.
    """
    targets = data.targets(config.split)
    if not len(targets):
        raise UserError(f"evaluate.split: the data has no {config.split} rows")
    counts = data.train_item_counts()
    ranks = {name: ranking.ranks for name, ranking in rankings.items()}
    rng = np.random.default_rng(seed)
    overall = _compare(targets.users, ranks, config, rng, TESTED_METRICS)
    for name, ranking in rankings.items():
        overall["models"][name] |= beyond_accuracy(ranking.top_items, counts)
    _correct(overall["tests"])
    kinds = {
        "popularity": by_popularity(counts[data.target_items(targets)]),
        "history_length": by_history_length(targets.positions),
    }
    slices: dict[str, list[dict[str, Any]]] = {}
    for kind, parts in kinds.items():
        slices[kind] = []
        for part in parts:
            inside = {name: values[part.rows] for name, values in ranks.items()}
            compared = _compare(targets.users[part.rows], inside, config, rng, (SLICE_METRIC,))
            slices[kind].append({"name": part.name, "from": part.first, "to": part.last} | compared)
        _correct([test for part in slices[kind] for test in part["tests"]])
    return {
        "split": config.split,
        "filter_seen": config.filter_seen,
        "items": data.num_items,
        "repeats": max((ranking.repeats for ranking in rankings.values()), default=0),
        "seed": seed,
        "bootstrap_samples": config.bootstrap_samples,
        "permutations": config.permutations,
        "fingerprints": {
            "data": data.fingerprint,
            "split": data.split_fingerprint,
            "evaluation": data.evaluation_fingerprint,
        },
        **overall,
        "slices": slices,
    }


def _compare(
    users: IntArray,
    ranks: Mapping[str, LongArray],
    config: EvaluateConfig,
    rng: np.random.Generator,
    tested: tuple[str, ...],
) -> dict[str, Any]:
    """Metrics, intervals and tests of all models on the same rows."""
    values = {name: per_row(model_ranks) for name, model_ranks in ranks.items()}
    columns = [(name, metric) for name, metrics in values.items() for metric in metrics]
    table = np.stack([values[name][metric] for name, metric in columns], axis=1)  # (rows, models x metrics)
    drawn = bootstrap_means(users, table, config.bootstrap_samples, rng)
    intervals: dict[str, dict[str, list[float]]] = {name: {} for name in ranks}
    for (name, metric), ends in zip(columns, interval(drawn).tolist(), strict=True):
        intervals[name][metric] = ends
    place = {column: index for index, column in enumerate(columns)}
    pairs = [(a, b, metric) for metric in tested for b, a in combinations(ranks, 2)]
    first = [place[a, metric] for a, _, metric in pairs]
    second = [place[b, metric] for _, b, metric in pairs]
    differences, drawn = table[:, first] - table[:, second], drawn[:, first] - drawn[:, second]
    return {
        "rows": len(users),
        "users": len(np.unique(users)),
        "models": {name: means(model_ranks) for name, model_ranks in ranks.items()},
        "intervals": intervals,
        "tests": _tests(pairs, users, differences, drawn, config.permutations, rng) if pairs else [],
    }


def _tests(
    pairs: list[tuple[str, str, str]],
    users: IntArray,
    differences: FloatArray,
    drawn: FloatArray,
    permutations: int,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """One entry a pair (a, b, metric), from its column of row differences and of bootstrapped mean differences."""
    p_values = sign_flip_test(users, differences, permutations, rng)
    columns = zip(pairs, differences.mean(axis=0).tolist(), interval(drawn).tolist(), p_values.tolist(), strict=True)
    return [
        {"a": a, "b": b, "metric": metric, "difference": difference, "interval": ends, "p": p}
        for (a, b, metric), difference, ends, p in columns
    ]


def _correct(tests: list[dict[str, Any]]) -> None:
    """Add `p_holm` to each test; the tests of one metric are one family."""
    for metric in {test["metric"] for test in tests}:
        family = [test for test in tests if test["metric"] == metric]
        for test, p in zip(family, holm(np.array([test["p"] for test in family])), strict=True):
            test["p_holm"] = float(p)
