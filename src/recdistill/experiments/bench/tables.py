"""The tables of one section: training and quality, export, seconds and peaks by phase, evidence."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from recdistill.experiments.bench.language import BenchTexts
from recdistill.experiments.bench.matrix import Section
from recdistill.experiments.bench.results import Results, Row
from recdistill.experiments.bench.statistics import compare, memory, quality_difference, seconds
from recdistill.experiments.bench.words import (
    EXPORTING,
    TRAINING,
    members,
    number,
    outcome,
    over_turns,
    ranged,
    signed_number,
)
from recdistill.measure.facts import Judged
from recdistill.reporting.document import Table, table
from recdistill.reporting.wording import metric as four_digits
from recdistill.reporting.wording import plain

Rate = Literal[
    "rows_per_second", "targets_per_second", "useful_tokens_per_second", "padding_share", "model_flops_utilisation"
]
"""What is shown of a training's or an export's speed."""
PHASES = (
    "load LLM",
    "set-up",
    "warm-up",
    "compile",
    "data wait",
    "train step",
    "validation",
    "checkpoint",
    "test",
    "export",
    "write",
)
"""What the tables show; import, title embeddings and the reading of data are in the rows of results."""


def training(results: Results, section: Section, texts: BenchTexts) -> Table | None:
    """Speed of training, memory and quality; None where no cell has trained."""
    cells = [cell for cell in members(section) if _trains(results, cell)]
    if not any(results.finished(cell) for cell in cells):
        return None
    against = section.against
    rows = []
    for cell in cells:
        rows.append(
            [
                cell,
                outcome(results, cell, against, TRAINING, texts),
                ranged(over_turns(results, cell, seconds("train step", "data wait"))),
                ratio(results, cell, against, "train_seconds"),
                ranged(over_turns(results, cell, memory("train step"))),
                _quality(results, cell),
                _quality_difference(results, cell, against),
            ]
        )
    keys = ("cell", "outcome", "train_s", "against", "peak_train", "ndcg", "ndcg_difference")
    return table(_header(keys, against, texts), rows, texts("training_caption"), labels=2)


def speed(results: Results, section: Section, texts: BenchTexts) -> Table | None:
    """What went by a second while training; None where no cell has trained."""
    cells = [cell for cell in members(section) if _trains(results, cell) and results.finished(cell)]
    if not cells:
        return None
    shown: tuple[tuple[str, Callable[[Row], float | None], Callable[[float], str]], ...] = (
        ("step_s", _step, number),
        ("rows_s", of_training("rows_per_second"), number),
        ("targets_s", of_training("targets_per_second"), number),
        ("tokens_s", of_training("useful_tokens_per_second"), number),
        ("padding", of_training("padding_share"), _share),
        ("mfu", of_training("model_flops_utilisation"), _share),
    )
    rows = [[cell, *(_median(results, cell, read, how) for _, read, how in shown)] for cell in cells]
    return table([texts("cell"), *(texts(key) for key, *_ in shown)], rows, texts("speed_caption"))


def export(results: Results, section: Section, texts: BenchTexts) -> Table | None:
    """Speed and memory of the export; None where no cell has exported."""
    cells = [cell for cell in members(section) if results.matrix.cells[cell].sizes.export_rows]
    if not any(results.finished(cell) for cell in cells):
        return None
    rows = [
        [
            cell,
            outcome(results, cell, section.against, EXPORTING, texts),
            ranged(over_turns(results, cell, seconds("export", "write"))),
            ratio(results, cell, section.against, "export_seconds"),
            ranged(over_turns(results, cell, memory("export"))),
            _median(results, cell, _export("targets_per_second"), number),
            _median(results, cell, _export("useful_tokens_per_second"), number),
            _median(results, cell, _export("padding_share"), _share),
            _median(results, cell, _export("model_flops_utilisation"), _share),
        ]
        for cell in cells
    ]
    keys = ("cell", "outcome", "export_s", "against", "peak_export", "targets_s", "tokens_s", "padding", "mfu")
    return table(_header(keys, section.against, texts), rows, texts("export_caption"), labels=2)


def _header(keys: Sequence[str], against: str, texts: BenchTexts) -> list[str]:
    """Column names; two of them name what the cells are compared with."""
    named = ("against", "ndcg_difference")
    return [texts(key, against=against) if key in named else texts(key) for key in keys]


def by_phase(
    results: Results, cells: Sequence[str], texts: BenchTexts, read: Callable[[str], Callable[[Row], float | None]]
) -> Table | None:
    """One row a cell, one column a phase that took place in any of them: medians over turns."""
    cells = [cell for cell in cells if results.finished(cell)]
    phases = [phase for phase in PHASES if any(over_turns(results, cell, read(phase)) for cell in cells)]
    if not phases:
        return None
    rows = []
    for cell in cells:
        found = [over_turns(results, cell, read(phase)) for phase in phases]
        rows.append([cell, *(f"{one.median:,.2f}" if one else "" for one in found)])
    caption = texts("memory_caption" if read is memory else "times_caption")
    return table([texts("cell"), *map(texts.phase, phases)], rows, caption)


def evidence(results: Results, section: Section, texts: BenchTexts) -> Table | None:
    """For each setting of each cell what was asked for and what was seen; None where the cells set nothing."""
    rows = []
    for cell in members(section):
        for entry in _seen(results, cell):
            seen = _told(entry["seen"], texts)
            effect = texts({True: "yes", False: "no", None: "not_judged"}[entry["in_effect"]])
            rows.append([cell, entry["key"], plain(entry["asked"]), effect, seen])
    header = [texts(key) for key in ("cell", "key", "asked", "in_effect", "seen")]
    return table(header, rows, texts("evidence_caption"), labels=5) if rows else None


def _told(seen: Any, texts: BenchTexts) -> str:
    """What was seen of a setting; earlier versions kept a sentence or a value."""
    if seen is None:
        return texts("nothing_seen")
    return texts.told(seen) if isinstance(seen, list) else plain(seen)


def _seen(results: Results, cell: str) -> list[Judged]:
    """The evidence of a cell's first run, or of the first run in which a setting was not in effect."""
    found = [row["evidence"]["settings"] for row in results.finished(cell).values()]
    bad = [entries for entries in found if any(entry["in_effect"] is False for entry in entries)]
    return next(iter(bad or found), [])


