from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recdistill.errors import UserError
from recdistill.tables.tables import parquet
from recdistill.tables.text_pieces import TextForm
from recdistill.tables.text_tables import text_with_header, text_without_header

Write = Callable[[str, str | bytes], Path]


def test_reads_quotes_byte_order_mark_and_windows_line_ends(write: Write) -> None:
    path = write("a.csv", b'\xef\xbb\xbfid,title\r\n1,"Usual Suspects, The"\r\n2,"Say ""hi"""\r\n')
    table = text_with_header(path, TextForm(","))
    assert table.names == ("id", "title")
    assert table.read(["title", "id"]).rows() == [("Usual Suspects, The", "1"), ('Say "hi"', "2")]


def test_quotes_are_plain_characters_without_quoting(write: Write) -> None:
    path = write("a.item", 'id\ttitle\n1\t"Foo" bar\n2\t"open\n')
    assert text_with_header(path, TextForm("\t", quote="")).read(["title"])["title"].to_list() == ['"Foo" bar', '"open']


def test_a_separator_of_two_characters_and_latin_1(write: Write) -> None:
    path = write("movies.dat", "1::Amélie: Part 2::Comedy\n2::Heat::Action\n".encode("latin-1"))
    table = text_without_header(path, ("id", "title", "genres"), TextForm("::", quote="", encoding="latin-1"))
    assert table.read(["id", "title"]).rows() == [("1", "Amélie: Part 2"), ("2", "Heat")]
    assert table.places([1]) == [f"{path}:2"]


def test_a_byte_that_is_no_utf_8_beside_a_separator_of_two_characters(write: Write) -> None:
    path = write("movies.dat", b"1::Heat\n2::Am\xe9lie\n")
    with pytest.raises(UserError, match=r"movies\.dat:2: not UTF-8 text"):
        text_without_header(path, ("id", "title"), TextForm("::", quote="")).read(["id", "title"])


def test_lines_without_values_are_passed_over_and_line_numbers_stay_right(write: Write) -> None:
    path = write("a.csv", 'a,b\n1,"two\nlines"\n\n3,4\n\n')
    table = text_with_header(path, TextForm(","))
    assert table.read(["a", "b"]).rows() == [("1", "two\nlines"), ("3", "4")]
    assert table.places([0, 1]) == [f"{path}:2", f"{path}:5"]


def test_a_file_name_may_look_like_a_pattern(write: Write) -> None:
    path = write("a[1]*.csv", "a\n1\n")
    assert text_with_header(path, TextForm(",")).read(["a"])["a"].to_list() == ["1"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"a,b\n", "no rows below the header"),
        (b"a,b\n\n\n", "no rows below the header"),
        (b"a,a\n1,2\n", ":1: two columns are called 'a'"),
        (b"a,b\n1,2\n3,4,5\n", ":3: 3 values for 2 columns"),
        (b"a,b\n1,2,3\n", ":2: 3 values for 2 columns"),
        (b"a,b\n1,2\n3,caf\xe9\n", ":3: not UTF-8 text"),
        (b"caf\xe9,b\n1,2\n", ":1: not UTF-8 text"),
        (b"b,c\n1,2\n", "no column 'a'; it has 'b', 'c'"),
        (b"a;b\n1;2\n", "no column 'a'; it has 'a;b'; the separator seems to be ';' (data.separator)"),
        (b'a,b\n"1,2\n3,4\n', ':2: a quote (") is opened here and not closed'),
    ],
)
def test_bad_text_files(write: Write, content: bytes, problem: str) -> None:
    path = write("bad.csv", content)
    with pytest.raises(UserError) as caught:
        text_with_header(path, TextForm(",")).read(["a"])
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "the file is empty"),
        ("1,2\n", ":1: 1 values for 2 columns"),
        ("1\t2\n1\t2\t3\n", ":2: 3 values for 2 columns"),
    ],
)
def test_bad_text_files_without_header(write: Write, content: str, problem: str) -> None:
    path = write("u.data", content)
    with pytest.raises(UserError) as caught:
        text_without_header(path, ("a", "b"), TextForm("\t", quote="")).read(["a"])
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        text_with_header(tmp_path / "none.csv", TextForm(","))
    with pytest.raises(UserError, match="a folder, where a file was expected"):
        parquet(tmp_path)


def test_parquet_keeps_types_and_places_count_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}).write_parquet(path)
    table = parquet(path)
    assert table.read(["b", "a"]).rows() == [("x", 1), ("y", 2)]
    assert table.places([1])[0] == f"{path}: row 2"


def test_bad_parquet(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a Parquet file"):
        parquet(write("bad.parquet", "nonsense"))
    pl.DataFrame({"a": []}).write_parquet(tmp_path / "empty.parquet")
    with pytest.raises(UserError, match="no rows"):
        parquet(tmp_path / "empty.parquet").read(["a"])
    with pytest.raises(UserError, match="no column 'c'"):
        parquet(tmp_path / "empty.parquet").read(["c"])
