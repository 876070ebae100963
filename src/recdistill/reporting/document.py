"""What a report says, free of how it is written down: Markdown and HTML are made from the same document."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A section's title."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Remark:
    """Plain text that says what is missing or needs care."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One entry of a table."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first `labels` columns hold words, and so does the last where it is `told`, the others numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    labels: int = 1
    told: bool = False

    def is_words(self, column: int) -> bool:
        """Whether a column holds words."""
        return column < self.labels or (self.told and column == len(self.header) - 1)


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        name: of its file, without the ending.
        svg: the `<svg>` element.
        caption: what is to be seen, also for those who cannot see it.
    """

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Code:
    """Text to be copied as it is; with a title it may be folded away."""

    text: str
    language: str
    title: str = ""


Block = Heading | Paragraph | Remark | Bullets | Table | Figure | Code


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: the whole report's.
        language: its code (`en`, `ja`).
        blocks: what it says.
        scroll_hint: what stands before a table that may be wider than the page.
    """

    title: str
    language: str
    blocks: tuple[Block, ...]
    scroll_hint: str


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    labels: int = 1,
    strong: Collection[tuple[int, int]] = (),
    told: bool = False,
) -> Table:
    """A table of plain texts; `strong` holds the (row, column) places that are set in bold."""
    cells = (
        tuple(Cell(text, (number, column) in strong) for column, text in enumerate(row))
        for number, row in enumerate(rows)
    )
    return Table(tuple(header), tuple(cells), caption, labels, told)
