"""The table of decoders: eight families as they are now, and the page as it is written."""

from pathlib import Path

import pytest

import decoders

ROOT = Path(__file__).parents[2]
FAMILIES = ("llama", "gemma2", "falcon", "gpt2", "bloom", "mixtral", "jamba", "t5")
COLUMNS = [column for column in decoders.COLUMNS if column != "compile"]


def table() -> dict[str, dict[str, str]]:
    """The page's table: kind → column → verdict."""
    lines = (ROOT / "docs" / "decoders.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {kind: dict(zip(rows[0][1:], cells, strict=True)) for kind, *cells in rows[1:]}


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_page_says_what_a_kind_is_now(kind: str, tmp_path: Path) -> None:
    found = decoders.row(kind, tmp_path, COLUMNS)
    assert {column: verdict for column, (verdict, _) in found.items()} == {
        column: verdict for column, verdict in table()[kind].items() if column in COLUMNS
    }
    assert all("\n" not in reason and reason for verdict, reason in found.values() if verdict == decoders.REFUSED)


def test_no_kind_is_silently_wrong() -> None:
    verdicts = {verdict for cells in table().values() for verdict in cells.values()}
    assert verdicts == {decoders.RIGHT, decoders.REFUSED, decoders.NOT_RUN}
    assert len(table()) > 100
    assert set(FAMILIES) <= set(table())


def test_the_page_tells_reasons_once() -> None:
    cells = {"item": (decoders.REFUSED, "teacher.llm: a is no decoder"), "text": (decoders.RIGHT, "")}
    rest = dict.fromkeys(decoders.COLUMNS[2:], (decoders.NOT_RUN, ""))
    written = decoders.page({"a": cells | rest, "b": {}})
    assert "| a | refused | right | not run |" in written
    assert written.count("is no decoder") == 1
    assert "No tiny model could be made of: `b`." in written
