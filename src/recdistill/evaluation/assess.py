"""From ranks to what `metrics.json` holds: metrics, intervals and paired tests, of all rows and of slices of them."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.metrics import FloatArray, beyond_accuracy, hit_rate, per_row
from recdistill.evaluation.ranking import Ranking
from recdistill.evaluation.results import AmongCandidates, Compared, Fingerprints, Metrics, Slice, Test
from recdistill.evaluation.significance import bootstrap_means, holm, interval, sign_flip_test
from recdistill.evaluation.slices import slices_of

TESTED_METRICS = ("ndcg@10", "hit_rate@10")
"""The metrics on which models are compared: the one they are chosen by, and the one that is easiest to picture."""
SLICE_METRIC = "ndcg@10"
"""The metric of the comparisons within slices."""


def assess(data: PreparedData, config: EvaluateConfig, rankings: Mapping[str, Ranking], seed: int) -> Metrics:
    """Turn ranks into what `metrics.json` holds.

    `models` has one flat entry of plain numbers a model; `intervals` the 95 % intervals of the same metrics; `tests`
    every pair of models on each of :data:`TESTED_METRICS`, a the later one: the difference a - b of the means, its
    95 % interval, the p-value of the paired sign-flip test, and `p_holm`, corrected over all pairs on that metric.
    `slices` holds all of it for subsets of the rows; their p-values are corrected over all slices of one kind.
    `candidates` holds all of it for the share of targets that stand before their random candidates, if there are any.

    Raises:
        UserError: the split has no rows.
    """
    targets = data.targets(config.split)
    if not len(targets):
        raise UserError(f"evaluate.split: the data has no {config.split} rows")
    counts = data.train_item_counts()
    values = {name: per_row(ranking.ranks) for name, ranking in rankings.items()}
    rng = np.random.default_rng(seed)
    overall = _compare(targets.users, values, config, rng, TESTED_METRICS)
    for name, ranking in rankings.items():
        overall["models"][name] |= beyond_accuracy(ranking.top_items, counts)
    _correct(overall["tests"])
    slices: dict[str, list[Slice]] = {}
    for kind, parts in slices_of(data, targets).items():
        slices[kind] = []
        for part in parts:
            inside = {
                name: {metric: column[part.rows] for metric, column in metrics.items()}
                for name, metrics in values.items()
            }
            compared = _compare(targets.users[part.rows], inside, config, rng, (SLICE_METRIC,))
            slices[kind].append({"name": part.name, "from": part.first, "to": part.last, **compared})
        _correct([test for part in slices[kind] for test in part["tests"]])
    found: Metrics = {
        "split": config.split,
        "filter_seen": config.filter_seen,
        "items": data.num_items,
        "repeats": max((ranking.repeats for ranking in rankings.values()), default=0),
        "seed": seed,
        "bootstrap_samples": config.bootstrap_samples,
        "permutations": config.permutations,
        "fingerprints": fingerprints(data),
        "rows": overall["rows"],
        "users": overall["users"],
        "models": overall["models"],
        "intervals": overall["intervals"],
        "tests": overall["tests"],
        "slices": slices,
    }
    if among := _among_candidates(targets.users, rankings, config, rng):
        found["candidates"] = among
    return found


def fingerprints(data: PreparedData) -> Fingerprints:
    """Of what is ranked: the data, its split, and interactions and targets whoever was trained on."""
    return {
        "data": data.fingerprint,
        "split": data.split_fingerprint,
        "evaluation": data.evaluation_fingerprint,
    }


def _among_candidates(
    users: IntArray, rankings: Mapping[str, Ranking], config: EvaluateConfig, rng: np.random.Generator
) -> AmongCandidates | None:
    """The section `candidates`: of each model the share of targets that stand before all their candidates; of the
    targets that have any, and `left_out` counts the others; None where none were drawn.
    """
    metric = f"hit_rate@1 among {config.candidates + 1}"
    ranks = {name: one.candidate_ranks for name, one in rankings.items() if one.candidate_ranks is not None}
    if not ranks:
        return None
    drawn = next(iter(ranks.values())) > 0  # the same rows for all models
    values = {name: {metric: hit_rate(of_model[drawn], 1)} for name, of_model in ranks.items()}
    compared = _compare(users[drawn], values, config, rng, (metric,))
    _correct(compared["tests"])
    return {"random": config.candidates, "metric": metric, "left_out": int((~drawn).sum()), **compared}


def _compare(
    users: IntArray,
    values: Mapping[str, Mapping[str, FloatArray]],
    config: EvaluateConfig,
    rng: np.random.Generator,
    tested: tuple[str, ...],
) -> Compared:
    """Metrics, intervals and tests of all models on the same rows, from their values row by row."""
    columns = [(name, metric) for name, metrics in values.items() for metric in metrics]
    table = np.stack([values[name][metric] for name, metric in columns], axis=1)  # (rows, models x metrics)
    drawn = bootstrap_means(users, table, config.bootstrap_samples, rng)
    intervals: dict[str, dict[str, list[float]]] = {name: {} for name in values}
    for (name, metric), ends in zip(columns, interval(drawn).tolist(), strict=True):
        intervals[name][metric] = ends
    place = {column: index for index, column in enumerate(columns)}
    pairs = [(a, b, metric) for metric in tested for b, a in combinations(values, 2)]
    first = [place[a, metric] for a, _, metric in pairs]
    second = [place[b, metric] for _, b, metric in pairs]
    differences, drawn = table[:, first] - table[:, second], drawn[:, first] - drawn[:, second]
    return {
        "rows": len(users),
        "users": len(np.unique(users)),
        "models": {
            name: {metric: float(column.mean()) for metric, column in metrics.items()}
            for name, metrics in values.items()
        },
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
) -> list[Test]:
    """One entry a pair (a, b, metric), from its column of row differences and of bootstrapped mean differences."""
    p_values = sign_flip_test(users, differences, permutations, rng)
    columns = zip(pairs, differences.mean(axis=0).tolist(), interval(drawn).tolist(), p_values.tolist(), strict=True)
    return [
        {"a": a, "b": b, "metric": metric, "difference": difference, "interval": ends, "p": p, "p_holm": p}
        for (a, b, metric), difference, ends, p in columns
    ]


def _correct(tests: list[Test]) -> None:
    """Correct `p_holm` of each test; the tests of one metric are one family."""
    for metric in {test["metric"] for test in tests}:
        family = [test for test in tests if test["metric"] == metric]
        for test, p in zip(family, holm(np.array([test["p"] for test in family])), strict=True):
            test["p_holm"] = float(p)