def ratio(results: Results, cell: str, against: str, metric: str) -> str:
    """A metric as a multiple of another cell's, over turns."""
    found = compare(results, cell, against, metric)
    if found is None or cell == against:
        return ""
    return f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _trains(results: Results, cell: str) -> bool:
    return results.matrix.cells[cell].sizes.rows > 0


def of_training(name: Rate) -> Callable[[Row], float | None]:
    """A metric: a rate of the training; None where there was none."""
    return lambda row: found[name] if (found := row["throughput"]["train"]) else None


def _export(name: Rate) -> Callable[[Row], float | None]:
    return lambda row: found[name] if (found := row["throughput"]["export"]) else None


def _step(row: Row) -> float | None:
    found = row["throughput"]["train"]
    return found["seconds"] / found["steps"] if found else None


def _median(results: Results, cell: str, read: Callable[[Row], float | None], how: Callable[[float], str]) -> str:
    found = over_turns(results, cell, read)
    return how(found.median) if found else ""


def _share(value: float) -> str:
    return f"{value * 100:.1f} %"


def _quality(results: Results, cell: str) -> str:
    before, after = (
        over_turns(results, cell, lambda row, name=name: row["quality"].get(name))  # type: ignore[misc]
        for name in ("ndcg@10_before", "ndcg@10_after")
    )
    return f"{four_digits(before.median)} → {four_digits(after.median)}" if before and after else ""


def _quality_difference(results: Results, cell: str, against: str) -> str:
    found = None if cell == against else quality_difference(results, cell, against)
    return (
        f"{signed_number(found.difference, 4)} [{signed_number(found.low, 4)}, {signed_number(found.high, 4)}]"
        if found
        else ""
    )
