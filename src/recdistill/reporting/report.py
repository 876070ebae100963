"""The report of a run: one document, written as Markdown and as HTML."""

from pathlib import Path

from recdistill.languages import Language
from recdistill.reporting import account, quality
from recdistill.reporting.collect import Run, read_run
from recdistill.reporting.document import Document, Figure
from recdistill.reporting.html import to_html
from recdistill.reporting.language import Texts
from recdistill.reporting.markdown import FIGURES, to_markdown
from recdistill.storage.files import write_text

DARK = "<style>:root{color:#1c2126}@media(prefers-color-scheme:dark){:root{color:#e3e7eb}}</style>"
"""What an SVG file needs to be readable on a dark page; inside the HTML the page's own colour rules."""


def write_report(run: Path, folder: Path, language: Language, control: Path | None = None) -> None:
    """Write `report.md` with its drawings in `figures/`, and the self-contained `report.html`.

    Args:
        run: the run's folder; what it lacks is left out, and the report says so.
        folder: where to write.
        language: one of :data:`recdistill.languages.LANGUAGES`.
        control: an evaluated run whose models have lost what they learned, to say what it is worth.

    Raises:
        UserError: the run has no finished step, one of its files is broken, or the control was not evaluated as it was.
    """
    write_document(build_document(read_run(run, control), Texts(language)), folder)


def write_document(document: Document, folder: Path) -> None:
    """Write a document to `folder`: `report.md`, its drawings in `figures/`, and the self-contained `report.html`."""
    for block in document.blocks:
        if isinstance(block, Figure):
            write_text(folder / FIGURES / f"{block.name}.svg", block.svg.replace(">", f">{DARK}", 1) + "\n")
    write_text(folder / "report.md", to_markdown(document))
    write_text(folder / "report.html", to_html(document))


def build_document(run: Run, texts: Texts) -> Document:
    """The report's sections, in the order a reader wants them."""
    sections = (
        quality.summary,
        quality.results,
        quality.tests,
        quality.slice_sections,
        quality.candidates,
        account.curves,
        account.cost,
        account.gate,
        account.lists,
        account.evidence,
        account.data,
        account.environment,
        account.reproduce,
    )
    blocks = [block for section in sections for block in section(run, texts)]
    told = (account.made(run, texts), *blocks)
    return Document(texts("title", run=run.name), texts.language, told, texts("tables_scroll"))
