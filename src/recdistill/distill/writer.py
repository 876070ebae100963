"""Write the store of the teacher's outputs, in the background and so that an interrupted export can resume."""

import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from recdistill.distill.evidence import EVIDENCE_FILE, Part, forget_counts
from recdistill.distill.index import write_index
from recdistill.distill.outputs import DONE_FILE, EMBEDDINGS_FILE, About, Fingerprints
from recdistill.errors import UserError
from recdistill.storage.checksums import is_whole, read_sealed, sealed, write_record
from recdistill.storage.files import disk_errors, map_array, write_array, write_json
from recdistill.storage.shards import (
    Array,
    Columns,
    GrowingShard,
    drop_damaged,
    finished_shards,
    forget_shard,
    forget_shards,
    rows_aside,
    rows_of_shard,
)
from recdistill.storage.typed import read_typed

logger = logging.getLogger("recdistill")

PLAN_FILE = "export.json"
"""What is being written; there until `outputs.json` is."""
WRITTEN_FILE = "written.json"
"""Size and checksum of the finished store's files, for a try that is cut off before the step has its manifest."""
QUEUED_APPENDS = 8


def _columns(top_k: int, state_dim: int) -> Columns:
    """Types and shapes of one row; without states (`state_dim` 0) there is no column for them."""
    columns: dict[str, tuple[str, tuple[int, ...]]] = {
        "users": ("int32", ()),
        "positions": ("int32", ()),
        "top_items": ("int32", (top_k,)),
        "top_scores": ("float32", (top_k,)),
    }
    return columns | ({"states": ("float16", (state_dim,))} if state_dim else {})


