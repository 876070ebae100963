"""Finished runs side by side, from the ranks that they stored: variants of one or more seeds, and paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from recdistill.config import BASELINES, require
from recdistill.data.prepared import IntArray, LongArray
from recdistill.errors import UserError
from recdistill.evaluation.metrics import CUTOFFS, METRICS, FloatArray
from recdistill.evaluation.results import Bounds, Comparison, Cost, Estimate, EstimatedSlice, Metrics, Question, Variant
from recdistill.evaluation.significance import bootstrap_over_seeds, holm, interval, seed_noise, sign_flip_test
from recdistill.evaluation.slices import slices_of
from recdistill.evaluation.stored import StoredRun, read_stored, refuse_unlike
from recdistill.steps import SPECS

COUNTING = (*BASELINES, "oracle")
"""Models that know no seed and no teacher: the same in all comparable runs, so compared only where they are named."""
BESIDE = ("coverage@10", "mean_popularity@10", "novelty@10")
"""What is shown beside the metric, as means over seeds."""


@dataclass(frozen=True)
class Contender:
    """One model of one variant.

    Attributes:
        variant: the variant's name.
        model: the model's name.
        seeds: S seeds, ascending.
        values: (rows, S) the metric, a column a seed.
        beside: means over seeds of what `metrics.json` holds beside it; only what all runs of the variant have.
    """

    variant: str
    model: str
    seeds: tuple[int, ...]
    values: FloatArray
    beside: dict[str, float]


def compare(
    variants: Mapping[str, Sequence[Path]],
    models: Sequence[str] = (),
    baseline: str = "",
    metric: str = "ndcg@10",
    bootstrap_samples: int = 2000,
    permutations: int = 10000,
    seed: int = 42,
    sliced: bool = True,
) -> Comparison:
    """Compare models of runs that were measured on the same rows.

    Args:
        variants: folders of the runs of each variant; the runs of one variant are seeds of one thing.
        models: which to compare. Empty: all that the runs have, but those of :data:`COUNTING`.
        baseline: `VARIANT:MODEL` that all others are compared with. Empty: each model with the same one of the first
            variant.
        metric: of every row, such as `ndcg@10`.
        bootstrap_samples: bootstrap resamples of users and seeds for each 95 % interval.
        permutations: sign patterns of each test.
        seed: of resamples and patterns.
        sliced: compare in slices of the rows too.

    Returns:
        What `docs/evaluation.md` describes: plain values that JSON can hold.

    Raises:
        UserError: a run was not evaluated, runs were not measured alike, a variant has a seed twice, or a name is
            unknown.
    """
    for key, value in (("bootstrap_samples", bootstrap_samples), ("permutations", permutations)):
        require(value > 0, key, value, "above 0")
    require(seed >= 0, "seed", seed, "0 or more")
    runs = {
        name: sorted((read_stored(path) for path in paths), key=lambda run: run.seed)
        for name, paths in variants.items()
    }
    _refuse_empty_or_twice(runs)
    every = [run for found in runs.values() for run in found]
    refuse_unlike(every)
    contenders = _contenders(runs, models, metric)
    against = _references(contenders, next(iter(runs)), baseline)
    rng, users = np.random.default_rng(seed), every[0].targets.users
    entries = _estimates(users, contenders, against, bootstrap_samples, rng)
    tests = _add_tests(entries, users, contenders, against, permutations, rng)
    slices: dict[str, list[EstimatedSlice]] = {}
    for kind, parts in slices_of(every[0].data(), every[0].targets).items() if sliced else ():
        if kind == "popularity" and not _trained_on_the_same(every):
            continue
        slices[kind] = []
        for part in parts:
            inside = [_rows(contender, part.rows) for contender in contenders]
            found = _estimates(users[part.rows], inside, against, bootstrap_samples, rng)
            bounds: Bounds = {"name": part.name, "from": part.first, "to": part.last}
            slices[kind].append({**bounds, "rows": len(part.rows), "entries": found})
    for entry, one in zip(entries, contenders, strict=True):
        entry["beside"] = one.beside
    return {
        **_common(every[0].metrics),
        "repeats": every[0].metrics["repeats"],
        "metric": metric,
        "bootstrap_samples": bootstrap_samples,
        "permutations": permutations,
        "seed": seed,
        "tests": tests,
        "p_over_seeds": any(len(one.seeds) > 1 for one in contenders),
        "variants": {name: _about(found) for name, found in runs.items()},
        "entries": entries,
        "slices": slices,
    }


def _common(metrics: Metrics) -> Question:
    """What all compared runs were measured with."""
    return {
        "split": metrics["split"],
        "filter_seen": metrics["filter_seen"],
        "items": metrics["items"],
        "rows": metrics["rows"],
        "users": metrics["users"],
        "fingerprints": metrics["fingerprints"],
    }


def _trained_on_the_same(runs: Sequence[StoredRun]) -> bool:
    """Whether all runs were trained on the same users; else an item's popularity is another in each."""
    return len({run.metrics["fingerprints"].get("split") for run in runs}) == 1


