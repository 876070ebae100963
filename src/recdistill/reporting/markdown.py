"""A document as Markdown (GitHub's kind); drawings are files beside it."""

import re

from recdistill.printable import printable
from recdistill.reporting.document import (
    Block,
    Bullets,
    Cell,
    Code,
    Document,
    Figure,
    Heading,
    Paragraph,
    Remark,
    Table,
)

FIGURES = "figures"
"""Folder of the drawings, beside the Markdown file."""


def to_markdown(document: Document) -> str:
    """The whole text; its drawings are expected as `figures/<name>.svg`."""
    return "\n\n".join([f"# {escape(document.title)}", *(_block(block) for block in document.blocks)]) + "\n"


def escape(text: str) -> str:
    """Plain text that Markdown reads as nothing but text, in the order in which its letters stand."""
    text = re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", printable(text).replace("&", "&amp;"))
    text = re.sub(r"^(\s*)([-+]|\d+[.)])(?=\s)", lambda found: f"{found[1]}\\{found[2]}", text)
    return re.sub(r"[ \t\r\n]+", " ", text).strip()


def _block(block: Block) -> str:
    match block:
        case Heading():
            return f"## {escape(block.text)}"
        case Paragraph():
            return escape(block.text)
        case Remark():
            return f"> {escape(block.text)}"
        case Bullets():
            return "\n".join(f"- {escape(item)}" for item in block.items)
        case Table():
            return _table(block)
        case Figure():
            return f"![{escape(block.caption)}]({FIGURES}/{block.name}.svg)\n\n{escape(block.caption)}"
        case Code():
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
            title = f"{escape(block.title)}:\n\n" if block.title else ""
            return f"{title}{fence}{block.language}\n{printable(block.text).rstrip()}\n{fence}"


def _table(table: Table) -> str:
    rules = ["---" if table.is_words(column) else "---:" for column in range(len(table.header))]
    rows = [[Cell(text) for text in table.header], [Cell(rule) for rule in rules], *table.rows]
    lines = ["| " + " | ".join(_cell(cell, rule=number == 1) for cell in row) + " |" for number, row in enumerate(rows)]
    return "\n".join(lines) + (f"\n\n{escape(table.caption)}" if table.caption else "")


def _cell(cell: Cell, rule: bool) -> str:
    text = cell.text if rule else escape(cell.text)
    return f"**{text}**" if cell.strong else text
