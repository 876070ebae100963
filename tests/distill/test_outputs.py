import errno
import json
import threading
import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recdistill.distill.index import Index, write_index
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.distill.writer import QUEUED_APPENDS, OutputsWriter
from recdistill.errors import UserError
from recdistill.storage.shards import GrowingArray, finished_shards

PRINTS = Fingerprints(data="d1", split="s1", teacher="t1")
TOP_K, STATE_DIM = 3, 4


def rows_of(keys: np.ndarray) -> dict[str, np.ndarray]:
    """Rows whose every number follows from the key, so that a mix-up shows."""
    users, positions = keys[:, 0].astype(np.int32), keys[:, 1].astype(np.int32)
    code = (users * 1000 + positions)[:, None]
    return {
        "users": users,
        "positions": positions,
        "top_items": (code + np.arange(TOP_K)).astype(np.int32),
        "top_scores": (code / 7 - np.arange(TOP_K)).astype(np.float32),
        "states": ((code % 97) + np.arange(STATE_DIM)).astype(np.float16),
    }


def make_keys(count: int, seed: int = 0) -> np.ndarray:
    """`count` distinct (user, position) in random order."""
    generator = np.random.default_rng(seed)
    return np.stack(np.divmod(generator.permutation(count * 3)[:count], 100), axis=1)


def open_writer(folder: Path, shard_rows: int = 10, prints: Fingerprints = PRINTS) -> OutputsWriter:
    return OutputsWriter(folder, prints, TOP_K, STATE_DIM, shard_rows)


def write_store(folder: Path, keys: np.ndarray, batch: int = 7, shard_rows: int = 10) -> None:
    with open_writer(folder, shard_rows) as writer:
        writer.write_item_embeddings(np.arange(12.0).reshape(4, 3))
        for start in range(0, len(keys), batch):
            writer.append(**rows_of(keys[start : start + batch]))


def write_until_interrupted(folder: Path, *parts: np.ndarray) -> None:
    with open_writer(folder) as writer:
        for keys in parts:
            writer.append(**rows_of(keys))
        for future in list(writer._queue):
            future.result()
        raise KeyboardInterrupt


