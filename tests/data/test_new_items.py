import logging
from pathlib import Path

import polars as pl
import pytest

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.new_items import ItemColumns, read_new_items
from recdistill.errors import UserError

COLUMNS = ItemColumns("item_id", "title", (), ",")


def test_new_items_stand_in_the_files_order_and_what_is_passed_over_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n9,Nine\n1,One\n7,\n8,Eight\n9,Nine\n")
    with caplog.at_level(logging.INFO, "recdistill"):
        new = read_new_items(path, {"1", "2"}, COLUMNS)
    assert (new.item_ids, new.titles, new.texts) == (["9", "8"], ["Nine", "Eight"], ["Nine", "Eight"])
    assert f"{path}: 1 known, 1 without a title, 2 new" in caplog.text


def test_more_than_the_title_is_read_where_the_run_does(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("book;name;genre\nb;Heat;Crime|Drama\nc;Ran;\n")
    new = read_new_items(path, set(), ItemColumns("book", "name", ("genre",), ";"))
    assert new.titles == ["Heat", "Ran"]
    assert new.texts == ["Heat. Genre: Crime, Drama.", "Ran"]


def test_ids_of_a_parquet_file_that_became_floats_are_the_same_ids(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [1.0, 2.0, 3.0], "title": ["One", "Two", "Three"]}).write_parquet(path)
    assert read_new_items(path, {"1", "2"}, COLUMNS).item_ids == ["3"]


def test_ids_are_taken_as_written_where_the_catalog_holds_codes_with_fractions(tmp_path: Path) -> None:
    """`7.0` of a file without fractions is the catalog's `7.0`, and no new item `7`."""
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n7.0,Seven\n9.0,Nine\n")
    assert read_new_items(path, {"7.0", "7.5"}, COLUMNS).item_ids == ["9.0"]
    assert read_new_items(path, {"7", "8"}, COLUMNS).item_ids == ["9"]
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [7.0, 9.0], "title": ["Seven", "Nine"]}).write_parquet(path)
    assert read_new_items(path, {"7.0", "7.5"}, COLUMNS).item_ids == ["9.0"]
    path.unlink()
    pl.DataFrame({"item_id": [2.0**53], "title": ["Lost"]}).write_parquet(path)
    with pytest.raises(UserError, match="cannot tell whole numbers apart"):
        read_new_items(path, {"7.5", "7.0"}, COLUMNS)


def test_new_ids_that_are_known_ones_in_another_form_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n007,Seven\nb1,Bolt\nx,New\n")
    assert read_new_items(path, {"7", "B1"}, COLUMNS).item_ids == ["007", "b1", "x"]
    assert "2 of the new items have the id of a known one but for the way it is written, such as '007' and '7'" in (
        caplog.text
    )


def test_bad_rows_are_an_error_or_left_out_as_the_run_left_them_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n9,Nine\n,Lost\n8,Eight\n")
    with pytest.raises(UserError, match=r"items\.csv:3"):
        read_new_items(path, set(), COLUMNS)
    assert read_new_items(path, set(), COLUMNS._replace(bad_rows="skip")).item_ids == ["9", "8"]
    assert "1 bad rows left out" in caplog.text
    assert ItemColumns.of(DataConfig(source="csv", path="x", bad_rows="skip")).bad_rows == "skip"


def test_nothing_new_is_told(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n1,One\n2,\n")
    with pytest.raises(UserError, match="none of its items is both new and has a title"):
        read_new_items(path, {"1"}, COLUMNS)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("csv", ("b", "n")),
        ("parquet", ("b", "n")),
        ("ml-latest", ("movieId", "title")),
        ("ml-1m", ("item_id", "title")),
    ],
)
def test_columns_are_called_as_the_source_calls_them(source: str, named: tuple[str, str]) -> None:
    config = DataConfig(source=source, path="x", columns=ColumnsConfig(item="b", title="n"))  # type: ignore[arg-type]
    assert ItemColumns.of(config)[:2] == named
