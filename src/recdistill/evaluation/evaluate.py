"""Models side by side on one split: metrics, intervals, paired tests, and the same again in slices of the rows."""

import logging
from collections.abc import Callable, Collection, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from recdistill.config import BASELINES, EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.baselines import too_large
from recdistill.evaluation.baselines.baseline import Baseline
from recdistill.evaluation.candidates import FILE, DrawnFor, draw_candidates, stored_candidates
from recdistill.evaluation.kept import earlier_cost, read_ranking
from recdistill.evaluation.metrics import CUTOFFS, FloatArray, beyond_accuracy, hit_rate, per_row
from recdistill.evaluation.ranking import Ranking, Scorer, rank
from recdistill.evaluation.results import AmongCandidates, Compared, Fingerprints, Fit, Metrics, Slice, Test
from recdistill.evaluation.significance import bootstrap_means, holm, interval, sign_flip_test
from recdistill.evaluation.slices import slices_of
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.checksums import is_whole, write_record
from recdistill.storage.files import write_array, write_json
from recdistill.storage.typed import read_typed

logger = logging.getLogger("recdistill")

RANKED_FILE = ".ranked-{}.json"
"""Size and checksum of what an evaluation has written of a model; there until it is done."""
KINDS = {"baselines": "json", "ranks": "npy", "candidate_ranks": "npy", "top_items": "npy"}
"""Folders of an evaluation with a file of each model, and the endings of these."""
TESTED_METRICS = ("ndcg@10", "hit_rate@10")
"""The metrics on which models are compared: the one they are chosen by, and the one that is easiest to picture."""
SLICE_METRIC = "ndcg@10"
"""The metric of the comparisons within slices."""


def evaluate(
    data: PreparedData,
    config: EvaluateConfig,
    scorers: Mapping[str, Callable[[], Scorer]],
    seed: int,
    context: RunContext,
    earlier: Path | None = None,
    unchanged: Collection[str] = (),
    going_on: bool = False,
) -> Metrics:
    """Rank every target of the split with every model, compare, and write `metrics.json` and the rows' ranks.

    Each model's ranks are written when it has been ranked, so that an interruption costs the model of that moment.

    Args:
        data: the histories.
        config: the split, the filter, the sizes.
        scorers: what makes each model's scorer, by name; a model is made when its turn comes and let go after it, so
            that memory holds one at a time. The names are those of the result.
        seed: of the candidates, resamples and permutations.
        context: its folder is written to; its profiler counts the phases `candidates`, `load <model>`, `rank <model>`,
            `statistics` and `write`.
        earlier: folder of an evaluation before this one; its candidates are taken where data, split and seed are alike.
        unchanged: models whose ranks are read back from `earlier`, see :mod:`recdistill.evaluation.kept`.
        going_on: take what an interrupted try at this same evaluation left in the context's folder.

    Returns:
        What `metrics.json` holds: see :func:`assess`; and `baselines`, what each was fitted with.

    Raises:
        UserError: the split has no rows, there are too few items to draw candidates from, or a model's scores are not
            numbers.
    """
    folder, profiler, rankings = context.folder, context.profiler, {}
    with profiler.phase("candidates"):
        candidates = _candidates(data, config, seed, earlier) if config.candidates else None
    for name, make_scorer in scorers.items():
        if going_on and (kept := _ranked_before(folder, name, data, config)):
            rankings[name] = kept
            continue
        if earlier is not None and name in unchanged and (kept := _kept(earlier, name, data, config, profiler)):
            rankings[name] = kept
        else:
            with profiler.phase(f"load {name}"):
                scorer = make_scorer()
            save_settings(folder, name, scorer)
            with profiler.phase(f"rank {name}"):
                rankings[name] = rank_split(data, config, scorer, name, candidates)
            del scorer
        with profiler.phase("write"):
            save_ranking(folder, name, rankings[name])
            write_record(folder, RANKED_FILE.format(name), _files_of(folder, name))
    with profiler.phase("statistics"):
        result = assess(data, config, rankings, seed)
        result["baselines"] = _baselines(folder, data, config)
    with profiler.phase("write"):
        save_keys(folder, data.targets(config.split))
        if candidates is not None:
            write_array(folder / FILE, candidates)
        write_json(folder / "metrics.json", result)
    return result


def forget_ranked(folder: Path) -> None:
    """Remove what is there for going on alone, once an evaluation is done."""
    for path in folder.glob(RANKED_FILE.format("*")):
        path.unlink()