def _written(folder: Path) -> list[str]:
    """Names of the store's files, but for those that are there until it is finished."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix == ".npy")
    return [*(path.as_posix() for path in paths), *(one for one in (EVIDENCE_FILE,) if (folder / one).is_file())]


def is_written(folder: Path) -> bool:
    """Whether an export was cut off behind its last row, and all it wrote is whole; one that is damaged is removed."""
    done = folder / DONE_FILE
    if not done.is_file():
        return False
    try:
        read_sealed(done, About)
    except UserError as error:
        why = str(error)
    else:
        if is_whole(folder, WRITTEN_FILE):
            return True
        why = f"{folder} is damaged"
    logger.warning("export: begins anew, since %s", why)
    forget_shards(folder)
    forget_counts(folder)
    for name in (PLAN_FILE, DONE_FILE):
        (folder / name).unlink(missing_ok=True)
    return False


class OutputsWriter:
    """Takes rows shard by shard and writes them in a thread of its own; use as a context manager.

    When the block ends in an error, whole shards are kept, and after :meth:`set_aside` also the rows of the open one; a
    new writer on the same folder tells what is :meth:`missing`, and the caller appends that in the same order as
    before. Several writers may fill one store, each its own shards: one of them opens and closes it.

    Args:
        folder: where the store goes.
        fingerprints: what the rows are made from.
        top_k: length K of the lists.
        state_dim: width S of the user states; 0: none are kept.
        shard_rows: rows in one shard.
        opens: whether this writer opens and closes the store; another one has opened it otherwise, and will close it.

    Raises:
        UserError: the folder holds the beginning of another export.
    """

    def __init__(
        self,
        folder: Path,
        fingerprints: Fingerprints,
        top_k: int,
        state_dim: int,
        shard_rows: int,
        opens: bool = True,
    ) -> None:
        self.folder, self.shard_rows, self.opens = folder, shard_rows, opens
        self.columns = _columns(top_k, state_dim)
        self._plan = asdict(fingerprints) | {"top_k": top_k, "state_dim": state_dim, "shard_rows": shard_rows}
        if opens:
            self._open_folder()
        self._next, self._due = 0, shard_rows
        self._shard: GrowingShard | None = None
        self._torn = self._closed = self._broken_off = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outputs-writer")
        self._queue: deque[Future[None]] = deque()

    def __enter__(self) -> "OutputsWriter":
        """Nothing to prepare: the folder is open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the store, or this writer's part of it; after an error, leave its whole shards to resume from."""
        try:
            if kind is None:
                self.close() if self.opens else self.flush()
        finally:
            # While calls are cancelled, the thread takes others from the queue: one behind a cancelled one would leave
            # a gap, and its rows would be written a second time by the next try.
            self._broken_off = True
            self._thread.shutdown(wait=True, cancel_futures=True)
            if self._shard is not None:
                self._shard.discard()

    def missing(self, rows: int) -> list[Part]:
        """What a store of so many rows lacks, shard by shard; nothing is left of a part whose rows are all set aside
        but to finish it.
        """
        parts = []
        for number, start in enumerate(range(0, rows, self.shard_rows)):
            end = min(rows, start + self.shard_rows)
            there = rows_of_shard(self.folder, number)
            if there == end - start:
                continue
            if there is not None or rows_aside(self.folder, number) > end - start:  # of a store with other rows
                forget_shard(self.folder, number)
            parts.append(Part(number, start + rows_aside(self.folder, number), end))
        return parts

    def go_to(self, part: Part) -> None:
        """The next rows are those of `part`; all rows of the part before were appended.

        Raises:
            UserError: they could not be written.
        """
        self._queue.append(self._thread.submit(self._go_to, part))

    def append(self, users: Array, positions: Array, top_items: Array, top_scores: Array, states: Array) -> None:
        """Hand over B rows; returns at once unless the thread is `QUEUED_APPENDS` calls behind.

        The arrays must not be changed afterwards. Shapes are (B,), (B,), (B, K), (B, K) and (B, S).

        Raises:
            UserError: earlier rows could not be written: the disk is full, say.
            ValueError: a shape is wrong.
        """
        parts = {
            "users": users,
            "positions": positions,
            "top_items": top_items,
            "top_scores": top_scores,
            "states": states,
        }
        rows = {name: parts[name] for name in self.columns}
        for name, (_, shape) in self.columns.items():
            if rows[name].shape != (len(users), *shape):
                raise ValueError(f"{name}: shape {rows[name].shape} instead of {(len(users), *shape)}")
        while len(self._queue) >= QUEUED_APPENDS:
            self._queue.popleft().result()
        self._queue.append(self._thread.submit(self._write, rows))

    def write_item_embeddings(self, embeddings: Array) -> None:
        """Write the language model's title embeddings, (N + 1, H), as fp16.

        Raises:
            UserError: the disk is full.
        """
        write_array(self.folder / EMBEDDINGS_FILE, np.asarray(embeddings, dtype=np.float16))

    def close(self) -> None:
        """Wait for the thread, close the last shard, write the index and then `outputs.json`; once is enough.

        Raises:
            UserError: rows could not be written.
            ValueError: a target was exported twice.
        """
        if self._closed:
            return
        self.flush()
        shards = finished_shards(self.folder)
        keys = [(map_array(path / "users.npy"), map_array(path / "positions.npy")) for path in shards]
        write_index(self.folder, keys)
        size = sum(path.stat().st_size for path in self.folder.rglob("*.npy"))
        about = {"rows": sum(len(users) for users, _ in keys), "shards": len(shards), "bytes": size}
        write_record(self.folder, WRITTEN_FILE, _written(self.folder))
        write_json(self.folder / DONE_FILE, sealed(self._plan | about))
        (self.folder / PLAN_FILE).unlink()
        self._closed = True

    def flush(self) -> None:
        """Wait for the thread, and close the last shard.

        Raises:
            UserError: rows could not be written.
        """
        while self._queue:
            self._queue.popleft().result()
        if self._shard is not None:
            self._finish_shard(self._shard)

    def set_aside(self) -> None:
        """Write what was handed over, and keep the rows of a shard that is not full yet; then nothing more is taken.

        Raises:
            UserError: rows could not be written.
        """
        while self._queue:
            self._queue.popleft().result()
        if self._shard is not None:
            with disk_errors(self.folder):
                self._shard.set_aside()
            self._shard = None
        self._torn = True

    def _open_folder(self) -> None:
        """Note down what is being written, or check that what was begun here is the same."""
        if (self.folder / DONE_FILE).is_file():
            raise UserError(f"{self.folder}: holds a finished export already")
        begun = self._begun()
        if begun is not None:
            if begun != self._plan:
                differ = ", ".join(key for key in self._plan if begun.get(key) != self._plan[key])
                raise UserError(
                    f"{self.folder}: holds the beginning of another export ({differ}); remove it to start anew"
                )
            drop_damaged(self.folder)
        else:
            write_json(self.folder / PLAN_FILE, self._plan)

    def _begun(self) -> Mapping[str, Any] | None:
        """What is being written here; None where nothing is, or where its file is damaged: then it begins anew."""
        path = self.folder / PLAN_FILE
        if not path.is_file():
            return None
        try:
            return read_typed(path, dict[str, Any])
        except UserError as error:
            logger.warning("export: begins anew, since %s", error)
            forget_shards(self.folder)
            return None

    def _go_to(self, part: Part) -> None:
        """In the thread: open the shard of a part, with what was set aside of it."""
        if self._torn or self._broken_off:
            return
        self._torn = True
        if self._shard is not None:
            raise ValueError(f"shard {part.number}: rows of the shard before it are lacking")
        self._next, self._due = part.number, part.end - part.number * self.shard_rows
        with disk_errors(self.folder):
            self._shard = GrowingShard(self.folder, part.number, self.columns)
        if self._shard.rows == self._due:
            self._finish_shard(self._shard)
        self._torn = False

    def _write(self, rows: dict[str, Array]) -> None:
        """In the thread: put rows into the open shard, and into further ones when it is full."""
        if self._torn or self._broken_off:
            return  # Rows after a failed write would leave a gap; the failure itself waits in the queue to be raised.
        self._torn = True
        count, start = len(rows["users"]), 0
        while start < count:
            with disk_errors(self.folder):
                if self._shard is None:
                    self._shard = GrowingShard(self.folder, self._next, self.columns)
                end = min(count, start + self._due - self._shard.rows)
                self._shard.append({name: array[start:end] for name, array in rows.items()})
            if self._shard.rows == self._due:
                self._finish_shard(self._shard)
            start = end
        self._torn = False

    def _finish_shard(self, shard: GrowingShard) -> None:
        with disk_errors(self.folder):
            shard.finish()
        self._shard, self._next, self._due = None, self._next + 1, self.shard_rows
