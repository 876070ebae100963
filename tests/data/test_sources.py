from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recdistill.config import ColumnsConfig, DataConfig, Source
from recdistill.data.sources import open_source
from recdistill.errors import UserError

Write = Callable[[str, str | bytes], Path]
Events = list[tuple[str, str, float]]


def events_of(config: DataConfig) -> Events:
    read = open_source(config).read_interactions(with_ratings=False)
    users, items = (
        [ids[code] for code in codes] for codes, ids in ((read.users, read.user_ids), (read.items, read.item_ids))
    )
    return list(zip(users, items, read.times.tolist(), strict=True))


def test_recbole_atomic_files(write: Write, tmp_path: Path) -> None:
    header = "user_id:token\trating:float\titem_id:token\ttimestamp:float\n"
    path = write("toys.inter", header + "u1\t4\tB0\t10.5\nu2\t5\tA9\t9\n")
    write("toys.item", "item_id:token\tclass:token_seq\tmovie_title:token_seq\nA9\tx y\tToy Story\nB0\tz\t\n")
    for where in (tmp_path, path):
        config = DataConfig(source="recbole", path=str(where))
        assert events_of(config) == [("u1", "B0", 10.5), ("u2", "A9", 9.0)]
        assert open_source(config).read_items().titles == {"A9": "Toy Story"}
        assert open_source(config).files == [path, tmp_path / "toys.item"]


def test_seconds_of_recbole_files_are_told_apart(write: Write, tmp_path: Path) -> None:
    """RecBole itself rounds them to 128 s (findings/recbole-times-are-32-bit.sh)."""
    times = [1_260_759_205 - seconds for seconds in range(130)]  # the newest first
    rows = "".join(f"1\t{item}\t{time}\n" for item, time in enumerate(times))
    write("a.inter", "user_id:token\titem_id:token\ttimestamp:float\n" + rows)
    assert [time for _, _, time in events_of(DataConfig(source="recbole", path=str(tmp_path)))] == times


def test_recbole_without_titles_or_times(write: Write, tmp_path: Path) -> None:
    write("a.inter", "user_id:token\titem_id:token\n1\t5\n1\t6\n")
    with pytest.raises(UserError, match=r"a\.inter: no column 'timestamp'"):
        open_source(DataConfig(source="recbole", path=str(tmp_path)))
    config = DataConfig(source="recbole", path=str(tmp_path), columns=ColumnsConfig(timestamp=""))
    assert events_of(config) == [("1", "5", 0), ("1", "6", 1)]
    assert open_source(config).read_items().titles == {}
    write("a.item", "item_id:token\tclass:token\n5\tx\n")
    assert open_source(config).read_items().titles == {}


def test_recbole_folder_with_several_files(write: Write, tmp_path: Path) -> None:
    for name in ("a.inter", "b.inter"):
        write(name, "user_id:token\titem_id:token\ttimestamp:float\n1\t5\t1\n")
    with pytest.raises(UserError, match=r"data\.path: .* holds 2 \.inter files"):
        open_source(DataConfig(source="recbole", path=str(tmp_path)))


def test_ml_100k_in_both_forms(write: Write, tmp_path: Path) -> None:
    write("grouplens/u.data", "196\t242\t3\t881250949\n")
    write("grouplens/u.item", ("242|Café (1996)|x" + "|0" * 21 + "\n").encode("latin-1"))
    write(
        "recbole/ml-100k.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n"
    )
    write("recbole/ml-100k.item", "item_id:token\tmovie_title:token_seq\n242\tCafé (1996)\n")
    for form in ("grouplens", "recbole"):
        config = DataConfig(path=str(tmp_path / form))
        assert events_of(config) == [("196", "242", 881250949)]
        assert open_source(config).read_items().titles == {"242": "Café (1996)"}


def test_ml_100k_in_the_cache(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"ml-100k is not at .*; run `recdistill fetch ml-100k`"):
        open_source(DataConfig())
    write("ml-100k/u.data", "1\t2\t3\t4\n")
    write("ml-100k/u.item", "2|Heat" + "|" * 22 + "\n")
    assert events_of(DataConfig()) == [("1", "2", 4)]


def test_ml_1m(write: Write, tmp_path: Path) -> None:
    write("ratings.dat", "1::1193::5::978300760\n2::5::3::9\n")
    write(
        "movies.dat",
        "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n5::Misérables, Les (1995)::Drama\n".encode("latin-1"),
    )
    config = DataConfig(source="ml-1m", path=str(tmp_path))
    assert events_of(config) == [("1", "1193", 978300760), ("2", "5", 9)]
    assert open_source(config).read_items().titles["5"] == "Misérables, Les (1995)"


def test_ml_latest(write: Write, tmp_path: Path) -> None:
    write("ratings.csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n")
    write("movies.csv", 'movieId,title,genres\n31,"Usual Suspects, The (1995)",Crime|Thriller\n')
    config = DataConfig(source="ml-latest", path=str(tmp_path), min_rating=2.0)
    assert events_of(config) == [("1", "31", 1260759144)]
    assert open_source(config).read_items().titles == {"31": "Usual Suspects, The (1995)"}
    ratings = open_source(config).read_interactions(with_ratings=True).ratings
    assert ratings is not None
    assert ratings.tolist() == [2.5]


