"""Delta Lake tables give the rows that their log says, and folders whose log is not read are refused."""

import json
import logging
import shutil
import struct
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.prepare import prepare, source_fingerprint
from recdistill.data.sources import open_source
from recdistill.data.streamed import choose
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.tables import tables
from recdistill.tables.bad_rows import BadRows
from recdistill.tables.delta import delta_table

ROWS = pl.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [10, 11, 10, 12, 13], "timestamp": [1, 2, 3, 4, 5]})
Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def config(folder: Path, **columns: str) -> DataConfig:
    return DataConfig(source="parquet", path=str(folder), columns=ColumnsConfig(**columns))


def events(folder: Path, **columns: str) -> list[tuple[str, str, float]]:
    """User, item and time of every interaction, ascending."""
    read = open_source(config(folder, **columns)).read_interactions(with_ratings=False)
    users, items = (
        [ids[code] for code in codes] for codes, ids in ((read.users, read.user_ids), (read.items, read.item_ids))
    )
    return sorted(zip(users, items, read.times.tolist(), strict=True))


def change_log(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the entries of a table's first version."""
    log = folder / "_delta_log" / "00000000000000000000.json"
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for entry in entries:
        change(entry)
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def deletion_vector(rows: Iterable[int]) -> dict[str, Any]:
    """Numbers of deleted rows as the protocol has them within the log: a roaring bitmap in Z85."""
    rows = sorted(rows)
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + struct.pack(f"<{len(rows)}H", *rows)
    raw = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    text = ""
    for start in range(0, len(raw), 4):
        number = int.from_bytes(raw[start : start + 4].ljust(4, b"\0"), "big")
        text += "".join(Z85[number // 85**place % 85] for place in range(4, -1, -1))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(raw), "cardinality": len(rows)}


def delete_rows(folder: Path, rows: Iterable[int]) -> None:
    """Mark rows of a table's files as deleted."""
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}

    def change(entry: dict[str, Any]) -> None:
        if "protocol" in entry:
            entry["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7} | features
        if "add" in entry:
            entry["add"]["deletionVector"] = deletion_vector(rows)

    change_log(folder, change)


def test_deleted_and_replaced_rows_are_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "a table, #1"
    write_deltalake(folder, ROWS)
    table = DeltaTable(folder)
    table.delete("user_id = 3")
    table.update(updates={"item_id": "99"}, predicate="user_id = 1 and item_id = 10")
    assert len(list(folder.glob("*.parquet"))) == 3
    with caplog.at_level(logging.INFO, logger="recdistill"):
        assert events(folder) == [("1", "11", 2), ("1", "99", 1), ("2", "10", 3), ("2", "12", 4)]
    assert "a Delta Lake table at version 2; files that are read: 1" in caplog.text
    write_deltalake(folder, ROWS[:1], mode="overwrite")
    table.create_checkpoint()
    assert events(folder) == [("1", "10", 1)]


def test_partition_columns_are_those_of_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    users = ["a b", "a b", "c%d/e", "c%d/e", "#1=2"]
    days = [date(2024, 5, day) for day in (1, 2, 1, 2, 1)]
    rows = ROWS.with_columns(pl.Series("user_id", users), pl.Series("day", days))
    write_deltalake(folder, rows, partition_by=["user_id", "day"])
    DeltaTable(folder).delete("item_id = 12")
    seen = events(folder, timestamp="day")
    first, second = 1714521600.0, 1714608000.0
    assert seen == [("#1=2", "13", first), ("a b", "10", first), ("a b", "11", second), ("c%d/e", "10", first)]


def test_partitions_keep_the_types_of_the_log(tmp_path: Path) -> None:
    rows = ROWS.with_columns(pl.Series("user_id", [2.0**24 + 1, 1, 2, 2, 3], dtype=pl.Float32), like=pl.lit(True))
    write_deltalake(tmp_path / "t", rows, partition_by=["user_id"])
    with pytest.raises(UserError, match="came through floats"):
        events(tmp_path / "t")
    write_deltalake(
        tmp_path / "u", rows.with_columns(pl.Series("user_id", [1, None, 2, 2, 3])), partition_by=["user_id", "like"]
    )
    with pytest.raises(UserError, match="column 'like' holds Boolean, not numbers"):
        open_source(config(tmp_path / "u", user="timestamp", timestamp="user_id", rating="like")).read_interactions(
            True
        )
    with pytest.raises(UserError, match="user_id: the value is empty"):
        events(tmp_path / "u")


def test_a_table_has_no_order_of_rows(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", ROWS)
    with pytest.raises(UserError, match=r"data\.columns\.timestamp: .*t is a Delta Lake table, which keeps no order"):
        events(tmp_path / "t", timestamp="")


def test_files_written_before_a_column_was_added(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    write_deltalake(folder, ROWS[:3])
    write_deltalake(folder, ROWS[3:].with_columns(price=1.5), mode="append", schema_mode="merge")
    assert [item for _, item, _ in events(folder)] == ["10", "11", "10", "12", "13"]
    with pytest.raises(UserError, match=r"row 1: price: the value is empty"):
        open_source(config(folder, rating="price")).read_interactions(with_ratings=True)


def test_rows_of_deletion_vectors_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "t"
    write_deltalake(folder, ROWS)
    before = source_fingerprint(config(folder))
    delete_rows(folder, [1, 4])
    assert events(folder) == [("1", "10", 1), ("2", "10", 3), ("2", "12", 4)]
    assert source_fingerprint(config(folder)) != before
    monkeypatch.setattr(tables, "PIECE_ROWS", 2)
    pieces = list(delta_table(folder, tables.parquet).pieces(["item_id"], BadRows("t")))
    assert pl.concat(pieces)["item_id"].to_list() == [10, 10, 12]
    delete_rows(folder, [0, 3])
    assert events(folder) == [("1", "11", 2), ("2", "10", 3), ("3", "13", 5)]


def test_deleted_rows_and_paths_of_ready_splits_are_in_the_fingerprint(tmp_path: Path) -> None:
    hive = tmp_path / "test" / "item_id=10"
    hive.mkdir(parents=True)
    ROWS[:2].select("user_id", "timestamp").write_parquet(hive / "part-0.parquet")
    for part in ("train", "validation"):
        write_deltalake(tmp_path / part, ROWS)
    split = DataConfig(
        source="parquet",
        split="files",
        path=str(tmp_path / "train"),
        validation_path=str(tmp_path / "validation"),
        test_path=str(tmp_path / "test"),
    )
    prints = [source_fingerprint(split)]
    delete_rows(tmp_path / "train", [1])
    prints.append(source_fingerprint(split))
    hive.rename(tmp_path / "test" / "item_id=11")
    prints.append(source_fingerprint(split))
    assert len(set(prints)) == 3


def test_a_bad_row_behind_deleted_ones_is_told_by_its_own_number(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    write_deltalake(folder, ROWS.with_columns(pl.Series("item_id", [10, None, 10, None, 13])))
    delete_rows(folder, [0, 1])
    with pytest.raises(UserError, match=r"parquet: row 4: item_id") as caught:
        events(folder)
    assert "row 2" not in str(caught.value)


def test_large_tables_are_prepared_as_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "t"
    rows = pl.DataFrame({"user_id": [n % 20 for n in range(400)], "item_id": [n // 20 * 7 % 30 for n in range(400)]})
    write_deltalake(folder, rows.with_columns(timestamp=pl.int_range(400)), partition_by=["user_id"])
    DeltaTable(folder).delete("user_id = 7")

    def prepared(where: str) -> dict[str, bytes]:
        with Profiler() as profiler:
            prepare(config(folder), 0, RunContext("cpu", profiler, tmp_path / where))
        return {path.name: path.read_bytes() for path in (tmp_path / where).iterdir()}

    in_memory = prepared("memory")
    monkeypatch.setattr(choose, "STREAMED_BYTES", 0)
    assert prepared("files") == in_memory
    assert '"7"' not in in_memory["users.json"].decode()


def mapped(folder: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        if "metaData" in entry:
            entry["metaData"]["configuration"]["delta.columnMapping.mode"] = "name"

    change_log(folder, change)


def cloned(folder: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        if "add" in entry:
            entry["add"]["path"] = "s3://bucket/part-0.parquet"

    change_log(folder, change)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "other names in the files": (mapped, r"t: a Delta Lake table with column mapping: .*; write the rows as plain"),
    "files elsewhere": (cloned, r"t: a Delta Lake table whose file lies elsewhere, s3://bucket/part-0\.parquet; only"),
    "a file that is gone": (
        lambda folder: next(folder.glob("*.parquet")).unlink(),
        r"\.parquet: no such file; the log of the Delta Lake table .*t names it",
    ),
    "a log that is none": (
        lambda folder: next((folder / "_delta_log").glob("*.json")).write_text("{"),
        r"t: this Delta Lake table cannot be read \(",
    ),
    "an empty log": (
        lambda folder: next((folder / "_delta_log").glob("*.json")).unlink(),
        r"t: this Delta Lake table cannot be read \(",
    ),
    "all rows deleted": (lambda folder: DeltaTable(folder).delete(), r"t: a Delta Lake table without a file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    damage, right = BROKEN[name]
    write_deltalake(tmp_path / "t", ROWS)
    damage(tmp_path / "t")
    with pytest.raises(UserError, match=right) as caught:
        events(tmp_path / "t")
    assert "\n" not in str(caught.value)


def test_without_deltalake_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_deltalake(tmp_path / "t", ROWS)
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(UserError, match=r"t: a Delta Lake table; deltalake is not installed; .*\[delta\]"):
        events(tmp_path / "t")


LOGS = {
    "hudi": (".hoodie/hoodie.properties", "t: an Apache Hudi table"),
    "iceberg": ("metadata/v1.metadata.json", "t: an Apache Iceberg table"),
    "spark streaming": ("_spark_metadata/0", "t: what Spark's structured streaming wrote"),
    "delta below": (
        "table/_delta_log/0.json",
        "t/table: a Delta Lake table within the folder that is read; name the table",
    ),
    "delta above": ("../_delta_log/0.json", r"t: a part of .*, which is a Delta Lake table; name the table itself"),
    "iceberg above": ("../metadata/v1.metadata.json", r"t: a part of .*, which is an Apache Iceberg table; name"),
}


@pytest.mark.parametrize("name", LOGS)
def test_other_logs_are_refused(name: str, tmp_path: Path) -> None:
    log, right = LOGS[name]
    (tmp_path / "t" / log).parent.mkdir(parents=True)
    (tmp_path / "t" / log).write_text('{"format-version": 2}')
    ROWS.write_parquet(tmp_path / "t" / "part-0.parquet")
    with pytest.raises(UserError, match=right):
        events(tmp_path / "t")


def test_plain_folders_are_read_whatever_lies_hidden_in_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "events [1]"
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "croissant.metadata.json").write_text("{}")
    ROWS.write_parquet(folder / "metadata" / "part-0.parquet")
    write_deltalake(tmp_path / "elsewhere", ROWS)
    for hidden in (".trash", "_old"):
        shutil.copytree(tmp_path / "elsewhere", folder / hidden)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "gone.parquet").symlink_to(tmp_path / "nowhere")
    with caplog.at_level(logging.WARNING, logger="recdistill"):
        assert len(events(folder)) == len(ROWS)
    for name in ("link", "gone.parquet"):
        assert f"{folder / name}: a link to a folder, or to nothing, is passed over" in caplog.text


def test_items_may_be_a_delta_table(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", ROWS)
    items = pl.DataFrame({"item_id": [10, 11], "title": ["Old", "Eleven"]})
    write_deltalake(tmp_path / "items", items)
    DeltaTable(tmp_path / "items").update(updates={"title": "'Ten'"}, predicate="item_id = 10")
    source = open_source(DataConfig(source="parquet", path=str(tmp_path / "t"), items_path=str(tmp_path / "items")))
    assert source.read_items().titles == {"10": "Ten", "11": "Eleven"}
