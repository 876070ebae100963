"""Splits that are there already: an event's part by a column, by its file, or by RecBole's benchmark files."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.prepare import prepare, source_fingerprint
from recdistill.data.prepared import PreparedData
from recdistill.data.sources import open_source
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

HEAD = "user_id,item_id,timestamp"
TRAIN = [("a", 1, 1), ("a", 2, 2), ("a", 3, 3), ("b", 4, 1), ("b", 5, 2), ("b", 1, 3)]
VALIDATION = [("a", 4, 4), ("b", 2, 4)]
TEST = [("a", 5, 5), ("a", 6, 6), ("b", 3, 5)]
PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}

Rows = list[tuple[str, int, int]]


def write(path: Path, rows: Rows, separator: str = ",", head: str = HEAD) -> str:
    lines = [head, *(separator.join(map(str, row)) for row in rows)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def of_files(folder: Path, **parts: Rows) -> DataConfig:
    rows = PARTS | parts
    paths = {part: write(folder / f"{part}.csv", rows[part]) for part in PARTS}
    return DataConfig(
        source="csv",
        path=paths["train"],
        validation_path=paths["validation"],
        test_path=paths["test"],
        split="files",
        min_user_events=3,
    )


def prepared(config: DataConfig, folder: Path) -> PreparedData:
    with Profiler() as profiler:
        return prepare(config, 0, RunContext("cpu", profiler, folder))


def targets(data: PreparedData, part: Any) -> list[tuple[int, str]]:
    rows = data.targets(part)
    items = data.target_items(rows)
    return [(int(user), data.item_ids[item]) for user, item in zip(rows.users, items, strict=True)]


def test_each_event_belongs_to_its_file(tmp_path: Path) -> None:
    data = prepared(of_files(tmp_path), tmp_path / "out")
    assert targets(data, "train") == [(0, "2"), (0, "3"), (1, "5"), (1, "1")]
    assert targets(data, "validation") == [(0, "4"), (1, "2")]
    assert targets(data, "test") == [(0, "5"), (0, "6"), (1, "3")]
    assert [data.item_ids[item] for item in data.history(0, 4)] == ["1", "2", "3", "4"]


def test_a_column_and_recbole_s_benchmark_files_say_the_same(tmp_path: Path) -> None:
    files = prepared(of_files(tmp_path), tmp_path / "files")
    rows = [(*row, part) for part, events in PARTS.items() for row in events]
    path = write(tmp_path / "all.csv", rows[::-1], head=f"{HEAD},split")  # type: ignore[arg-type]
    column = DataConfig(source="csv", path=path, split="column_events", min_user_events=3)
    (tmp_path / "shop").mkdir()
    for part, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        head = "user_id:token\titem_id:token\ttimestamp:float"
        write(tmp_path / "shop" / f"shop.{name}.inter", PARTS[part], "\t", head)
    (tmp_path / "shop" / "shop.item").write_text("item_id:token\ttitle:token_seq\n1\tFilm 1\n")
    recbole = DataConfig(source="recbole", path=str(tmp_path / "shop"), split="files", min_user_events=3)
    for name, config in (("column", column), ("recbole", recbole)):
        data = prepared(config, tmp_path / name)
        assert all(targets(data, part) == targets(files, part) for part in PARTS)
    assert open_source(recbole).read_items().titles == {"1": "Film 1"}
    assert len(open_source(recbole).files) == 4


def test_one_event_each_is_what_leave_one_out_gives(tmp_path: Path) -> None:
    config = of_files(tmp_path, test=[("a", 5, 5), ("b", 3, 5)])
    whole = write(tmp_path / "all.csv", TRAIN + VALIDATION + [("a", 5, 5), ("b", 3, 5)])
    split = prepared(config, tmp_path / "files")
    left_out = prepared(DataConfig(source="csv", path=whole, min_user_events=3), tmp_path / "one")
    assert all(targets(split, part) == targets(left_out, part) for part in PARTS)
    assert split.evaluation_fingerprint == left_out.evaluation_fingerprint


def test_parts_come_before_times_and_users_whose_future_is_trained_on_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "recdistill"):
        data = prepared(of_files(tmp_path, validation=[("a", 4, 2), ("b", 2, 4)]), tmp_path / "out")
    assert targets(data, "validation") == [(0, "4"), (1, "2")]
    (told,) = [record.getMessage() for record in caplog.records if "data.split" in record.getMessage()]
    assert "of 1 of 2 users an interaction of an earlier part" in told


def test_in_order_nothing_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "recdistill"):
        prepared(of_files(tmp_path), tmp_path / "out")
    assert not [record for record in caplog.records if "data.split" in record.getMessage()]


def test_files_of_whole_users_are_refused(tmp_path: Path) -> None:
    config = of_files(tmp_path, train=TRAIN[:3], validation=[("b", 1, 1)] * 1, test=[("c", 1, 1)])
    with pytest.raises(UserError, match=r"data\.split: with files .* but here whole users are train, .* column"):
        prepared(replace(config, min_user_events=3, duplicates="keep"), tmp_path / "out")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    config = of_files(tmp_path)
    with pytest.raises(
        UserError, match=r"data\.test_path: '' is out of range; it must be a file with data\.split files"
    ):
        replace(config, test_path="")
    with pytest.raises(UserError, match=r"data\.validation_path: .* is read with data\.split files only"):
        replace(config, split="leave_one_out")
    write(tmp_path / "test.csv", TEST, head="user,item,time")
    with pytest.raises(UserError, match=r"test\.csv: no column 'user_id'; it has 'user', 'item', 'time'"):
        open_source(config)
    (tmp_path / "x.train.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t2\t3\n")
    benchmark = DataConfig(source="recbole", path=str(tmp_path), split="files")
    with pytest.raises(UserError, match=r"x\.valid\.inter: no such file"):
        open_source(benchmark)
    (tmp_path / "x.test.inter").write_text("user_id:token\n1\n")
    with pytest.raises(UserError, match=r"holds 2 \.inter files; data\.split files reads RecBole's benchmark files"):
        open_source(replace(benchmark, split="leave_one_out"))


def test_the_fingerprint_follows_every_file(tmp_path: Path) -> None:
    config = of_files(tmp_path)
    before = source_fingerprint(config)
    write(tmp_path / "test.csv", TEST[:2])
    assert source_fingerprint(config) != before


@pytest.mark.parametrize(
    ("inter", "item", "columns", "titles"),
    [
        (  # Steam
            "user_id:token\tproduct_id:token\tplay_hours:float\ttimestamp:float\nu\tp\t1.5\t7\n",
            "product_id:token\tapp_name:token_seq\tprice:float\np\tHalf-Life\t5\n",
            ColumnsConfig(item="product_id"),
            {"p": "Half-Life"},
        ),
        (  # Yelp
            "user_id:token\tbusiness_id:token\tstars:float\tdate:float\nu\tb\t5\t7\n",
            "business_id:token\titem_name:token_seq\tcity:token\nb\tCafé\tX\n",
            ColumnsConfig(item="business_id", timestamp="date", rating="stars"),
            {"b": "Café"},
        ),
        (  # LastFM
            "user_id:token\tartist_id:token\tweight:float\nu\t52\t11690\n",
            "artist_id:token\tname:token_seq\turl:token\n52\tMorcheeba\thttp\n",
            ColumnsConfig(item="artist_id", timestamp=""),
            {"52": "Morcheeba"},
        ),
        (  # Foursquare
            "user_id:token\tvenue_id:token\ttimestamp:float\nu\tv\t7\n",
            "venue_id:token\tvenue_category_name:token_seq\nv\tArts\n",
            ColumnsConfig(item="venue_id", title="venue_category_name"),
            {"v": "Arts"},
        ),
        (  # Retailrocket
            "timestamp:float\tvisitor_id:token\tevent:token\titem_id:token\n7\tu\tview\ti\n",
            "",
            ColumnsConfig(user="visitor_id"),
            {},
        ),
    ],
)
def test_recbole_s_files_with_columns_of_any_name(
    tmp_path: Path, inter: str, item: str, columns: ColumnsConfig, titles: dict[str, str]
) -> None:
    (tmp_path / "x.inter").write_text(inter)
    if item:
        (tmp_path / "x.item").write_text(item)
    source = open_source(DataConfig(source="recbole", path=str(tmp_path), columns=columns))
    read = source.read_interactions(with_ratings=bool(columns.rating))
    assert read.user_ids == ["u"]
    assert read.times.tolist() == ([7] if columns.timestamp else [0])
    assert source.read_items().titles == titles
