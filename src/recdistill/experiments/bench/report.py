"""The report of an experiment: environment, method, a section a question, drawings, conclusions, how to do it again."""

import math
from pathlib import Path
from statistics import median

from recdistill.errors import UserError
from recdistill.experiments.bench import plots, tables, two_factors
from recdistill.experiments.bench.language import BenchTexts
from recdistill.experiments.bench.matrix import BASE, Matrix, Section
from recdistill.experiments.bench.results import FINISHED, Results, read_rows, results_of
from recdistill.experiments.bench.statistics import (
    LEAST_FLOOR,
    METRICS,
    chance_of_false_difference,
    comparable,
    compare,
    memory,
    noise_floor,
    payback,
    quality_difference,
    seconds,
    without_own_floor,
)
from recdistill.experiments.bench.words import finding, members, number, over_turns, percent
from recdistill.languages import Language
from recdistill.reporting.account import VARYING, machine
from recdistill.reporting.document import (
    Block,
    Bullets,
    Code,
    Document,
    Figure,
    Heading,
    Paragraph,
    Remark,
    table,
)
from recdistill.reporting.report import write_document
from recdistill.reporting.wording import duration

DRAWN_TIMES = ("set-up", "warm-up", "compile", "data wait", "train step", "validation", "test", "export")
DRAWN_PEAKS = ("load LLM", "train step", "validation", "export")


def write_report(matrix: Matrix, out: Path, language: Language, source: str) -> None:
    """Write `report.md` with its drawings in `figures/`, and the self-contained `report.html`, to `out`.

    Args:
        matrix: the experiment.
        out: its folder, with `results.jsonl`.
        language: one of :data:`recdistill.languages.LANGUAGES`.
        source: the matrix's file, for the command.

    Raises:
        UserError: nothing of this matrix has been run.
    """
    results = results_of(matrix, read_rows(out))
    if not results.all():
        raise UserError(f"{out}: holds no results of this matrix; run it first")
    write_document(build_document(results, BenchTexts(language), source, out), out)


def build_document(results: Results, texts: BenchTexts, source: str, out: Path) -> Document:
    """The report's blocks, in the order of the report it is modelled on."""
    sections = [block for section in results.matrix.sections for block in _section(results, section, texts)]
    blocks = [
        *_made(results, texts),
        *_environment(results, texts),
        *_method(results, texts),
        *sections,
        *_overview(results, texts),
        *_tradeoff(results, texts),
        *_conclusions(results, texts),
        *_reproduce(results, texts, source, out),
    ]
    return Document(texts.of(results.matrix.titles), texts.language, tuple(blocks), texts("tables_scroll"))


def _made(results: Results, texts: BenchTexts) -> list[Block]:
    """How much of it there is, when, how long."""
    rows = results.all()
    started = [row["started"][:16].replace("T", " ") for row in rows]
    asked = len(results.matrix.cells) * results.matrix.repeats
    text = texts(
        "made",
        finished=sum(row["status"] == FINISHED for row in rows),
        asked=asked,
        cells=len(results.matrix.cells),
        started=min(started),
        ended=max(started),
        total=duration(texts, sum(row["seconds"] for row in rows)),
    )
    missing = sum(len(results.due(cell)) for cell in results.matrix.cells)
    return [Paragraph(text), *([Remark(texts("incomplete", missing=missing))] if missing else [])]


def _environment(results: Results, texts: BenchTexts) -> list[Block]:
    """The machine and the software; said where the rows do not agree."""
    found = [row["environment"] for row in results.all() if "environment" in row]
    heading = Heading(texts("contents_environment"))
    if not found:
        return [heading, Remark(texts("unknown"))]
    rows = [[texts(key), text] for key, text in machine(found[-1], texts)]
    rows += [[name, version or texts("none")] for name, version in found[-1].get("packages", {}).items()]
    constant = [{key: value for key, value in one.items() if key not in (*VARYING, "git")} for one in found]
    mixed = [Remark(texts("mixed_machines"))] if any(one != constant[0] for one in constant) else []
    return [heading, table([texts("key"), texts("value")], rows, labels=2), *mixed]