@settings(max_examples=10, deadline=None)
@given(count=st.integers(1, 80), shard_rows=st.integers(1, 30), batch=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_every_record_is_found_by_its_key_under_any_shuffle(
    tmp_path_factory: pytest.TempPathFactory, count: int, shard_rows: int, batch: int, seed: int
) -> None:
    folder, keys = tmp_path_factory.mktemp("store"), make_keys(count, seed)
    write_store(folder, keys, batch, shard_rows)
    reader = OutputsReader(folder, PRINTS)
    asked = np.random.default_rng(seed + 1).permutation(np.concatenate([keys, keys[: count // 2]]))
    records, wanted = reader.lookup(asked[:, 0], asked[:, 1]), rows_of(asked)
    assert len(reader) == count
    assert records.found.all()
    np.testing.assert_array_equal(records.top_items, wanted["top_items"])
    np.testing.assert_array_equal(records.top_scores, wanted["top_scores"])
    np.testing.assert_array_equal(records.states, wanted["states"])


def test_missing_keys_are_told_and_their_lists_are_empty(tmp_path: Path) -> None:
    write_store(tmp_path, np.array([[1, 5], [2, 3]]))
    records = OutputsReader(tmp_path, PRINTS).lookup(np.array([1, 5, 2, 9]), np.array([5, 1, 3, 9]))
    assert records.found.tolist() == [True, False, True, False]
    assert records.top_items[1].tolist() == [0, 0, 0]
    assert np.isneginf(records.top_scores[3]).all()
    np.testing.assert_array_equal(records.top_items[2], [2003, 2004, 2005])


def test_states_are_read_only_where_asked_for(tmp_path: Path) -> None:
    write_store(tmp_path, np.array([[1, 5], [2, 3]]))
    records = OutputsReader(tmp_path, PRINTS).lookup(np.array([2]), np.array([3]), with_states=False)
    assert records.states.shape == (1, 0)
    assert records.top_items.tolist() == [[2003, 2004, 2005]]


def test_large_users_and_positions_do_not_collide(tmp_path: Path) -> None:
    big = 2**31 - 1
    write_index(tmp_path, [(np.array([0, big, 1], np.int32), np.array([big, 0, 0], np.int32))])
    found = Index(tmp_path).find(np.array([big, 0, 1, 0]), np.array([0, big, 0, 0]))
    assert found.tolist() == [1, 0, 2, -1]


def test_the_index_is_the_same_in_one_part_and_in_many(tmp_path: Path) -> None:
    keys = np.random.default_rng(3).permutation(12_000)
    shards = [((part // 100).astype(np.int32), (part % 100).astype(np.int32)) for part in np.array_split(keys, 5)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    write_index(whole, shards)
    write_index(parts, shards, part_rows=2000)
    np.testing.assert_array_equal(Index(parts).keys, Index(whole).keys)
    np.testing.assert_array_equal(Index(parts).rows, np.argsort(keys))


def test_shards_hold_the_documented_files(tmp_path: Path) -> None:
    write_store(tmp_path, make_keys(25))
    shards = finished_shards(tmp_path)
    assert [len(np.load(path / "users.npy")) for path in shards] == [10, 10, 5]
    assert np.load(shards[0] / "top_scores.npy", mmap_mode="r").dtype == np.float32
    assert np.load(shards[0] / "states.npy").dtype == np.float16
    about = json.loads((tmp_path / "outputs.json").read_text())
    assert about["rows"] == 25
    assert about["bytes"] == sum(path.stat().st_size for path in tmp_path.rglob("*.npy"))
    assert (about["data"], about["split"], about["teacher"]) == ("d1", "s1", "t1")
    embeddings = OutputsReader(tmp_path, PRINTS).item_embeddings
    assert embeddings.dtype == np.float16
    np.testing.assert_array_equal(embeddings, np.arange(12.0).reshape(4, 3))


@pytest.mark.parametrize("field", ["data", "split", "teacher"])
def test_outputs_of_other_data_split_or_teacher_are_refused_by_name(tmp_path: Path, field: str) -> None:
    write_store(tmp_path, make_keys(5))
    with pytest.raises(UserError, match=rf"other {field} \(.1 instead of new\)") as caught:
        OutputsReader(tmp_path, replace(PRINTS, **{field: "new"}))
    others = {"data", "split", "teacher"} - {field}
    assert not any(f"other {other} (" in str(caught.value) for other in others)


def test_everything_that_differs_is_named(tmp_path: Path) -> None:
    write_store(tmp_path, make_keys(5))
    with pytest.raises(UserError, match=r"other data \(d1 instead of x\), other teacher \(t1 instead of y\)"):
        OutputsReader(tmp_path, Fingerprints("x", "s1", "y"))


def test_an_unfinished_store_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.append(**rows_of(make_keys(25)))
        with pytest.raises(UserError, match="run `recdistill export` first"):
            OutputsReader(tmp_path, PRINTS)


def test_an_interrupted_export_goes_on_after_its_last_whole_shard(tmp_path: Path) -> None:
    keys, folder, other = make_keys(45), tmp_path / "a", tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        write_until_interrupted(folder, keys[:17], keys[17:28])
    assert not list(folder.glob(".shard*"))
    assert not (folder / "outputs.json").exists()
    with open_writer(folder) as writer:
        missing = writer.missing(45)
        assert missing == [(2, 20, 30), (3, 30, 40), (4, 40, 45)]
        writer.write_item_embeddings(np.arange(12.0).reshape(4, 3))
        for part in missing:
            writer.go_to(part)
            writer.append(**rows_of(keys[part.start : part.end]))
    write_store(other, keys)
    for path in sorted(other.rglob("*.npy")):
        assert (folder / path.relative_to(other)).read_bytes() == path.read_bytes()


class UnfairExecutor(ThreadPoolExecutor):
    """Of the calls that wait, its shutdown cancels the first alone: the thread has taken the others meanwhile."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.first.cancel()
        self.gate.set()
        super().shutdown(wait=wait)

    first: Future[None]
    gate: Event


def test_a_writer_that_is_broken_off_leaves_no_gap(tmp_path: Path) -> None:
    """Else the rows behind the gap were written once more by the next try, and "a target was exported twice"."""
    keys, gate = make_keys(30), Event()
    with pytest.raises(KeyboardInterrupt), open_writer(tmp_path) as writer:
        executor = UnfairExecutor(max_workers=1)
        executor.gate = gate
        executor.submit(gate.wait)
        writer._thread = executor
        for part in np.split(keys, 3):
            writer.append(**rows_of(part))
        executor.first = writer._queue[0]
        raise KeyboardInterrupt
    with open_writer(tmp_path) as writer:
        writer.write_item_embeddings(np.arange(12.0).reshape(4, 3))
        for missing in writer.missing(30):
            writer.go_to(missing)
            writer.append(**rows_of(keys[missing.start : missing.end]))
    assert len(OutputsReader(tmp_path, PRINTS)) == 30


@pytest.mark.parametrize(
    ("rows", "missing"), [(25, []), (27, [(2, 20, 27)]), (45, [(2, 20, 30), (3, 30, 40), (4, 40, 45)])]
)
def test_a_short_last_shard_is_kept_where_it_is_the_last(
    tmp_path: Path, rows: int, missing: list[tuple[int, int, int]]
) -> None:
    """It is made again where the store has more rows."""
    keys = make_keys(45)
    write_store(tmp_path, keys[:25])
    about = json.loads((tmp_path / "outputs.json").read_text())
    plan = {key: about[key] for key in ("data", "split", "teacher", "top_k", "state_dim", "shard_rows")}
    (tmp_path / "export.json").write_text(json.dumps(plan))
    (tmp_path / "outputs.json").unlink()
    with open_writer(tmp_path) as writer:
        assert writer.missing(rows) == missing
        for part in writer.missing(rows):
            writer.go_to(part)
            writer.append(**rows_of(keys[part.start : part.end]))
    assert len(OutputsReader(tmp_path, PRINTS)) == rows


@pytest.mark.parametrize("writers", [2, 3, 7])
def test_several_writers_give_the_store_of_one(tmp_path: Path, writers: int) -> None:
    keys, folder, other = make_keys(45), tmp_path / "a", tmp_path / "b"
    with open_writer(folder) as first:
        first.write_item_embeddings(np.arange(12.0).reshape(4, 3))
        missing = first.missing(45)
        for rank in reversed(range(writers)):
            with OutputsWriter(folder, PRINTS, TOP_K, STATE_DIM, 10, opens=False) as writer:
                for part in missing[rank::writers]:
                    writer.go_to(part)
                    writer.append(**rows_of(keys[part.start : part.start + 4]))
                    writer.append(**rows_of(keys[part.start + 4 : part.end]))
            assert not (folder / "outputs.json").exists()
    write_store(other, keys)
    for path in sorted(path for path in other.rglob("*") if path.is_file()):
        assert (folder / path.relative_to(other)).read_bytes() == path.read_bytes(), path


def test_a_part_whose_rows_are_lacking_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="shard 3: rows of the shard before it are lacking"),
        open_writer(tmp_path) as writer,
    ):
        parts = writer.missing(40)
        writer.go_to(parts[0])
        writer.append(**rows_of(make_keys(9)))
        writer.go_to(parts[3])
    assert not (tmp_path / "outputs.json").exists()


def test_the_beginning_of_another_export_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_writer(tmp_path):
        raise KeyboardInterrupt
    with pytest.raises(UserError, match=r"another export \(teacher, shard_rows\)"):
        open_writer(tmp_path, shard_rows=9, prints=replace(PRINTS, teacher="t2"))


def test_a_target_exported_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exported twice"), open_writer(tmp_path) as writer:
        writer.append(**rows_of(np.array([[1, 2], [3, 4], [1, 2]])))
    assert not (tmp_path / "outputs.json").exists()


def test_wrong_shapes_are_refused_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"states: shape \(2, 3\) instead of \(2, 4\)"),
        open_writer(tmp_path) as writer,
    ):
        writer.append(**(rows_of(np.array([[1, 2], [3, 4]])) | {"states": np.zeros((2, 3))}))


def test_a_full_disk_reaches_the_caller_and_leaves_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, calls = make_keys(60), []
    plain = GrowingArray.append

    def append(self: GrowingArray, rows: Any) -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 12:  # The third batch's second column: the disk has room again right after it.
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, rows)

    monkeypatch.setattr(GrowingArray, "append", append)
    with pytest.raises(UserError, match="no space left on the disk"):
        write_store(tmp_path, keys, batch=5)
    assert set(calls) == {"outputs-writer_0"}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["shard-00000"]
    assert len(np.load(tmp_path / "shard-00000" / "users.npy")) == 10


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    plain = GrowingArray.append

    def slow(self: GrowingArray, rows: Any) -> None:
        gate.wait(5)
        plain(self, rows)

    monkeypatch.setattr(GrowingArray, "append", slow)
    keys = make_keys(QUEUED_APPENDS + 1)
    with open_writer(tmp_path) as writer:
        for row in keys[:QUEUED_APPENDS]:
            writer.append(**rows_of(row[None]))
        blocked = threading.Thread(target=lambda: writer.append(**rows_of(keys[-1:])))
        blocked.start()
        blocked.join(0.2)
        assert blocked.is_alive()
        gate.set()
        blocked.join(5)
        assert not blocked.is_alive()


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        keys = np.stack(np.divmod(np.arange(count), 100), axis=1)
        tracemalloc.start()
        with open_writer(tmp_path / str(count), shard_rows=1000) as writer:
            for start in range(0, count, 500):
                writer.append(**rows_of(keys[start : start + 500]))
            for future in list(writer._queue):
                future.result()
            _, held = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held

    peak(1000)  # The first use of everything costs memory of its own.
    count = 240_000
    all_rows = sum(column.nbytes for column in rows_of(np.stack(np.divmod(np.arange(count), 100), axis=1)).values())
    assert peak(count) < all_rows / 4  # The queue holds 8 parts of 480.