def _refuse_empty_or_twice(runs: Mapping[str, Sequence[StoredRun]]) -> None:
    if not runs or not all(runs.values()):
        raise UserError("compare: a variant without a run; name the folders of finished runs")
    for name, found in runs.items():
        for one, other in pairwise(found):
            if one.seed == other.seed:
                raise UserError(f"compare: variant {name}: {one.path} and {other.path} have the same seed {one.seed}")


def _contenders(runs: Mapping[str, Sequence[StoredRun]], models: Sequence[str], metric: str) -> list[Contender]:
    """The chosen models of all variants, variant by variant; a variant has a model if all its runs have it."""
    name, _, k = metric.partition("@")
    require(name in METRICS and k in map(str, CUTOFFS), "metric", metric, f"{', '.join(METRICS)} at {CUTOFFS}")
    common = {
        variant: [model for model in found[0].metrics["models"] if all(model in run.metrics["models"] for run in found)]
        for variant, found in runs.items()
    }
    there = list(dict.fromkeys(model for found in common.values() for model in found))
    if unknown := [model for model in models if model not in there]:
        raise UserError(f"models: no run has {unknown[0]!r}; there are {', '.join(there)}")
    chosen = models or [model for model in there if model not in COUNTING] or there

    def value(ranks: LongArray) -> FloatArray:
        return METRICS[name](ranks, int(k))

    return [
        Contender(
            variant,
            model,
            tuple(run.seed for run in found),
            np.stack([value(run.ranks(model)) for run in found], axis=1),
            _beside(found, model),
        )
        for variant, found in runs.items()
        for model in chosen
        if model in common[variant]
    ]


def _beside(runs: Sequence[StoredRun], model: str) -> dict[str, float]:
    """Means over seeds of what the evaluations hold beside the ranks."""
    each = []
    for run in runs:
        among = run.metrics["candidates"]["models"].get(model, {}) if "candidates" in run.metrics else {}
        plain = run.metrics["models"][model]
        each.append({key: plain[key] for key in BESIDE if key in plain} | among)
    return {key: float(np.mean([one[key] for one in each])) for key in each[0] if all(key in one for one in each)}


def _references(contenders: Sequence[Contender], first_variant: str, baseline: str) -> list[int | None]:
    """For each contender the place of what it is compared with; None for what is a baseline itself or has none."""
    places = {(one.variant, one.model): place for place, one in enumerate(contenders)}
    if baseline:
        variant, _, model = baseline.rpartition(":")
        if (variant, model) not in places:
            names = ", ".join(f"{variant}:{model}" for variant, model in places)
            raise UserError(f"baseline: {baseline!r} is not VARIANT:MODEL of what is compared: {names}")
        return [None if place == places[variant, model] else places[variant, model] for place in range(len(contenders))]
    return [None if one.variant == first_variant else places.get((first_variant, one.model)) for one in contenders]


def _rows(contender: Contender, rows: LongArray) -> Contender:
    return Contender(contender.variant, contender.model, contender.seeds, contender.values[rows], {})