def _method(results: Results, texts: BenchTexts) -> list[Block]:
    """How it was measured, and the noise that was found."""
    matrix = results.matrix
    sizes = matrix.cells[BASE].sizes
    pairs = ", ".join(f"{one} / {other}" for one, other in matrix.pairs())
    sentences = [
        texts("method_cells", threads=matrix.threads, limit=duration(texts, matrix.cell_seconds)),
        texts(
            "method_sample",
            rows=f"{sizes.rows:,}",
            users=f"{sizes.validation_users:,}",
            tested=f"{sizes.test_rows:,}",
            exported=f"{sizes.export_rows:,}",
        ),
        texts("method_turns", repeats=matrix.repeats),
        texts("method_noise", pairs=pairs, least=percent(1 + LEAST_FLOOR).lstrip("+")),
        *_limits(results, texts, pairs),
        texts("method_quality"),
        texts("method_evidence"),
        texts("method_mfu", peaks=_peaks(results)),
        _memory_kind(results, texts),
    ]
    floors = {metric: floor for metric in METRICS if (floor := noise_floor(results, metric)) is not None}
    rows = [
        [texts(metric), f"{math.expm1(-floor) * 100:.1f} % … {math.expm1(floor) * 100:+.1f} %"]  # even in the logarithm
        for metric, floor in floors.items()
    ]
    noise: Block = (
        table([texts("metric"), texts("floor_header")], rows, texts("pair_caption", pairs=pairs))
        if rows
        else Remark(texts("no_pair"))
    )
    return [Heading(texts("contents_method")), Bullets(tuple(text for text in sentences if text)), noise]


def _limits(results: Results, texts: BenchTexts, pairs: str) -> list[str]:
    """How many differences luck alone would make of the comparisons, and which are judged by a floor of other work."""
    matrix = results.matrix
    asked = {(cell, one.against) for one in matrix.sections for cell in one.cells if cell != one.against}
    count = sum(compare(results, *cells, metric) is not None for cells in asked for metric in METRICS)
    chance = chance_of_false_difference(matrix.repeats)
    luck = texts(
        "method_luck",
        turns=matrix.repeats,
        chance=f"{chance * 100:.2g} %",
        count=count,
        expected=f"{chance * count:.2g}",
    )
    others = without_own_floor(matrix)
    return [luck, *([texts("method_other_work", pairs=pairs, others=", ".join(others))] if others else [])]


def _peaks(results: Results) -> str:
    """The matmul peaks of the types that ran, medians over all rows."""
    found: dict[str, list[float]] = {}
    for cell in results.matrix.cells:
        for row in results.finished(cell).values():
            speed = row["throughput"]
            found.setdefault(speed["matmul_peak_dtype"], []).append(float(speed["matmul_peak_flops"]))
    return ", ".join(f"{kind} {number(median(peaks) / 1e9)} GFLOP/s" for kind, peaks in found.items())


def _memory_kind(results: Results, texts: BenchTexts) -> str:
    finished = [row for row in results.all() if row["status"] == FINISHED]
    if not finished:
        return ""
    first = finished[0]["memory"]
    if first.get("export", first["import"]).get("peak_allocated_gib") is not None:
        return texts("memory_cuda")
    return texts("memory_cpu", import_gib=f"{first['import']['peak_rss_gib']:.2f}")


def _section(results: Results, section: Section, texts: BenchTexts) -> list[Block]:
    """A question, what was measured, what was in effect, and what follows."""
    question = texts.of(section.questions)
    cells = members(section)
    found = (
        tables.training(results, section, texts),
        tables.speed(results, section, texts),
        tables.export(results, section, texts),
        tables.by_phase(results, cells, texts, seconds),
        tables.by_phase(results, cells, texts, memory),
        tables.evidence(results, section, texts),
    )
    return [
        Heading(texts.section(section)),
        *([Paragraph(question)] if question else []),
        *(block for block in found if block),
        *two_factors.two_by_two(results, section, texts),
        Bullets(tuple(_findings(results, section, texts))),
    ]


