"""The bench's drawings, in the style of the package's others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure

from recdistill.reporting.plots import COLORS, INK, LEGEND_EMS, STYLE, WIDTH, to_svg
from recdistill.reporting.wide_text import columns


def stacked(name: str, cells: Sequence[str], phases: Mapping[str, Sequence[float]], unit: str) -> str:
    """One horizontal bar a cell, stacked from its phases, its sum at the end."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.22 * len(cells)))
        axes = figure.subplots()
        left = [0.0] * len(cells)
        for index, (phase, values) in enumerate(phases.items()):
            axes.barh(range(len(cells)), values, left=left, height=0.75, color=_color(index), label=phase)
            left = [start + value for start, value in zip(left, values, strict=True)]
        for row, total in enumerate(left):
            axes.annotate(f"{total:,.1f}", (total, row), (3, 0), textcoords="offset points", va="center", fontsize=8)
        _rows(axes, cells, unit)
        figure.legend(loc="outside upper center", ncols=columns(list(phases), 4, LEGEND_EMS))
        return to_svg(figure, name)


def dots(name: str, cells: Sequence[str], phases: Mapping[str, Sequence[float | None]], unit: str) -> str:
    """One row a cell with a dot a phase: peaks do not add up, so nothing is stacked. The axis starts at 0."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.22 * len(cells)))
        axes = figure.subplots()
        for index, (phase, values) in enumerate(phases.items()):
            aside = 0.5 * (index / max(1, len(phases) - 1) - 0.5)  # equal peaks would hide one another
            places = [(value, row + aside) for row, value in enumerate(values) if value is not None]
            axes.plot(
                [x for x, _ in places],
                [y for _, y in places],
                MARKERS[index % len(MARKERS)],
                color=_color(index),
                markersize=5,
                label=phase,
                alpha=0.85,
            )
        _rows(axes, cells, unit)
        axes.set_xlim(left=0)
        figure.legend(loc="outside upper center", ncols=columns(list(phases), 4, LEGEND_EMS))
        return to_svg(figure, name)


MARKERS = "osD^v<>P"


@dataclass(frozen=True)
class Point:
    """A cell: its speed, its quality, and whether it is worth a name."""

    cell: str
    speed: float
    quality: float
    named: bool


def tradeoff(name: str, points: Sequence[Point], base: str, speed: str, quality: str) -> str:
    """Speed across, quality up; the base's quality as a line. Names of points at one place stand one above another."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4))
        axes = figure.subplots()
        for point in points:
            color = COLORS[1] if point.cell == base else COLORS[0]
            axes.plot(
                point.speed, point.quality, "o", color=color, markersize=6 if point.cell == base else 5, alpha=0.8
            )
            if point.cell == base:
                axes.axhline(point.quality, color=INK, alpha=0.3, linewidth=0.8)
        axes.margins(x=0.16, y=0.16)
        axes.set_xlabel(speed)
        axes.set_ylabel(quality)
        axes.grid()
        height = 3.4 * 72 * 0.75
        low, high = axes.get_ylim()
        taken: list[tuple[float, float]] = []
        span = axes.get_xlim()[1] - axes.get_xlim()[0]
        for point in sorted((p for p in points if p.named), key=lambda p: (p.quality, p.speed)):
            place = (point.quality - low) / (high - low) * height
            shift = 4.0
            while any(abs(point.speed - x) < 0.24 * span and abs(place + shift - y) < 9 for x, y in taken):
                shift += 9
            taken.append((point.speed, place + shift))
            axes.annotate(
                point.cell,
                (point.speed, point.quality),
                (0, shift),
                textcoords="offset points",
                fontsize=7,
                ha="center",
                va="bottom",
            )
        return to_svg(figure, name)


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _rows(axes: matplotlib.axes.Axes, cells: Sequence[str], unit: str) -> None:
    axes.set_yticks(range(len(cells)), cells)
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.set_xlabel(unit)
    axes.grid(axis="x")
