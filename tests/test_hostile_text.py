"""Titles, ids and names are strangers' text: nothing that shows them obeys them."""

import csv
import io
import json
import logging
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from markdown_it import MarkdownIt

from recdistill.cli import main
from recdistill.config import StudentConfig, TeacherConfig
from recdistill.errors import UserError
from recdistill.printable import LogLines, inline_code, printable
from recdistill.reporting.document import Bullets, Cell, Code, Document, Figure, Heading, Paragraph, Remark, Table
from recdistill.reporting.html import to_html
from recdistill.reporting.markdown import to_markdown
from recdistill.serving.bundle_files import read_bundle
from recdistill.students.make import make_student
from recdistill.teacher.adapter_card import adapter_card
from recdistill.training.log import CSV_FILE, TrainingLog
from recdistill.training.validations import Validation
from small_bundles import write_small_bundle

SOURCE = Path(__file__).parents[1] / "src" / "recdistill"
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "&lt;script&gt;&#60;script&#62;",
    "</title></style></script><script>alert(1)</script>",
    "](javascript:alert(1))",
    "[a](javascript:alert(1))",
    "![a](javascript:alert(1))",
    "<javascript:alert(1)>",
    "| a | b |",
    "`code` ``code``",
    "```\n<script>alert(1)</script>",
    "~~~ mermaid",
    "$\\href{javascript:alert(1)}{a}$",
    "**bold** _it_ ~~no~~ # head",
    "- item",
    "1. item",
    "+ item",
    "> quote",
    "# head",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b2J",
    "\u202egnp.exe",
    "\u2066a\u2069",
    "a\u2028b\u2029c",
    "a\r\nrecdistill: error: forged",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "a\0b",
    '", evil(), "',
    "---\ntags: [evil]\n---",
]  # fmt: skip
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "nav", "ul", "li", "a", "p", "div", "table"),
    *("thead", "tbody", "tr", "th", "td", "strong", "span", "figure", "figcaption", "svg", "pre", "code"),
    *("details", "summary"),
}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def document(text: str) -> Document:
    """The text wherever a report may have one."""
    return Document(
        title=text,
        language="en",
        blocks=(
            Heading(text),
            Paragraph(text),
            Remark(text),
            Bullets((text, text)),
            Table((text, text), ((Cell(text), Cell(text, strong=True)),), caption=text),
            Figure("drawing", "<svg ></svg>", text),
            Code(text, language="text", title=text),
        ),
        scroll_hint=text,
    )


class Reading(HTMLParser):
    """The tags and attributes of a page, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_report_s_page_says_it_and_is_the_same_page(text: str) -> None:
    page, plain = Reading(), Reading()
    html = to_html(document(text))
    page.feed(html)
    plain.feed(to_html(document("a title")))
    assert page.tags == plain.tags
    assert set(page.tags) <= TAGS
    assert [name for name, _ in page.attributes] == [name for name, _ in plain.attributes]
    assert not any(
        name.startswith("on") or "javascript:" in (value or "")
        for name, value in page.attributes
        if name != "aria-label"
    )
    assert not CONTROL.search(html)
    assert sum(printable(text) in said for said in page.text) >= 5


@pytest.mark.parametrize("text", HOSTILE)
def test_a_report_in_markdown_says_it_and_nothing_else(text: str) -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = reader.parse(to_markdown(document(text)))
    plain = reader.parse(to_markdown(document("a title")))
    assert [token.type for token in found] == [token.type for token in plain]
    inner = {child.type for token in found for child in token.children or ()}
    assert inner <= {"text", "strong_open", "strong_close", "image", "text_special", "softbreak"}
    assert not any(token.type.startswith("html") for token in found)
    assert not CONTROL.search(to_markdown(document(text)))


@pytest.mark.parametrize("text", HOSTILE)
def test_inline_code_and_cards_quote_it(text: str) -> None:
    (block,) = [token for token in MarkdownIt().parse(f"a {inline_code(text)} b") if token.type == "inline"]
    assert [child.type for child in block.children or ()] == ["text", "code_inline", "text"]
    card = adapter_card(TeacherConfig(llm=text), 3, has_layer_types=False)
    assert not CONTROL.search(card)
    (code,) = [token.content for token in MarkdownIt().parse(card) if token.type == "fence"]
    compile(code, "card", "exec")
    (base,) = [line for line in code.splitlines() if line.startswith("base = ")]
    assert re.fullmatch(r'base = "(?:[^"\\]|\\.)*"  # where the language model lies', base)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose titles and ids are hostile."""
    torch.manual_seed(1)
    student = make_student(StudentConfig(embedding_dim=8, num_layers=1, num_heads=1, max_length=4), len(HOSTILE))
    ids = ["", *(f"{place} {text}" for place, text in enumerate(HOSTILE))]
    write_small_bundle(tmp_path / "bundle", student, ids, ["", *HOSTILE], [0] * (len(HOSTILE) + 1))
    return tmp_path / "bundle"


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["list", "JSON"])
def test_a_terminal_is_told_and_obeys_nothing(
    bundle: Path, form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = f"0 {HOSTILE[0]}"
    assert main(["recommend", str(bundle), one, "--top_k", str(len(HOSTILE) - 1), *form]) == 0
    told = capsys.readouterr()
    assert not CONTROL.search(told.out + told.err)
    if form:
        found = json.loads(told.out)
        assert {item["title"] for item in found["items"]} == set(HOSTILE[1:]), "data stays the data it is"
    else:
        assert len(told.out.splitlines()) == 3 + len(HOSTILE) - 1, "a line for each item, whatever its title"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_and_a_log_line_obey_nothing(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = text.replace("\0", "").replace("/", "")
    assert main(["compare", str(tmp_path / name)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert not CONTROL.search(line)
    record = logging.LogRecord("recdistill", logging.INFO, "", 0, "title: %s", (text,), None)
    shown = LogLines().format(record)
    assert not CONTROL.search(shown)
    assert "\n" not in shown


def test_a_link_in_a_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    for name in ("catalog.json", "model.onnx", "item_vectors.npy"):
        elsewhere = tmp_path / "elsewhere"
        shutil.copytree(bundle, elsewhere)
        (elsewhere / name).unlink()
        (elsewhere / name).symlink_to(bundle / name)
        with pytest.raises(UserError, match=f"{name}: a link, where the bundle's own file was expected"):
            read_bundle(elsewhere)
        shutil.rmtree(elsewhere)


def test_a_table_that_is_written_holds_numbers_alone(tmp_path: Path) -> None:
    """No cell of the only CSV file that is written can be a formula: no text of anybody's is in it."""
    writers = [
        path for path in SOURCE.rglob("*.py") if re.search(r"csv\.(Dict)?[wW]riter|write_csv|to_csv", path.read_text())
    ]
    assert [path.relative_to(SOURCE).as_posix() for path in writers] == ["training/log.py"]
    rows = [Validation(0.5, -1, 2, None, 1e-4, {"ndcg@10": -0.25}, 1.5)]
    log = TrainingLog(tmp_path)
    log._scalar = lambda *_: None  # type: ignore[method-assign]
    log.validated(rows)
    head, *lines = csv.reader(io.StringIO((tmp_path / CSV_FILE).read_text()))
    assert all(re.fullmatch(r"[a-z_]+(@\d+)?", name) for name in head)
    assert all(cell == "" or isinstance(float(cell), float) for line in lines for cell in line)
