"""What differs and what is noise. Pure functions of rows.

A cell is compared with another turn by turn, as ratios: what drifts over the experiment hits both sides of a turn. The
noise floor of a metric is the largest ratio between the two cells of any A/A pair in any turn, and never less than
`LEAST_FLOOR`. A difference is called one only where every turn agrees on its side and lies outside the floor.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from statistics import median
from typing import Any, Literal

import numpy as np

from recdistill.evaluation.significance import bootstrap_means, interval
from recdistill.experiments.bench.matrix import Matrix
from recdistill.experiments.bench.results import Results, Row

LEAST_FLOOR = 0.01
"""Two runs can agree by luck, so a difference below one per cent is never reported."""
LEAST_TURNS = 3
"""Fewer turns cannot tell a difference from chance."""
RESAMPLES = 4000
SIMULATED = 100_000
Decision = Literal["difference", "noise"]


def seconds(*phases: str) -> Callable[[Row], float | None]:
    """A metric: the seconds of some phases together; None where the first of them did not take place."""
    return lambda row: sum(row["phases"].get(phase, 0.0) for phase in phases) if phases[0] in row["phases"] else None


def memory(phase: str) -> Callable[[Row], float | None]:
    """A metric: peak memory of a phase in GiB, the allocator's own on CUDA, the resident set on the CPU."""

    def read(row: Row) -> float | None:
        found = row["memory"].get(phase)
        if found is None:
            return None
        allocated = found.get("peak_allocated_gib")
        return found["peak_rss_gib"] if allocated is None else allocated

    return read


METRICS: dict[str, Callable[[Row], float | None]] = {
    "train_seconds": seconds("train step", "data wait"),
    "train_memory": memory("train step"),
    "validation_seconds": seconds("validation"),
    "test_seconds": seconds("test"),
    "export_seconds": seconds("export", "write"),
    "export_memory": memory("export"),
}
"""What is compared: the pass over the training sample, reading, exporting; and their peaks."""


@dataclass(frozen=True)
class Comparison:
    """A metric of one cell over another's: the median ratio over turns, its range, and whether that is a difference."""

    metric: str
    ratio: float
    low: float
    high: float
    turns: int
    decision: Decision


@dataclass(frozen=True)
class Spread:
    """Values over turns."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """Median and range; None of nothing."""
    return Spread(median(values), min(values), max(values)) if values else None


def values(rows: Mapping[int, Row], read: Callable[[Row], float | None]) -> dict[int, float]:
    """A metric by turn, where it was measured."""
    found = {turn: read(row) for turn, row in rows.items()}
    return {turn: value for turn, value in found.items() if value is not None}


def log_ratios(rows: Mapping[int, Row], against: Mapping[int, Row], metric: str) -> list[float]:
    """log(cell / other) for each turn that both have."""
    ours, theirs = (values(side, METRICS[metric]) for side in (rows, against))
    both = sorted(set(ours) & set(theirs))
    return [math.log(ours[turn] / theirs[turn]) for turn in both if ours[turn] > 0 and theirs[turn] > 0]


def noise_floor(results: Results, metric: str) -> float | None:
    """The largest |log ratio| between A/A cells in any turn; None where no pair has run often enough."""
    found = [
        abs(value)
        for one, other in results.matrix.pairs()
        for value in log_ratios(results.finished(one), results.finished(other), metric)
    ]
    return max(LEAST_FLOOR, *found) if len(found) >= LEAST_TURNS else None


def compare(results: Results, cell: str, against: str, metric: str) -> Comparison | None:
    """One metric of two cells.

    Returns:
        None where one of them was not in effect, they have too few turns in common, or there is no noise floor to judge
        by.
    """
    if not comparable(results, cell, against):
        return None
    floor = noise_floor(results, metric)
    ratios = log_ratios(results.finished(cell), results.finished(against), metric)
    if floor is None or len(ratios) < LEAST_TURNS:
        return None
    return Comparison(
        metric,
        math.exp(median(ratios)),
        math.exp(min(ratios)),
        math.exp(max(ratios)),
        len(ratios),
        judge(ratios, floor),
    )


def judge(ratios: Sequence[float], floor: float) -> Decision:
    """`difference` where all log ratios lie on one side, outside the floor; `noise` else."""
    outside = min(ratios) > floor or max(ratios) < -floor
    return "difference" if outside else "noise"


@cache
def chance_of_false_difference(turns: int) -> float:
    """How often the rule calls two equal cells different, were all runs' log values normal, independent and alike.

    Simulated, with the floor of one A/A pair to which the reference belongs, which is how a bench is read; the least
    floor is left out, which makes it fewer.
    """
    drawn = np.random.default_rng(0).normal(size=(SIMULATED, 3, turns))
    base, again, copy = drawn.transpose(1, 0, 2)
    floors, ratios = np.abs(again - base).max(axis=1), copy - base
    return float(((ratios.min(axis=1) > floors) | (ratios.max(axis=1) < -floors)).mean())


def without_own_floor(matrix: Matrix) -> list[str]:
    """References that belong to no A/A pair, and cells that do another amount of work than their reference.

    A comparison with or of one of these is judged by a floor that was measured on other work. A size of 0 leaves a
    phase out, so it is no other amount.
    """
    paired = {cell for pair in matrix.pairs() for cell in pair}
    found = []
    for section in matrix.sections:
        found += [section.against] if section.against not in paired else []
        for cell in section.cells:
            sizes = [asdict(matrix.cells[one].sizes).values() for one in (cell, section.against)]
            if any(ours != theirs and ours and theirs for ours, theirs in zip(*sizes, strict=True)):
                found.append(cell)
    return list(dict.fromkeys(found))


def not_in_effect(results: Results, cell: str) -> list[str]:
    """Settings of a cell that at least one of its runs left no evidence of."""
    return _judged(results, cell, False)


def not_judged(results: Results, cell: str) -> list[str]:
    """Settings of a cell whose effect nothing looks for: whether they were in effect is not known."""
    return _judged(results, cell, None)


def _judged(results: Results, cell: str, in_effect: bool | None) -> list[str]:
    entries = [entry for row in results.finished(cell).values() for entry in row["evidence"]["settings"]]
    return list(dict.fromkeys(entry["key"] for entry in entries if entry["in_effect"] is in_effect))


def comparable(results: Results, cell: str, against: str) -> bool:
    """Whether both cells ended well and with all that is judged in effect: else nothing follows from their figures."""
    return all(results.finished(one) and not not_in_effect(results, one) for one in (cell, against))


@dataclass(frozen=True)
class QualityDifference:
    """NDCG@10 of one cell minus another's on the same users, with its 95 % interval."""

    difference: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def quality_difference(results: Results, cell: str, against: str) -> QualityDifference | None:
    """Paired bootstrap over users of the first turn that both measured user by user; None as :func:`compare`."""
    if not comparable(results, cell, against):
        return None
    ours, theirs = results.finished(cell), results.finished(against)
    for turn in sorted(set(ours) & set(theirs)):
        mine, other = (side[turn]["quality"].get("per_user") for side in (ours, theirs))
        if mine and other and len(mine) == len(other):
            differences = np.asarray(mine) - np.asarray(other)
            users = np.arange(len(differences), dtype=np.int32)
            drawn = bootstrap_means(users, differences[:, None], RESAMPLES, np.random.default_rng(0))
            low, high = interval(drawn)[0]
            return QualityDifference(float(differences.mean()), float(low), float(high))
    return None


