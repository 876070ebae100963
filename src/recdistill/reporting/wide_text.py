"""Japanese in drawings: it stays text in the SVG, and the place that it needs is known without a Japanese font.

matplotlib measures text with its own font, DejaVu Sans, which has no Japanese letters. So each letter that is an em
wide is laid out as a stand-in of that width, an ornament and a thin space, both in DejaVu Sans, and put back into the
SVG. The reader's program then draws it in the first of :data:`FAMILIES` that has it, or in any other font it finds.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from recdistill.reporting.letters import is_wide

FAMILIES = ["DejaVu Sans", "Hiragino Sans", "Yu Gothic", "Meiryo", "Noto Sans CJK JP", "sans-serif"]
"""Fonts that text is drawn with, the first that has a letter."""
RANGES = ((0x2729, 0x274B), (0x2761, 0x2775), (0x2780, 0x2794), (0x2798, 0x27AF))
ORNAMENTS = tuple(chr(code) for first, last in RANGES for code in range(first, last + 1))
"""Dingbats: no label of a report has them, and in DejaVu Sans each is .84 em wide."""
THIN_SPACE = "\u2009"
"""Fills an ornament up to an em."""


def columns(labels: Sequence[str], most: int, ems: float) -> int:
    """Columns of a legend, `most` or fewer, so that it is at most `ems` wide, as far as that is known beforehand.

    A letter that is not wide is taken for .6 em, and a column's mark and its space for 3.5.
    """
    for count in range(min(most, len(labels)), 1, -1):
        rows, longer = divmod(len(labels), count)
        ends = [place * rows + min(place, longer) for place in range(count + 1)]
        parts = [labels[start:end] for start, end in pairwise(ends)]
        widths = (max(sum(1 if is_wide(letter) else 0.6 for letter in label) for label in part) for part in parts)
        if sum(widths) + 3.5 * count <= ems:
            return count
    return 1


def stand_ins(figure: Figure) -> dict[str, str]:
    """Put stand-ins for the wide letters into all texts of a figure: letter → what stands for it.

    Raises:
        ValueError: there are more letters than stand-ins.
    """
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    ticks = {axis: _tick_labels(axis) for axis in figure.findobj(Axis) if isinstance(axis, Axis)}
    said = "".join([*(text.get_text() for text in texts), *(label for labels in ticks.values() for label in labels)])
    letters = sorted({letter for letter in said if is_wide(letter)})
    if len(letters) > len(ORNAMENTS):
        raise ValueError(f"a drawing has {len(letters)} different wide letters, more than {len(ORNAMENTS)}")
    found = {letter: ornament + THIN_SPACE for letter, ornament in zip(letters, ORNAMENTS, strict=False)}
    table = str.maketrans(found)
    for text in texts:
        text.set_text(text.get_text().translate(table))
    for axis, labels in ticks.items():
        if any(map(is_wide, "".join(labels))):
            axis.set_ticks(axis.get_majorticklocs(), [label.translate(table) for label in labels])
    return found


def _tick_labels(axis: Axis) -> list[str]:
    """The labels that an axis was given; empty where they are its numbers."""
    given = isinstance(axis.get_major_locator(), FixedLocator)
    return [label.get_text() for label in axis.get_ticklabels()] if given else []


def put_back(svg: str, stood_in: Mapping[str, str]) -> str:
    """The SVG with the letters again."""
    for letter, stand_in in stood_in.items():
        svg = svg.replace(stand_in, letter)
    return svg
