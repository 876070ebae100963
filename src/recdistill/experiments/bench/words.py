"""Figures of the bench as a person reads them, and each cell's finding as a sentence made from its rows."""

from collections.abc import Callable

from recdistill.experiments.bench.language import BenchTexts
from recdistill.experiments.bench.matrix import Section
from recdistill.experiments.bench.results import Results, Row
from recdistill.experiments.bench.statistics import (
    METRICS,
    Comparison,
    Spread,
    compare,
    not_in_effect,
    not_judged,
    quality_difference,
    spread,
    values,
)

TRAINING = ("train_seconds", "train_memory")
EXPORTING = ("export_seconds", "export_memory")
TIMES_FROM = 1.3
"""From this factor on a difference in time is told as `times slower`; below, in per cent."""


def number(value: float) -> str:
    """Fewer decimals the larger it is: three below 1, none from 100 on; 0 as 0.00, and never an exponent."""
    if value and abs(value) < 1:
        return f"{value:.3f}"
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def percent(ratio: float) -> str:
    """A ratio as a change in per cent."""
    change = (ratio - 1) * 100
    return signed_number(change, 0 if abs(change) >= 9.95 else 1) + " %"


def signed_number(value: float, digits: int = 2) -> str:
    """A number with its sign, and none where it rounds to 0."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else f"{0:.{digits}f}"


def ranged(found: Spread | None, how: Callable[[float], str] = number) -> str:
    """A median and, where the turns differ as it is printed, their range."""
    if found is None:
        return ""
    middle, low, high = how(found.median), how(found.low), how(found.high)
    return middle if low == high else f"{middle} [{low}, {high}]"


def over_turns(results: Results, cell: str, read: Callable[[Row], float | None]) -> Spread | None:
    """A figure of a cell over its turns."""
    return spread(list(values(results.finished(cell), read).values()))


def state(results: Results, cell: str) -> str:
    """`finished`, `not_in_effect`, `missing`, or how its runs ended."""
    if results.finished(cell):
        return "not_in_effect" if not_in_effect(results, cell) else "finished"
    trouble = results.trouble(cell)
    return trouble["status"] if trouble else "missing"


def outcome(results: Results, cell: str, against: str, metrics: tuple[str, ...], texts: BenchTexts) -> str:
    """How one cell came out, in a table: of the metrics that differ, which way."""
    found = state(results, cell)
    if found != "finished":
        return texts(f"outcome_{found}")
    if cell == against:
        return texts("outcome_base")
    compared = [one for metric in metrics if (one := compare(results, cell, against, metric))]
    if not compared:
        other = state(results, against)
        good = other == "finished"
        return texts("outcome_unknown") if good else texts("outcome_against", what=texts(f"outcome_{other}"))
    return texts("separator").join(_direction(one, texts) for one in compared if one.decision == "difference") or texts(
        "outcome_noise"
    )


def _direction(found: Comparison, texts: BenchTexts) -> str:
    up, down = ("more", "less") if found.metric.endswith("memory") else ("slower", "faster")
    return texts(f"outcome_{up if found.ratio > 1 else down}")


def finding(results: Results, cell: str, against: str, texts: BenchTexts, brief: bool = False) -> str:
    """What the data says of one cell, in a sentence; a brief one only names what lies inside the noise."""
    found = state(results, cell)
    if found == "missing":
        return texts("missing", cell=cell)
    if found == "not_in_effect":
        return texts("ineffective", cell=cell, keys=", ".join(not_in_effect(results, cell)))
    if found != "finished":
        return _trouble(results.trouble(cell), cell, texts(f"outcome_{found}"), texts)
    if (other := state(results, against)) != "finished":
        return texts("no_reference", cell=cell, against=against, what=texts(f"outcome_{other}"))
    compared = [one for metric in METRICS if (one := compare(results, cell, against, metric))]
    if not compared:
        return texts("no_floor", cell=cell)
    parts = [_told(one, texts) for one in compared if one.decision == "difference"]
    quiet = [_quiet(one, texts, brief) for one in compared if one.decision == "noise"]
    parts += [texts("inside", metrics=", ".join(quiet))] if quiet else []
    parts += [quality] if (quality := quality_told(results, cell, against, texts)) else []
    parts += [
        texts("partly", turn=row["repeat"], what=texts(f"outcome_{row['status']}")) for row in results.ended_badly(cell)
    ]
    if unseen := [key for key in not_judged(results, cell) if key in results.matrix.cells[cell].settings]:
        parts.append(texts("unjudged", keys=", ".join(unseen)))
    return texts("finding", cell=cell, against=against, parts=texts("separator").join(parts))


def _trouble(row: Row | None, cell: str, what: str, texts: BenchTexts) -> str:
    """How a cell ended that did not end well: the bench's own reason in the report's language, a program's as it is."""
    if row is not None and "cause" in row:
        return texts("trouble", cell=cell, what=what, reason=texts.told(row["cause"]))
    return texts("trouble_quoted", cell=cell, what=what, reason=row["reason"] if row is not None else "")


def _quiet(found: Comparison, texts: BenchTexts, brief: bool) -> str:
    name = texts(found.metric)
    return name if brief else f"{name} {percent(found.ratio)} ({percent(found.low)} … {percent(found.high)})"


def _told(found: Comparison, texts: BenchTexts) -> str:
    """One difference: a factor where it is large and of time, per cent else."""
    metric = texts(found.metric)
    if not found.metric.endswith("memory") and found.ratio >= TIMES_FROM:
        ends = {"low": f"{found.low:.1f}", "high": f"{found.high:.1f}"}
        return texts("slower", metric=metric, factor=f"{found.ratio:.1f}", **ends)
    if not found.metric.endswith("memory") and found.ratio <= 1 / TIMES_FROM:
        ends = {"low": f"{1 / found.high:.1f}", "high": f"{1 / found.low:.1f}"}
        return texts("faster", metric=metric, factor=f"{1 / found.ratio:.1f}", **ends)
    ends = {"low": percent(found.low), "high": percent(found.high)}
    return texts("percent", metric=metric, percent=percent(found.ratio), **ends)


def quality_told(results: Results, cell: str, against: str, texts: BenchTexts) -> str:
    """The difference in NDCG@10, with its interval; empty where it was not measured."""
    found = quality_difference(results, cell, against)
    if found is None:
        return ""
    if found.low == found.high == 0:
        return texts("quality_same")
    ends = {"low": f"{found.low:+.4f}", "high": f"{found.high:+.4f}"}
    if found.clear:
        return texts("quality_clear", difference=f"{found.difference:+.4f}", **ends)
    return texts("quality_level", **ends)


def members(section: Section) -> list[str]:
    """A section's cells, what they are compared with first."""
    return list(dict.fromkeys((section.against, *section.cells)))