def _files_of(folder: Path, model: str) -> list[str]:
    """What is written of one model, as seen from the folder."""
    paths = (folder / kind / f"{model}.{end}" for kind, end in KINDS.items())
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file()]


def _ranked_before(folder: Path, model: str, data: PreparedData, config: EvaluateConfig) -> Ranking | None:
    """The model's ranking by an interrupted try, if it is whole; else None, and what there is of it is removed."""
    if is_whole(folder, RANKED_FILE.format(model)):
        logger.info("evaluate: %s was ranked before the interruption", model)
        return read_ranking(folder, model, _shape(data, config), bool(config.candidates))
    if left := _files_of(folder, model):
        logger.warning("evaluate: %s is ranked again, since %s of the interrupted try is not whole", model, left[-1])
        for name in left:
            (folder / name).unlink()
    return None


def _kept(earlier: Path, model: str, data: PreparedData, config: EvaluateConfig, profiler: Profiler) -> Ranking | None:
    """The model's ranking in the earlier evaluation, with what it has cost, if that stored all of it."""
    kept = read_ranking(earlier, model, _shape(data, config), bool(config.candidates))
    if kept is not None:
        logger.info("evaluate: %s has not changed, its ranks are read back", model)
        profiler.restore(*earlier_cost(earlier, model))
    return kept


def _shape(data: PreparedData, config: EvaluateConfig) -> tuple[int, int]:
    """(rows, K): targets that are ranked, and items that are kept of each."""
    return len(data.targets(config.split)), min(max(CUTOFFS), data.num_items)


def _candidates(data: PreparedData, config: EvaluateConfig, seed: int, earlier: Path | None) -> IntArray:
    """Those of an earlier evaluation of the same rows with the same seed; else drawn."""
    targets = data.targets(config.split)
    if earlier is not None:
        expected = DrawnFor(config.split, seed, _fingerprints(data))
        stored = stored_candidates(earlier, expected, (len(targets), config.candidates))
        if stored is not None:
            return stored
    return draw_candidates(data, targets, config.candidates, seed)


def _fingerprints(data: PreparedData) -> Fingerprints:
    return {
        "data": data.fingerprint,
        "split": data.split_fingerprint,
        "evaluation": data.evaluation_fingerprint,
    }


def rank_split(
    data: PreparedData, config: EvaluateConfig, scorer: Scorer, name: str, candidates: IntArray | None = None
) -> Ranking:
    """Rank the split's targets with one scorer; `name` is for the progress bar."""
    targets, label = data.targets(config.split), f"ranking with {name}"
    return rank(data, targets, scorer, config.batch_size, config.filter_seen, max(CUTOFFS), label, candidates)


def save_keys(folder: Path, targets: Targets) -> None:
    """Write which rows were ranked, for a later comparison across runs: `users.npy` and `positions.npy`."""
    write_array(folder / "users.npy", targets.users)
    write_array(folder / "positions.npy", targets.positions)


def save_ranking(folder: Path, name: str, ranking: Ranking) -> None:
    """Write what a later comparison across runs needs of a model: `ranks/<model>.npy`, `candidate_ranks/<model>.npy`
    where targets were ranked among candidates, and last, so that it stands for all, `top_items/<model>.npy`.
    """
    write_array(folder / "ranks" / f"{name}.npy", ranking.ranks)
    if ranking.candidate_ranks is not None:
        write_array(folder / "candidate_ranks" / f"{name}.npy", ranking.candidate_ranks)
    write_array(folder / "top_items" / f"{name}.npy", ranking.top_items)


def save_settings(folder: Path, name: str, scorer: Scorer) -> None:
    """Write what a baseline was fitted with to `baselines/<model>.json`; other models' settings stand elsewhere."""
    if isinstance(scorer, Baseline):
        write_json(folder / "baselines" / f"{name}.json", scorer.settings)


def _baselines(folder: Path, data: PreparedData, config: EvaluateConfig) -> dict[str, Fit]:
    """The section `baselines`: what each was fitted with, or `left_out` with the reason."""
    files = ((name, folder / "baselines" / f"{name}.json") for name in BASELINES)
    fitted = {name: read_typed(path, Fit) for name, path in files if path.is_file()}
    left_out: dict[str, Fit] = {name: {"left_out": why} for name, why in too_large(data, config).items()}
    return fitted | left_out


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
        "fingerprints": _fingerprints(data),
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
