"""Interactions that are read into files give what those give that are read into memory, to the last bit."""

import logging
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recdistill.config import ColumnsConfig, DataConfig
from recdistill.data.interactions import stable_order, time_order
from recdistill.data.prepare import prepare
from recdistill.data.streamed import choose, columns
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

Write = Callable[[str, str | bytes], Path]
ROWS = 3000


def prepared_bytes(config: DataConfig, folder: Path) -> dict[str, bytes]:
    """What `prepare` writes, by file."""
    with Profiler() as profiler:
        prepare(config, 7, RunContext("cpu", profiler, folder))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def both(config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Prepare in memory and in files, with blocks far smaller than the data, and compare every byte."""
    in_memory = prepared_bytes(config, tmp_path / "memory")
    monkeypatch.setattr(choose, "STREAMED_BYTES", 0)
    monkeypatch.setattr(columns, "BLOCK_ROWS", 97)
    with caplog.at_level(logging.INFO, logger="recdistill"):
        in_files = prepared_bytes(config, tmp_path / "files")
    assert "read into memory" not in caplog.text
    assert in_files == in_memory


def events(text_ids: bool = False, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "user_id": generator.integers(1, 120, ROWS),
            "item_id": np.minimum(generator.zipf(1.4, ROWS), 400),
            "timestamp": generator.integers(0, 300, ROWS),  # many ties
            "rating": generator.integers(1, 6, ROWS).astype(np.float64),
        }
    )
    return frame.with_columns(("i" + pl.col("item_id").cast(pl.String)).alias("item_id")) if text_ids else frame


def part_files(frame: pl.DataFrame, folder: Path) -> Path:
    """Parquet files part-0 … part-11, in order only by the value of their number."""
    folder.mkdir()
    for part, start in enumerate(range(0, ROWS, 250)):
        frame[start : start + 250].write_parquet(folder / f"part-{part}.parquet")
    return folder


CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "last of repeated ones": {"duplicates": "last"},
    "all of them": {"duplicates": "keep"},
    "ratings": {"min_rating": 3.0, "columns": ColumnsConfig(rating="rating")},
    "k-core": {"min_user_events": 9, "min_item_events": 4},
    "moments": {"split": "global_time"},
    "a sample": {"limit_rows": 500},
    "a share": {"train_user_fraction": 0.5},
    "row order": {"columns": ColumnsConfig(timestamp="")},
    "shuffled": {"history_order": "shuffled"},
}


@pytest.mark.parametrize("text_ids", [False, True])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=list(CHANGES))
def test_parquet_folders(
    changes: dict[str, Any], text_ids: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    path = part_files(events(text_ids), tmp_path / "events")
    config = DataConfig(source="parquet", path=str(path), min_user_events=3)
    both(replace(config, **changes), tmp_path, monkeypatch, caplog)


@pytest.mark.parametrize(
    "times",
    [
        pl.col("timestamp") / 4,
        pl.col("timestamp").cast(pl.Datetime("us")),
        (pl.col("timestamp") * 250_000).cast(pl.Datetime("us")),
        pl.when(pl.col("timestamp") > 5).then(pl.col("timestamp")).otherwise(0.5),
    ],
    ids=["fractions", "moments", "moments with fractions", "few fractions"],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_times(times: pl.Expr, form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    frame = events().with_columns(times.alias("timestamp"))
    path = tmp_path / "events"
    if form == "csv":
        path.mkdir()
        for part, start in enumerate(range(0, ROWS, 500)):
            frame[start : start + 500].write_csv(path / f"{part}.csv")
    else:
        part_files(frame, path)
    both(DataConfig(source=form, path=str(path), min_user_events=3), tmp_path, monkeypatch, caplog)


@pytest.mark.parametrize("split", ["column", "column_events"])
def test_splits_of_the_file(split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    part = pl.col("user_id") % 3 if split == "column" else pl.col("timestamp") // 100
    frame = events().with_columns(
        part.replace_strict({0: "train", 1: "valid", 2: "test"}, return_dtype=pl.String).alias("split")
    )
    path = part_files(frame, tmp_path / "events")
    both(DataConfig(source="parquet", path=str(path), split=split), tmp_path, monkeypatch, caplog)


def test_files_of_different_types_and_whole_numbers_far_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    frame = events().with_columns(pl.col("user_id") * 10**12 - 10**13)
    path = part_files(frame, tmp_path / "events")
    frame[:250].with_columns(pl.col("item_id").cast(pl.Int32)).write_parquet(path / "part-0.parquet")
    both(DataConfig(source="parquet", path=str(path)), tmp_path, monkeypatch, caplog)


def test_hive_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    for shop, rows in enumerate(events().iter_slices(1000)):
        (tmp_path / f"events/user_id={shop % 2}").mkdir(parents=True, exist_ok=True)
        rows.drop("user_id").write_parquet(tmp_path / f"events/user_id={shop % 2}/{shop}.parquet")
    both(DataConfig(source="parquet", path=str(tmp_path / "events")), tmp_path, monkeypatch, caplog)


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp"])
def test_a_bad_value_is_named_with_its_file_and_row(
    column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = part_files(events(), tmp_path / "events")
    bad = events()[500:750].with_row_index("row")
    bad = bad.with_columns(pl.when(pl.col("row") == 7).then(None).otherwise(pl.col(column)).alias(column)).drop("row")
    bad.write_parquet(path / "part-2.parquet")
    monkeypatch.setattr(choose, "STREAMED_BYTES", 0)
    with pytest.raises(UserError, match=r"part-2\.parquet: row 8"):
        prepared_bytes(DataConfig(source="parquet", path=str(path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    skipping = DataConfig(source="parquet", path=str(path), bad_rows="skip")
    assert prepared_bytes(skipping, tmp_path / "out")


def test_nothing_is_left_with_the_same_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(
        source="parquet", path=str(part_files(events(), tmp_path / "events")), min_user_events=10**6, min_item_events=5
    )
    with pytest.raises(UserError) as in_memory:
        prepared_bytes(config, tmp_path / "out")
    monkeypatch.setattr(choose, "STREAMED_BYTES", 0)
    with pytest.raises(UserError) as in_files:
        prepared_bytes(config, tmp_path / "out")
    assert str(in_files.value) == str(in_memory.value)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = part_files(events(), tmp_path / "events")
    monkeypatch.setattr(choose, "STREAMED_BYTES", 0)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))  # a file that may grow no more is like a full disk
    try:
        with pytest.raises(UserError, match=r"interactions/raw-users: the file would be larger"):
            prepared_bytes(DataConfig(source="parquet", path=str(path)), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out").exists()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(2**62), 2**62), max_size=30) | st.lists(st.integers(0, 5), max_size=30))
def test_the_quick_sort_is_stable(keys: list[int]) -> None:
    assert stable_order(np.array(keys, dtype=np.int64)).tolist() == sorted(range(len(keys)), key=lambda row: keys[row])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([-(2**62), 0, 1, 2, 2**62]) | st.floats(0, 3), st.integers(0, 2)),
        max_size=20,
    ),
    st.booleans(),
)
def test_time_order_is_by_user_part_time_and_row(rows: list[tuple[int, float, int]], with_parts: bool) -> None:
    users, parts = np.array([row[0] for row in rows], np.int32), np.array([row[2] for row in rows], np.int8)
    times = np.array([row[1] for row in rows])
    times = times if times.dtype.kind == "i" else times.astype(np.float64)
    expected = np.lexsort((times, parts, users) if with_parts else (times, users))
    assert time_order(users, times, parts if with_parts else None).tolist() == expected.tolist()