@dataclass(frozen=True)
class Effect:
    """What a factor adds, in the metric's own unit, and how far beyond the noise."""

    spread: Spread
    decision: Decision


@dataclass(frozen=True)
class Factorial:
    """A 2×2 in one metric: the effect of each factor, averaged over the other, and their interaction."""

    first: Effect
    second: Effect
    interaction: Effect
    cells: tuple[Spread, Spread, Spread, Spread]
    """Neither, first, second, both."""


def factorial(results: Results, cells: tuple[str, str, str, str], metric: str) -> Factorial | None:
    """Main effects and interaction, turn by turn; None where the cells have too few turns in common.

    An effect is noise where, in some turn, it is no larger than what the noise floor makes of the largest cell's value;
    the interaction, a difference of two differences, where it is no larger than twice that.
    """
    floor = noise_floor(results, metric)
    found = [values(results.finished(cell), METRICS[metric]) for cell in cells]
    turns = sorted(set.intersection(*(set(one) for one in found)))
    if floor is None or len(turns) < LEAST_TURNS:
        return None
    table = np.array([[one[turn] for one in found] for turn in turns])
    neither, first, second, both = table.T
    limits = table.max(axis=1) * math.expm1(floor)

    def effect(per_turn: Any, limits: Any) -> Effect:
        outside = bool((per_turn > limits).all() or (per_turn < -limits).all())
        return Effect(_spread(per_turn), "difference" if outside else "noise")

    return Factorial(
        effect((first - neither + both - second) / 2, limits),
        effect((second - neither + both - first) / 2, limits),
        effect(both - second - (first - neither), 2 * limits),
        (_spread(neither), _spread(first), _spread(second), _spread(both)),
    )


def _spread(per_turn: Any) -> Spread:
    return Spread(float(np.median(per_turn)), float(per_turn.min()), float(per_turn.max()))


@dataclass(frozen=True)
class Payback:
    """When compiling has paid for itself.

    Attributes:
        compile_seconds: what compiling costs beside the warm-up of the cell it is compared with.
        saved_per_step: seconds a step, negative where a step takes longer.
        steps: the step at which both are even; None: never.
    """

    compile_seconds: float
    saved_per_step: float
    steps: float | None


def payback(results: Results, cell: str, against: str) -> Payback | None:
    """The break-even of compiling, from medians over turns; never where the steps saved nothing beyond the noise.

    Returns:
        None where :func:`compare` says nothing of the two.
    """
    ours, theirs = results.finished(cell), results.finished(against)
    found = compare(results, cell, against, "train_seconds")
    if found is None:
        return None
    turns = sorted(set(ours) & set(theirs))
    price = median(_before_training(ours[turn]) - _before_training(theirs[turn]) for turn in turns)
    saved = median(_step(theirs[turn]) - _step(ours[turn]) for turn in turns)
    pays = found.decision == "difference" and saved > 0
    return Payback(price, saved, max(0.0, price) / saved if pays else None)


def _before_training(row: Row) -> float:
    phases: dict[str, float] = row["phases"]
    return sum(phases.get(phase, 0.0) for phase in ("compile", "warm-up"))


def _step(row: Row) -> float:
    train = row["throughput"]["train"]
    if train is None:
        raise ValueError(f"{row['cell']}: was not trained")
    return train["seconds"] / train["steps"]