def test_csv_with_other_names_and_separator(write: Write, tmp_path: Path) -> None:
    columns = ColumnsConfig(user="who", item="asin", timestamp="when", title="called")
    events = write("e.csv", "asin;when;who\nB;2020-01-01;ann\nA;2020-01-02;ann\n")
    titles = write("t.csv", "asin;called\nA;Apple\n")
    config = DataConfig(source="csv", path=str(events), items_path=str(titles), separator=";", columns=columns)
    assert events_of(config) == [("ann", "B", 1577836800), ("ann", "A", 1577923200)]
    assert open_source(config).read_items().titles == {"A": "Apple"}


def test_parquet_ids_match_titles_in_csv(write: Write, tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1, 1], "item_id": [20, 3], "timestamp": [5, 6]}).write_parquet(tmp_path / "e.parquet")
    titles = write("t.csv", "item_id,title\n3,Three\n")
    config = DataConfig(source="parquet", path=str(tmp_path / "e.parquet"), items_path=str(titles))
    assert events_of(config) == [("1", "20", 5), ("1", "3", 6)]
    assert open_source(config).read_items().titles == {"3": "Three"}


def test_of_two_titles_the_first_counts_and_that_is_told(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    events = write("e.csv", "user_id,item_id,timestamp\n1,2,3\n")
    titles = write("t.csv", "item_id,title\n2,Heat\n3,\n2,Heat\n3,Up\n")
    config = DataConfig(source="csv", path=str(events), items_path=str(titles))
    found = open_source(config).read_items()
    assert (found.titles, found.second_titles) == ({"2": "Heat", "3": "Up"}, 0)
    assert caplog.text == ""
    write("t.csv", "item_id,title\n2,Heat\n\n2,Cold\n2,Warm\n3,Up\n")
    found = open_source(config).read_items()
    assert (found.titles, found.second_titles) == ({"2": "Heat", "3": "Up"}, 1)
    assert caplog.messages == [
        f"{titles}:4: 1 item has several texts in column 'title', of which the first counts: '2' is 'Heat', not 'Cold'"
    ]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("1,2,x\n", "e.csv:3: timestamp: 'x' is not a number"),
        ("1,2,nan\n", "e.csv:3: timestamp: 'nan' is not a number"),
        ("1,2,\n", "e.csv:3: timestamp: the value is empty"),
        ("1,2\n", "e.csv:3: timestamp: the value is empty"),
        ("\n1,,3\n", "e.csv:4: item_id: the value is empty"),
        (",2,3\n", "e.csv:3: user_id: the value is empty"),
        ("NaN,2,3\n", "e.csv:3: user_id: 'NaN' is not an id"),
        ("1,2,3,4\n", "e.csv:3: 4 values for 3 columns"),
    ],
)
def test_bad_rows_are_named_by_line(write: Write, rows: str, problem: str) -> None:
    path = write("e.csv", "user_id,item_id,timestamp\n9,9,9\n" + rows)
    with pytest.raises(UserError) as caught:
        events_of(DataConfig(source="csv", path=str(path)))
    assert str(caught.value) == str(path.parent / problem)


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("csv", "none: no such file"),
        ("parquet", "none: no such file"),
        ("recbole", "none: no such file"),
        ("ml-1m", "data.path: .*none is not a folder"),
        ("ml-latest", "data.path: .*none is not a folder"),
        ("ml-100k", "data.path: .*none is not a folder"),
    ],
)
def test_missing_files(tmp_path: Path, source: Source, missing: str) -> None:
    with pytest.raises(UserError, match=missing):
        open_source(DataConfig(source=source, path=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("source", "file"), [("ml-1m", "ratings.dat"), ("ml-latest", "ratings.csv"), ("ml-100k", "u.data")]
)
def test_folders_without_the_files(tmp_path: Path, source: Source, file: str) -> None:
    with pytest.raises(UserError, match=f"{file}: no such file"):
        open_source(DataConfig(source=source, path=str(tmp_path)))


def test_bad_settings(write: Write, tmp_path: Path) -> None:
    path = str(write("e.csv", "user_id,item_id,timestamp\n1,2,3\n"))
    with pytest.raises(UserError, match=r"data\.columns\.rating"):
        open_source(DataConfig(source="csv", path=path, min_rating=3)).read_interactions(with_ratings=True)
    stars = open_source(DataConfig(source="csv", path=path, min_rating=3, columns=ColumnsConfig(rating="stars")))
    with pytest.raises(UserError, match=r"e\.csv: no column 'stars'"):
        stars.read_interactions(with_ratings=True)
    with pytest.raises(UserError, match=r"no column 'user_id'.*; the separator seems to be ','"):
        open_source(DataConfig(source="csv", path=path, separator="、"))
    for columns in (ColumnsConfig(user="item_id"), ColumnsConfig(rating="timestamp"), ColumnsConfig(title="item_id")):
        with pytest.raises(UserError, match=r"data\.columns: one column cannot mean two things"):
            open_source(DataConfig(source="csv", path=path, columns=columns))
    with pytest.raises(UserError, match=r"e\.csv: no column ''"):
        open_source(DataConfig(source="csv", path=path, columns=ColumnsConfig(user="")))
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        open_source(DataConfig(source="csv", path=path, items_path=str(tmp_path / "none.csv")))
    with pytest.raises(UserError, match=r"e\.csv: no column 'title'"):
        open_source(DataConfig(source="csv", path=path, items_path=path))