def _estimates(
    users: IntArray,
    contenders: Sequence[Contender],
    against: Sequence[int | None],
    samples: int,
    rng: np.random.Generator,
) -> list[Estimate]:
    """Means, spread and intervals of all contenders, and differences to what each is compared with."""
    drawn = bootstrap_over_seeds(
        users, [one.values for one in contenders], [one.seeds for one in contenders], samples, rng
    )
    means = [float(one.values.mean()) for one in contenders]
    entries: list[Estimate] = []
    for place, (one, reference) in enumerate(zip(contenders, against, strict=True)):
        spread = float(one.values.mean(axis=0).std(ddof=1)) if len(one.seeds) > 1 else None
        entry: Estimate = {
            "variant": one.variant,
            "model": one.model,
            "seeds": len(one.seeds),
            "mean": means[place],
            "std": spread,
            "interval": _ends(drawn[:, place]),
        }
        if reference is not None:
            other, gap = contenders[reference], means[place] - means[reference]
            entry["against"] = {"variant": other.variant, "model": other.model}
            entry["difference"] = gap
            entry["difference_interval"] = _ends(drawn[:, place] - drawn[:, reference])
            entry["gain_percent"] = 100 * gap / means[reference] if means[reference] else None
        entries.append(entry)
    return entries


def _ends(drawn: FloatArray) -> list[float]:
    ends: list[float] = interval(drawn[:, None])[0].tolist()
    return ends


def _add_tests(
    entries: Sequence[Estimate],
    users: IntArray,
    contenders: Sequence[Contender],
    against: Sequence[int | None],
    permutations: int,
    rng: np.random.Generator,
) -> int:
    """Add `p` and `p_holm` to each entry with a difference: users' means over seeds, all that differ one family.

    Seeds vary in it as they do in the interval, so that both are of the same question: other users and other seeds.

    A model that variants share is one model: compared with itself it is no question, and compared with another in
    several variants it is one question, so that sharing costs the other comparisons nothing.

    Returns:
        The number of questions.
    """
    first: dict[tuple[str, tuple[int, ...], bytes], int] = {}
    same = [first.setdefault((one.model, one.seeds, one.values.tobytes()), at) for at, one in enumerate(contenders)]
    pairs = {at: (same[at], same[reference]) for at, reference in enumerate(against) if reference is not None}
    questions = list(dict.fromkeys(pair for pair in pairs.values() if pair[0] != pair[1]))
    answers: dict[tuple[int, int], tuple[float, float]] = {}
    if questions:
        over_seeds = np.stack([one.values.mean(axis=1) for one in contenders], axis=1)  # (rows, contenders)
        differences = np.stack([over_seeds[:, one] - over_seeds[:, other] for one, other in questions], axis=1)
        p_values = sign_flip_test(users, differences, permutations, rng)
        if any(len(one.seeds) > 1 for one in contenders):
            noise = seed_noise([one.values for one in contenders], [one.seeds for one in contenders], permutations, rng)
            beside = np.stack([noise[:, one] - noise[:, other] for one, other in questions], axis=1)
            # Of few users the patterns lie far apart, and noise may move one below the difference as well as above.
            p_values = np.maximum(p_values, sign_flip_test(users, differences, permutations, rng, beside))
        answers = dict(zip(questions, zip(p_values.tolist(), holm(p_values).tolist(), strict=True), strict=True))
    for at, pair in pairs.items():
        entries[at]["p"], entries[at]["p_holm"] = answers.get(pair, (1.0, 1.0))
    return len(questions)


def _about(runs: Sequence[StoredRun]) -> Variant:
    """What a variant is and was made with; core-seconds are None where a run lacks them."""
    steps: dict[str, Cost] = {}
    for step in runs[0].steps():
        costs = [run.cost(step) for run in runs if (run.path / step / "timings.json").is_file()]
        if len(costs) == len(runs):
            cores = [core for _, core in costs if core is not None]
            seconds = float(np.mean([spent for spent, _ in costs]))
            steps[step] = {
                "seconds": seconds,
                "core_seconds": float(np.mean(cores)) if len(cores) == len(runs) else None,
            }
    devices = {
        step: sorted({run.device(step) for run in runs} - {""}) for step in steps if step != SPECS["prepare"].folder
    }
    code: dict[str, set[str]] = {}
    for run in runs:
        for name, versions in run.code().items():
            code.setdefault(name, set()).update(versions)
    return {
        "runs": [str(run.path) for run in runs],
        "seeds": [run.seed for run in runs],
        "settings": runs[0].settings(),
        "code": {name: sorted(versions) for name, versions in code.items()},
        "devices": {step: names for step, names in devices.items() if names},
        "steps": steps,
    }
