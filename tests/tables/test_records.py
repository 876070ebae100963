"""Two readers of rows, a quick one and an exact one, must agree wherever the quick one is trusted."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recdistill.errors import UserError
from recdistill.tables import contents
from recdistill.tables.bad_rows import BadRows
from recdistill.tables.text_pieces import TextForm
from recdistill.tables.text_tables import TextTable, text_without_header

VALUE = st.text(alphabet='ab" ,\n\r', max_size=4)
ROWS = st.lists(st.tuples(VALUE, VALUE).filter(lambda row: row[0] != ""), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def table(folder: Path, content: bytes) -> TextTable:
    path = folder / "a.csv"
    path.write_bytes(content)
    return text_without_header(path, ("a", "b"), TextForm())


@settings(deadline=None, max_examples=150)
@given(rows=ROWS, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), block=st.integers(8, 60))
def test_what_the_csv_module_writes_is_read_whatever_the_blocks(
    folder: Path, rows: list[tuple[str, str]], quoting: int, block: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # It leaves a CR at a line's end without quotes, where nobody can tell it.
        rows = [(a.replace("\r", "-"), b.replace("\r", "-")) for a, b in rows]
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    with mock.patch.object(contents, "BLOCK_BYTES", block), mock.patch.object(contents, "_line_ends", no_change):
        found = table(folder, file.getvalue().encode()).read(["a", "b"])
    assert found.rows() == [(a or None, b or None) for a, b in rows]


def no_change(first: bytes) -> tuple[bytes, bytes]:
    """A value may hold a CR, which a block of a few bytes would take for an old Mac's line end."""
    return b"", b""


LINE = st.text(alphabet='ab",', max_size=8).filter(lambda line: line.strip(",") != "")


@settings(deadline=None, max_examples=300)
@example(lines=['""a,"', "aa"], block=4)
@example(lines=['""a,"', 'aa"', "b,c"], block=4)
@given(lines=st.lists(LINE, min_size=1, max_size=8), block=st.integers(4, 60))
def test_any_quotes_are_read_as_the_csv_module_reads_them_or_refused(
    folder: Path, lines: list[str], block: int
) -> None:
    content = "".join(f"{line}\n" for line in lines)
    bad = BadRows("")
    with mock.patch.object(contents, "BLOCK_BYTES", block):
        try:
            found = table(folder, content.encode()).read(["a", "b"], bad, may_be_empty=True).rows()
        except UserError as error:
            refused = str(error)
            found = []
        else:
            refused = ""
    if refused:
        assert "is opened here and not closed" in refused
        return
    right = [row for row in csv.reader(io.StringIO(content, newline="")) if any(row)]
    good = [row for row in right if len(row) > 1 and not any(row[2:])]
    assert found == [(row[0] or None, row[1] or None) for row in good]
    assert bad.count == len(right) - len(good)


def test_rows_are_found_again_by_their_lines(folder: Path) -> None:
    content = 'a,1\n\n"b\nb",2\nTV 3",3\nx\n"c",4\n'
    with mock.patch.object(contents, "BLOCK_BYTES", 9):
        read = table(folder, content.encode())
        bad = BadRows(str(read.path))
        assert read.read(["a"], bad)["a"].to_list() == ["a", "b\nb", 'TV 3"', "c"]
        assert read.places([0, 1, 2, 3]) == [f"{read.path}:{line}" for line in (1, 3, 5, 7)]
    assert [str(row) for row in bad.first] == [f"{read.path}:6: 1 values for 2 columns"]
