"""A document as one self-contained HTML page: no script, no request, light and dark, wide and narrow."""

import re
from collections.abc import Iterator
from html import escape as html_escape
from itertools import count

from recdistill.printable import printable
from recdistill.reporting.document import Block, Bullets, Code, Document, Figure, Heading, Paragraph, Remark, Table

WIDE = 4
"""Columns from which on a table is wider than a phone."""
WITH_INTERVAL = re.compile(r"([^\[\]]*[\d%]) (\[[^\[\]]+\])")
"""A number and its interval: `0.1200 [0.1100, 0.1300]`."""
STYLE = """
:root { color-scheme: light dark;
  --font: system-ui, "Hiragino Sans", "Noto Sans CJK JP", "Noto Sans JP", "Yu Gothic", Meiryo, sans-serif;
  --ink: #1c2126; --soft: #5b6570; --line: #d5dae0; --page: #ffffff; --panel: #f4f6f8; --mark: #b26a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e7eb; --soft: #9aa5b0; --line: #3a424b; --page: #14181c; --panel: #1d2329; --mark: #e0a44c; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 88rem; padding: 1rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.6 var(--font); }
p, ul, figure, figcaption, pre, h1 { max-width: 50rem; }
h1 { font-size: 1.6rem; line-height: 1.3; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none; font-size: .9rem; }
a { color: inherit; text-decoration-color: var(--soft); }
.remark { border-left: 3px solid var(--mark); padding: .25rem .75rem; background: var(--panel); }
.scroll { overflow-x: auto; margin: 1rem 0 .25rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
.word { text-align: left; }
.ends { display: block; font-weight: 400; color: var(--soft); }
.hint { display: none; color: var(--soft); font-size: .85rem; margin: 1rem 0 -.75rem; }
td.word:last-child { white-space: normal; overflow-wrap: anywhere; }
td.word:nth-child(n+4):last-child { min-width: 12rem; }
.caption, figcaption { color: var(--soft); font-size: .85rem; margin: .25rem 0 1rem; }
figure { margin: 1.25rem 0; }
svg { max-width: 100%; height: auto; display: block; }
svg text { font-family: var(--font) !important; }
pre { overflow-x: auto; padding: .75rem; background: var(--panel); border-radius: .4rem;
  font-size: .8rem; line-height: 1.45; }
summary { cursor: pointer; }
@media (max-width: 48rem) {
  .hint { display: block; }
  tr > :first-child { position: sticky; left: 0; min-width: 8rem; background: var(--page); white-space: normal;
    overflow-wrap: anywhere; box-shadow: 1px 0 var(--line); }
}
@media print { body { max-width: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
""".strip()


def to_html(document: Document) -> str:
    """The whole page."""
    headings = [block.text for block in document.blocks if isinstance(block, Heading)]
    links = "".join(f'<li><a href="#{_anchor(number)}">{escape(text)}</a></li>' for number, text in enumerate(headings))
    numbers = count()
    body = "\n".join(_block(block, numbers, document.scroll_hint) for block in document.blocks)
    return f"""<!DOCTYPE html>
<html lang="{document.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(document.title)}</title>
<style>
{STYLE}
</style>
</head>
<body>
<h1>{escape(document.title)}</h1>
<nav><ul>{links}</ul></nav>
{body}
</body>
</html>
"""


def escape(text: str) -> str:
    """Plain text that HTML reads as nothing but text, in the order in which its letters stand."""
    return html_escape(printable(text))


def _anchor(number: int) -> str:
    return f"section-{number + 1}"


def _block(block: Block, headings: Iterator[int], hint: str) -> str:
    match block:
        case Heading():
            return f'<h2 id="{_anchor(next(headings))}">{escape(block.text)}</h2>'
        case Paragraph():
            return f"<p>{escape(block.text)}</p>"
        case Remark():
            return f'<p class="remark">{escape(block.text)}</p>'
        case Bullets():
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"
        case Table():
            return _table(block, hint)
        case Figure():
            svg = block.svg.replace("<svg ", f'<svg aria-label="{escape(block.caption)}" ', 1)
            return f"<figure>{svg}<figcaption>{escape(block.caption)}</figcaption></figure>"
        case Code():
            code = f"<pre><code>{escape(block.text)}</code></pre>"
            return f"<details><summary>{escape(block.title)}</summary>{code}</details>" if block.title else code


def _table(table: Table, hint: str) -> str:
    """A table that scrolls where it is wider than the page; narrow pages say so and keep its first column in sight."""
    kinds = [' class="word"' if table.is_words(column) else "" for column in range(len(table.header))]
    header = "".join(
        f'<th scope="col"{kind}>{escape(text)}</th>' for text, kind in zip(table.header, kinds, strict=True)
    )
    rows = []
    for row in table.rows:
        texts = [f"<strong>{_cell(cell.text)}</strong>" if cell.strong else _cell(cell.text) for cell in row]
        rows.append("".join(f"<td{kind}>{text}</td>" for text, kind in zip(texts, kinds, strict=True)))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    caption = f'<p class="caption">{escape(table.caption)}</p>' if table.caption else ""
    told = f'<p class="hint">{escape(hint)}</p>' if len(table.header) >= WIDE else ""
    return (
        f'{told}<div class="scroll" role="region" tabindex="0" aria-label="{escape(table.caption or table.header[0])}">'
        f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>{caption}"
    )


def _cell(text: str) -> str:
    """A value, with its interval on a line of its own so that many columns fit beside one another."""
    found = WITH_INTERVAL.fullmatch(text)
    return f'{escape(found[1])} <span class="ends">{escape(found[2])}</span>' if found else escape(text)
