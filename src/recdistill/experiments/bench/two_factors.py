"""Two factors apart: the 2×2 of a section, and what each of them changes."""

from recdistill.experiments.bench.language import BenchTexts
from recdistill.experiments.bench.matrix import Section, four
from recdistill.experiments.bench.results import Results
from recdistill.experiments.bench.statistics import LEAST_TURNS, Effect, Factorial, factorial
from recdistill.experiments.bench.words import EXPORTING, TRAINING, number, ranged, signed_number, state
from recdistill.reporting.document import Block, Remark, table


def two_by_two(results: Results, section: Section, texts: BenchTexts) -> list[Block]:
    """Both factors apart, in seconds and GiB."""
    if section.factorial is None:
        return []
    found = _factorials(results, section)
    if not found:
        return [Remark(_why_not_apart(results, section, texts))]
    names = (*_factors(section), texts("interaction"))
    rows = [
        [texts(metric), name, f"{_signed(effect)} {_unit(metric)}", _effect_decision(effect, texts)]
        for metric, effects in found.items()
        for name, effect in zip(names, (effects.first, effects.second, effects.interaction), strict=True)
    ]
    header = [texts("metric"), texts("effect"), "±", texts("outcome")]
    return [table(header, rows, texts("factorial_caption"), labels=2)]


def _why_not_apart(results: Results, section: Section, texts: BenchTexts) -> str:
    """Which of the four cells have not ended well, and how they have ended; or that they have too few turns."""
    states = {cell: state(results, cell) for cell in four(section, results.matrix.cells) or ()}
    ended = [f"{cell}: {texts(f'outcome_{how}')}" for cell, how in states.items() if how != "finished"]
    if ended:
        return texts("factorial_missing", cells=texts("separator").join(ended))
    return texts("factorial_turns", turns=LEAST_TURNS)


def shares(results: Results, section: Section, texts: BenchTexts) -> list[str]:
    """For each metric that one of the factors changes: what both do together, and each alone."""
    sentences = []
    for metric, found in _factorials(results, section).items():
        if "difference" not in (found.first.decision, found.second.decision):
            continue
        neither, first, second, both = (one.median for one in found.cells)
        one, two = _factors(section)
        changes = {"total": both - neither, "one": first - neither, "two": second - neither}
        sentences.append(
            texts(
                "factorial_shares",
                metric=texts(metric),
                unit=_unit(metric),
                neither=number(neither),
                first=one,
                second=two,
                **{key: signed_number(value) for key, value in changes.items()},
            )
        )
    return sentences


def _factors(section: Section) -> tuple[str, str]:
    one, two = section.factorial or ("", "")
    return one.rsplit(".", 1)[-1], two.rsplit(".", 1)[-1]


def _factorials(results: Results, section: Section) -> dict[str, Factorial]:
    """The section's 2×2 by metric; empty where a cell is missing or was not in effect."""
    cells = four(section, results.matrix.cells)
    if cells is None or any(state(results, cell) != "finished" for cell in cells):
        return {}
    found = {metric: factorial(results, cells, metric) for metric in (*TRAINING, *EXPORTING)}
    return {metric: one for metric, one in found.items() if one is not None}


def _effect_decision(effect: Effect, texts: BenchTexts) -> str:
    return texts("effect_differs" if effect.decision == "difference" else "outcome_noise")


def _signed(effect: Effect) -> str:
    return ranged(effect.spread, signed_number)


def _unit(metric: str) -> str:
    return "GiB" if metric.endswith("memory") else "s"
