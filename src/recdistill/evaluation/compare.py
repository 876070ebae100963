"""Finished runs side by side, from the ranks that they stored: variants of one or more seeds, and paired tests."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from recdistill.config import BASELINES, require
from recdistill.data.prepared import LongArray
from recdistill.errors import UserError
from recdistill.evaluation.contenders import Contender, add_tests, estimates, on_rows
from recdistill.evaluation.knowledge import knowledge_worth
from recdistill.evaluation.metrics import CUTOFFS, METRICS, FloatArray
from recdistill.evaluation.results import Bounds, Comparison, Cost, EstimatedSlice, Metrics, Question, Variant
from recdistill.evaluation.slices import slices_of
from recdistill.evaluation.stored import StoredRun, read_stored, refuse_unlike
from recdistill.steps import SPECS

COUNTING = (*BASELINES, "oracle")
"""Models that know no seed and no teacher: the same in all comparable runs, so compared only where they are named."""
BESIDE = ("coverage@10", "mean_popularity@10", "novelty@10")
"""What is shown beside the metric, as means over seeds."""


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
        name: sorted((read_stored(Path(path)) for path in paths), key=lambda run: run.seed)
        for name, paths in variants.items()
    }
    _refuse_empty_or_twice(runs)
    every = [run for found in runs.values() for run in found]
    refuse_unlike(every)
    contenders = _contenders(runs, models, metric)
    against = _references(contenders, next(iter(runs)), baseline)
    rng, users = np.random.default_rng(seed), every[0].targets.users
    entries = estimates(users, contenders, against, bootstrap_samples, rng)
    tests = add_tests(entries, users, contenders, against, permutations, rng)
    slices: dict[str, list[EstimatedSlice]] = {}
    for kind, parts in slices_of(every[0].data(), every[0].targets).items() if sliced else ():
        if kind == "popularity" and not _trained_on_the_same(every):
            continue
        slices[kind] = []
        for part in parts:
            inside = [on_rows(contender, part.rows) for contender in contenders]
            found = estimates(users[part.rows], inside, against, bootstrap_samples, rng)
            bounds: Bounds = {"name": part.name, "from": part.first, "to": part.last}
            slices[kind].append({**bounds, "rows": len(part.rows), "entries": found})
    for entry, one in zip(entries, contenders, strict=True):
        entry["beside"] = one.beside
    about = {name: _about(found) for name, found in runs.items()}
    return {
        **_common(every[0].metrics),
        "repeats": every[0].metrics["repeats"],
        "metric": metric,
        "bootstrap_samples": bootstrap_samples,
        "permutations": permutations,
        "seed": seed,
        "tests": tests,
        "p_over_seeds": any(len(one.seeds) > 1 for one in contenders),
        "variants": about,
        "entries": entries,
        "slices": slices,
        "knowledge": knowledge_worth(about, users, contenders, bootstrap_samples, permutations, seed),
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


def _about(runs: Sequence[StoredRun]) -> Variant:
    """What a variant is and was made with; core-seconds are None where a run lacks them."""
    steps: dict[str, Cost] = {}
    for step in runs[0].steps():
        costs = [run.cost(step) for run in runs if run.has_times(step)]
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
