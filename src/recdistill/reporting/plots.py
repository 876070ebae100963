"""Drawings as SVG text: no global state, one file's ids never clash with another's, colours that follow the page.

Text stays text (`svg.fonttype: none`), so that the reader's fonts draw it, and takes the page's own text colour. What a
report says itself is drawn in its language (:mod:`recdistill.reporting.wide_text`). Names and ids from outside are kept
to ASCII, since no font may be at hand for them: others are replaced by a number.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from recdistill.reporting.collect import CurvePoint
from recdistill.reporting.language import Texts
from recdistill.reporting.wide_text import FAMILIES, columns, put_back, stand_ins

COLORS = ("#3b82c4", "#e08a1e", "#2a9d78", "#a66bbe", "#d1495b", "#7f8c99", "#b59f3b", "#4bb3c4")
"""Of middling lightness: to be told apart on white and on black."""
INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
WIDTH = 5.2
"""Inches. Narrow, so that the letters stay readable when a phone shrinks the drawing."""
LEGEND_EMS = WIDTH * 72 / 8
"""The same in ems of a legend's letters, of 8 points."""
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": FAMILIES,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.columnspacing": 1.2,
    "legend.handletextpad": 0.3,
    "lines.linewidth": 1.4,
    "text.parse_math": False,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def intervals(name: str, models: Sequence[str], metrics: Mapping[str, Sequence[Estimate]]) -> str:
    """One panel a metric, one row a model: the value as a dot on its interval."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.3 * len(models)))
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, (metric, estimates) in zip(panels, metrics.items(), strict=True):
            for row, estimate in enumerate(estimates):
                color = COLORS[row % len(COLORS)]
                axes.plot([estimate.low, estimate.high], [row, row], color=color)
                axes.plot(estimate.value, row, "o", color=color, markersize=5)
            axes.set_xlabel(metric)
            axes.grid(axis="x")
        panels[0].set_yticks(range(len(models)), models)
        panels[0].set_ylim(len(models) - 0.5, -0.5)
        return to_svg(figure, name)


def slices(name: str, labels: Sequence[str], axis: str, models: Mapping[str, Sequence[Estimate]], metric: str) -> str:
    """One group a slice, one dot on its interval a model."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.7))
        axes = figure.subplots()
        step = 0.7 / max(1, len(models))
        for index, (model, estimates) in enumerate(models.items()):
            color = COLORS[index % len(COLORS)]
            places = [group + step * (index - (len(models) - 1) / 2) for group in range(len(labels))]
            axes.vlines(places, [e.low for e in estimates], [e.high for e in estimates], color=color)
            axes.plot(places, [e.value for e in estimates], "o", color=color, markersize=4, label=model)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlabel(axis)
        axes.set_ylabel(metric)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=columns(list(models), 5, LEGEND_EMS))
        return to_svg(figure, name)


def curves(name: str, runs: Mapping[str, Sequence[CurvePoint]], texts: Texts) -> str:
    """One row a training run: its loss, and NDCG@10 on validation with a dot at the best."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.4 + 1.4 * len(runs)))
        grid = figure.subplots(len(runs), 2, squeeze=False, sharex="row")
        for row, (model, points) in enumerate(runs.items()):
            loss, quality = grid[row]
            _line(loss, [(point.epoch, point.loss) for point in points], COLORS[5])
            best = _line(quality, [(point.epoch, point.ndcg) for point in points], COLORS[row])
            if best is not None:
                quality.plot(*best, "o", color=COLORS[row], markersize=5)
            loss.set_title(texts("drawn_loss", model=texts.short(model)), loc="left")
            quality.set_title(texts("drawn_validation", model=texts.short(model)), loc="left")
            for axes in (loss, quality):
                axes.grid()
                if row == len(runs) - 1:
                    axes.set_xlabel(texts("epoch"))
        return to_svg(figure, name)


def _line(axes: Axes, points: Sequence[tuple[float, float | None]], color: str) -> tuple[float, float] | None:
    """Draw the points that have a value; return the highest of them."""
    known = [(x, y) for x, y in points if y is not None]
    axes.plot([x for x, _ in known], [y for _, y in known], color=color, marker="." if len(known) < 8 else None)
    return max(known, key=lambda point: point[1], default=None)


def bars(name: str, values: Sequence[tuple[str, str, float]], unit: str) -> str:
    """One horizontal bar for each (group, label, value), its value at the end; a group has one color."""
    groups = list(dict.fromkeys(group for group, _, _ in values))
    colors = [COLORS[groups.index(group) % len(COLORS)] for group, _, _ in values]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.6 + 0.2 * len(values)))
        axes = figure.subplots()
        drawn = axes.barh(range(len(values)), [value for *_, value in values], color=colors, height=0.7)
        axes.bar_label(drawn, fmt=lambda value: f"{value:,.2f}" if value < 10 else f"{value:,.0f}", padding=3)
        axes.set_yticks(range(len(values)), [f"{group}: {label}" for group, label, _ in values])
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.margins(x=0.12)
        axes.set_xlabel(unit)
        return to_svg(figure, name)


def shares(name: str, labels: Sequence[str], weights: Sequence[Sequence[float]], texts: Texts) -> str:
    """One horizontal bar a user, stacked from the experts' weights."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.22 * len(labels)))
        axes = figure.subplots()
        experts = [texts("expert", number=expert + 1) for expert in range(len(weights[0]))]
        for expert, label in enumerate(experts):
            left = [sum(row[:expert]) for row in weights]
            axes.barh(
                range(len(labels)),
                [row[expert] for row in weights],
                left=left,
                height=0.8,
                color=COLORS[expert % len(COLORS)],
                label=label,
            )
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel(texts("weight"))
        figure.legend(loc="outside upper center", ncols=columns(experts, 4, LEGEND_EMS))
        return to_svg(figure, name)


def plain_labels(names: Sequence[str], kind: str) -> list[str]:
    """Names as labels of a drawing: cut where long, and `kind 3` for the third where it is not printable ASCII."""
    return [
        (name if len(name) <= 16 else f"{name[:15]}~") if name.isascii() and name.isprintable() else f"{kind} {number}"
        for number, name in enumerate(names, start=1)
    ]


def to_svg(figure: Figure, name: str) -> str:
    """The figure's `<svg>` element, transparent, its ids prefixed by `name`."""
    file, stood_in = io.StringIO(), stand_ins(figure)
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set(facecolor="none", edgecolor="none")
    with matplotlib.rc_context({"svg.hashsalt": name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(file, metadata=nothing)  # `savefig` draws twice, for the layout
    svg = file.getvalue()
    svg = put_back(svg[svg.index("<svg") :].strip(), stood_in)
    svg = svg.replace(INK, "currentColor").replace("<svg ", '<svg role="img" ', 1)
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