def _findings(results: Results, section: Section, texts: BenchTexts, brief: bool = False) -> list[str]:
    told = [finding(results, cell, section.against, texts, brief) for cell in section.cells if cell != section.against]
    return told + two_factors.shares(results, section, texts) + _paybacks(results, section, texts)


def _paybacks(results: Results, section: Section, texts: BenchTexts) -> list[str]:
    """The break-even of each cell of a section that compiles where the other does not."""
    cells, sentences = results.matrix.cells, []
    for cell in section.cells:
        if not cells[cell].config.teacher.compile or cells[section.against].config.teacher.compile:
            continue
        if (found := payback(results, cell, section.against)) is None:
            continue
        price = duration(texts, max(0.0, found.compile_seconds))
        values = {"cell": cell, "against": section.against, "price": price}
        if found.steps is None:
            sentences.append(texts("payback_never", **values))
        else:
            saved = f"{found.saved_per_step:.3f} s"
            sentences.append(texts("payback", **values, saved=saved, steps=f"{round(found.steps):,}"))
    return sentences


def _overview(results: Results, texts: BenchTexts) -> list[Block]:
    """All cells side by side."""
    cells = [cell for cell in results.matrix.cells if results.finished(cell)]
    if not cells:
        return []

    def medians(read: object, phase: str) -> list[float | None]:
        found = (over_turns(results, cell, read(phase)) for cell in cells)  # type: ignore[operator]
        return [one.median if one else None for one in found]

    times = {phase: [value or 0.0 for value in medians(seconds, phase)] for phase in DRAWN_TIMES}
    peaks = {texts.phase(phase): medians(memory, phase) for phase in DRAWN_PEAKS}
    times = {texts.phase(phase): values for phase, values in times.items() if any(values)}
    return [
        Heading(texts("contents_overview")),
        Figure("times", plots.stacked("times", cells, times, texts("seconds")), texts("times_figure")),
        Figure("memory", plots.dots("memory", cells, peaks, "GiB"), texts("memory_figure")),
    ]


def _tradeoff(results: Results, texts: BenchTexts) -> list[Block]:
    """Speed and quality of all cells that trained with what they asked for."""
    points = []
    for cell in results.matrix.cells:
        if not comparable(results, cell, cell):
            continue
        speed = over_turns(results, cell, tables.of_training("targets_per_second"))
        quality = over_turns(results, cell, lambda row: row["quality"].get("ndcg@10_after"))
        if speed and quality:
            found, other = compare(results, cell, BASE, "train_seconds"), quality_difference(results, cell, BASE)
            differs = (found is not None and found.decision == "difference") or (other is not None and other.clear)
            points.append(plots.Point(cell, speed.median, quality.median, cell == BASE or differs))
    if not points:
        return []
    svg = plots.tradeoff("tradeoff", points, BASE, texts("drawn_speed"), texts("drawn_quality"))
    return [Heading(texts("contents_tradeoff")), Figure("tradeoff", svg, texts("tradeoff_figure"))]


def _conclusions(results: Results, texts: BenchTexts) -> list[Block]:
    """Every section's findings once more, together."""
    sentences = [
        f"{texts.section(section)} — {sentence}"
        for section in results.matrix.sections
        for sentence in _findings(results, section, texts, brief=True)
    ]
    return [Heading(texts("contents_conclusions")), Bullets(tuple(sentences))]


def _reproduce(results: Results, texts: BenchTexts, source: str, out: Path) -> list[Block]:
    default = Path("runs/bench") / results.matrix.name
    where = "" if out == default or out.is_absolute() else f" --out {out}"
    language = "" if texts.language == "en" else f" --language {texts.language}"
    name = Path(source).name if Path(source).is_absolute() else source
    return [
        Heading(texts("contents_reproduce")),
        Paragraph(texts("bench_reproduce")),
        Code(f"recdistill bench {name}{where}{language}", "sh"),
        Code(results.matrix.text, "yaml", title=texts("matrix")),
    ]
