"""Items beside the file that should know them, through `prepare`."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.counts import tell_untitled
from recdistill.data.prepare import prepare
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

Write = Callable[[str, str | bytes], Path]
ITEMS = range(8)
USERS = range(4)


def prepared(tmp_path: Path, events: list[str], rows: list[tuple[str, str]] | None, **settings: Any) -> Any:
    """Prepare data in which each of four users takes the eight items in turn; what `data.json` says."""
    lines = [f"u{user},{events[item]},{item}" for user in USERS for item in ITEMS]
    path, items = tmp_path / "orders.csv", tmp_path / "items.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    if rows is not None:
        pl.DataFrame(rows, schema=["item_id", "title"], orient="row").write_csv(items)
        settings["items_path"] = str(items)
    with Profiler() as profiler:
        prepare(DataConfig(source="csv", path=str(path), **settings), 0, RunContext("cpu", profiler, tmp_path / "out"))
    return json.loads((tmp_path / "out" / "data.json").read_text())


def named(form: str) -> list[str]:
    return [form.format(item + 1) for item in ITEMS]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("{}", "{}"),
        ("{}.0", "{}"),
        ("{}", "{}.0"),
        ("{}.00", "{}.0"),
        ("{}.", "{}"),
        ("{}e+00", "{}"),
        ("-{}.0", "-{}"),
        ("A{}", "A{}"),
        ("00{}", "00{}"),
        ("{}.5", "{}.5"),
    ],
)
def test_whole_numbers_match_however_a_float_wrote_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, here: str, there: str
) -> None:
    about = prepared(tmp_path, named(here), [(name, f"T {name}") for name in named(there)])
    assert (about["titles"]["titled"], about["statistics"]["titles_missing"]) == (8, 0)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("{}", "00{}"),
        ("00{}", "{}"),
        ("a{}", "A{}"),
        ("{}", " {}"),
        ("{} ", "{}"),
        ("{}", "'{}"),
        ("{}", "{},0"),
        ("x-{}", "X-{}.0"),
        ("GM-0{}-A", "gm-0{}-a"),
    ],
)
def test_files_that_share_no_id_are_an_error_with_both_forms(tmp_path: Path, here: str, there: str) -> None:
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, named(here), [(name, f"T {name}") for name in named(there)])
    said = str(caught.value)
    assert "items.csv: none of its 8 items is among the 8 of the interactions" in said
    assert "the same id is written like" in said or there == "X-{}.0"
    assert f"{named(there)[0]!r} there and like {named(here)[0]!r} in the interactions" in said
    assert not (tmp_path / "out").exists()


def test_ids_with_nothing_in_common_are_an_error_with_one_of_each(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ids are written like 'sku-1' there and like 'p1' in the interactions"):
        prepared(tmp_path, named("p{}"), [("sku-1", "Nut"), ("sku-2", "Bolt")])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("1", "One")], "7 of 8 items have no title in items.csv; 7 are not there at all, such as '2', '3', '4'"),
        (
            [*((str(n), f"T{n}") for n in range(1, 8)), ("08", "Eight")],
            "1 of 8 items has no title in items.csv; 1 is not there at all, or written otherwise (1, such as: '8' is "
            "'08' there)",
        ),
        ([(str(n), "x" if n < 7 else "") for n in range(1, 9)], "2 of 8 items have no title in items.csv"),
        (None, "none of the 8 items has a title, since there is no items file (data.items_path)"),
        ([(str(n), "nan") for n in range(1, 9)], "8 of 8 items have no title in items.csv"),
    ],
)
def test_items_without_a_title_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rows: list[tuple[str, str]] | None, said: str
) -> None:
    prepared(tmp_path, named("{}"), rows)
    assert [one.message for one in caplog.records if one.levelno > logging.INFO] == [f"data: {said}"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("1", "One")], "such as '2', '3', '4'; the teacher knows these by their ids alone"),
        (None, "(data.items_path); the teacher's title vectors and title similarity are off"),
        ([(str(n), "x") for n in range(1, 9)], ""),
    ],
)
def test_a_teacher_is_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rows: list[tuple[str, str]] | None, said: str
) -> None:
    about = prepared(tmp_path, named("{}"), rows)
    caplog.clear()
    tell_untitled(about)
    assert len(caplog.messages) == bool(said)
    assert said in caplog.text


@pytest.mark.parametrize(
    "nothing", ["", " ", "\t ", "nan", "NaN", "None", "NULL", "null", "<NA>", "NA", "N/A", "n/a", "#N/A", "NaT", "\\N"]
)
def test_spellings_of_no_title(tmp_path: Path, nothing: str) -> None:
    rows = [(str(n), nothing if n == 3 else f"T{n}") for n in range(1, 9)]
    about = prepared(tmp_path, named("{}"), rows)
    assert about["titles"]["without_title"] == 1
    assert json.loads((tmp_path / "out" / "catalog.json").read_text())["titles"][3] == ""


@pytest.mark.parametrize("name", ["none", "Nan", "Null", "None of the Above", "NaN (2020)", "nan bread", "-", "0"])
def test_names_that_are_near_them_are_titles(tmp_path: Path, name: str) -> None:
    about = prepared(tmp_path, named("{}"), [(str(n), name if n == 3 else f"T{n}") for n in range(1, 9)])
    assert about["titles"]["titled"] == 8


def test_an_id_that_is_another_items_title_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "recdistill")
    about = prepared(tmp_path, named("{}"), [(str(n), "7" if n == 3 else f"T{n}") for n in range(1, 9)])
    assert (about["titles"]["like_titles"], about["titles"]["like_example"]) == (1, ["7", "3"])
    said = (
        "data: 1 id is also the title of another item ('7' is an id, and the title of '3'); `recommend` takes '7' for"
    )
    assert said in caplog.text


def test_titles_that_are_ids_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    about = prepared(tmp_path, named("{}"), [(str(n), str(n)) for n in range(1, 9)])
    assert (about["titles"]["own_ids"], about["titles"]["like_titles"]) == (8, 0)
    assert "8 of 8 titles are the item's own id" in caplog.text


def test_every_filters_toll_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "recdistill")
    events = named("{}")
    lines = [f"u{user},{events[item]},{item},{5 if item else 1}" for user in USERS for item in ITEMS]
    lines += ["u0,8,99,5", "few,1,3,5", "few,3,4,5"]
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp,stars", *lines]))
    config: dict[str, Any] = {"source": "csv", "path": str(path), "min_rating": 2.0}
    with Profiler() as profiler:
        prepare(
            DataConfig(**config, columns=ColumnsConfig(rating="stars")),
            0,
            RunContext("cpu", profiler, tmp_path / "out"),
        )
    told = [message.removeprefix("data: ") for message in caplog.messages]
    assert told[:5] == [
        "read: 35 interactions, 5 users, 8 items",
        "data.min_rating 2.0: 4 interactions dropped",
        "data.duplicates first: 1 interaction dropped",
        "data.min_user_events 5 and data.min_item_events 1: 2 interactions, 1 user, 1 item dropped",
        "left: 28 interactions, 4 users, 7 items; targets: 16 train, 4 validation, 4 test",
    ]
