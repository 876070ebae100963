"""The store of the teacher's outputs: one row a target, found by its key, in memory-mapped shards.

    teacher_outputs/
      shard-00000/  files.json users.npy positions.npy top_items.npy top_scores.npy states.npy
      shard-00001/  …
      item_embeddings.npy   the language model's embedding of each title, fp16 (N + 1, H)
      index_keys.npy, index_rows.npy
      outputs.json          written last: a folder without it is an export that was interrupted
      target_memorisation.json    how well the lists place their own targets (`distill.target_memorisation`)

Scores are fp32: at ±20, fp16 moves in steps of 1/64, which ties neighbours of a list and shifts their probabilities by
up to 0.8 %, for 2 bytes saved per item. States, which no loss takes differences of, are fp16.

This file reads the store; `distill.writer` writes it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from recdistill.distill.index import Index
from recdistill.errors import UserError
from recdistill.storage.checksums import read_sealed
from recdistill.storage.files import map_array
from recdistill.storage.shards import Array, shard_path

DONE_FILE = "outputs.json"
EMBEDDINGS_FILE = "item_embeddings.npy"
MEMORISATION_FILE = "target_memorisation.json"
"""How well the lists place their own targets, `distill.target_memorisation`; written once the store is finished."""
OPEN_SHARDS = 128
"""Shards a reader keeps mapped at a time; each takes up to three of the process's file descriptors."""


@dataclass(frozen=True)
class Fingerprints:
    """What the outputs were made from."""

    data: str
    split: str
    teacher: str


class About(TypedDict):
    """`outputs.json`: what the outputs were made from, K, S, rows of a shard, rows and shards in all, their bytes; its
    own checksum.
    """

    data: str
    split: str
    teacher: str
    top_k: int
    state_dim: int
    shard_rows: int
    rows: int
    shards: int
    bytes: int
    checksum: NotRequired[str]


class Records(NamedTuple):
    """What the store holds on M targets.

    Attributes:
        top_items: int32 (M, K), best first; 0 where a list is shorter than K, and in all places of a missing target.
        top_scores: fp32 (M, K); -inf where the item is 0.
        states: fp16 (M, S); (M, 0) if they were not asked for, or were not kept.
        found: bool (M,).
    """

    top_items: NDArray[np.int32]
    top_scores: NDArray[np.float32]
    states: NDArray[np.float16]
    found: NDArray[np.bool_]


class OutputsReader:
    """Looks targets up by key; shards, index and item embeddings are memory-mapped.

    Args:
        folder: a finished store.
        expected: what the outputs must have been made from.

    Raises:
        UserError: the store is not finished, broken, or made from other data, another split or another teacher.
    """

    def __init__(self, folder: Path, expected: Fingerprints) -> None:
        if not (folder / DONE_FILE).is_file():
            raise UserError(f"{folder}: holds no finished teacher outputs; run `recdistill export` first")
        about = read_sealed(folder / DONE_FILE, About)
        _refuse_others(folder, about, expected)
        self.folder, self.fingerprints = folder, expected
        self.top_k, self.state_dim, self.shard_rows = about["top_k"], about["state_dim"], about["shard_rows"]
        if min(self.top_k, self.shard_rows) < 1 or self.state_dim < 0:
            raise UserError(f"{folder / DONE_FILE}: top_k, shard_rows or state_dim is out of range; export again")
        self.item_embeddings = map_array(folder / EMBEDDINGS_FILE, "f", 2)
        self._index = Index(folder)
        if len(self._index) != about["rows"]:
            raise UserError(
                f"{folder}: the index holds {len(self._index)} rows instead of {about['rows']}; export again"
            )
        self._open: dict[int, dict[str, Array]] = {}

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._index)

    def lookup(self, users: NDArray[np.integer], positions: NDArray[np.integer], with_states: bool = True) -> Records:
        """The records of M targets, in the order asked for: `users` and `positions` (M,) → :class:`Records`."""
        rows = self._index.find(users, positions)
        count = len(rows)
        records = Records(
            top_items=np.zeros((count, self.top_k), dtype=np.int32),
            top_scores=np.full((count, self.top_k), -np.inf, dtype=np.float32),
            states=np.zeros((count, self.state_dim if with_states else 0), dtype=np.float16),
            found=rows >= 0,
        )
        names = ["top_items", "top_scores", *(["states"] if with_states and self.state_dim else [])]
        shards = rows // self.shard_rows
        for number in np.unique(shards[records.found]):
            here = np.flatnonzero(shards == number)
            within = rows[here] - number * self.shard_rows
            arrays = self._shard(int(number))
            if int(within.max()) >= len(arrays["top_items"]):
                raise UserError(
                    f"{self.folder}: the index names a row beyond shard {number}; run `recdistill export` again"
                )
            for name in names:
                getattr(records, name)[here] = arrays[name][within]
        return records

    def require(self, users: NDArray[np.integer], positions: NDArray[np.integer], with_states: bool = True) -> Records:
        """As :meth:`lookup`, where every target must have a record.

        Raises:
            UserError: one has none.
        """
        records = self.lookup(users, positions, with_states)
        if not records.found.all():
            first = int(np.argmin(records.found))
            raise UserError(
                f"{self.folder}: lacks the target at position {positions[first]} of user {users[first]}; "
                "run `recdistill export` again"
            )
        return records

    def _shard(self, number: int) -> dict[str, Array]:
        """A shard's mapped columns; the shard that was opened first makes room for a new one."""
        if number not in self._open:
            if len(self._open) >= OPEN_SHARDS:
                del self._open[next(iter(self._open))]
            path = shard_path(self.folder, number)
            forms = {"top_items": ("i", self.top_k), "top_scores": ("f", self.top_k)}
            forms |= {"states": ("f", self.state_dim)} if self.state_dim else {}
            arrays = {name: map_array(path / f"{name}.npy", kind, 2) for name, (kind, _) in forms.items()}
            if len({len(array) for array in arrays.values()}) > 1 or any(
                arrays[name].shape[1] != width for name, (_, width) in forms.items()
            ):
                raise UserError(f"{path}: its arrays are not of one shape; run `recdistill export` again")
            self._open[number] = arrays
        return self._open[number]


def _refuse_others(folder: Path, about: About, expected: Fingerprints) -> None:
    """Say which of data, split and teacher differ, if any do."""
    wrong = [
        f"other {name} ({found} instead of {wanted})"
        for name, found, wanted in (
            ("data", about["data"], expected.data),
            ("split", about["split"], expected.split),
            ("teacher", about["teacher"], expected.teacher),
        )
        if found != wanted
    ]
    if wrong:
        raise UserError(f"{folder}: teacher outputs made with {', '.join(wrong)}; run `recdistill export` again")
