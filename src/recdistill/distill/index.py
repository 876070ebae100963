"""From a target's key to the number of its row: all keys in order, and beside each the row that holds it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import IntArray, LongArray
from recdistill.errors import UserError
from recdistill.storage.files import atomic_path, map_array
from recdistill.storage.shards import GrowingArray

KEYS_FILE = "index_keys.npy"
ROWS_FILE = "index_rows.npy"
PART_ROWS = 1 << 20
SAMPLE_EVERY = 1024

ShardKeys = Sequence[tuple[IntArray, IntArray]]
"""The `(users, positions)` of each shard, memory-mapped or not."""


def make_keys(users: NDArray[np.integer], positions: NDArray[np.integer]) -> LongArray:
    """One int64 per target, `user << 32 | position`: in order of the users, and of the positions within a user."""
    return (users.astype(np.int64) << 32) | positions.astype(np.int64)


def write_index(folder: Path, shards: ShardKeys, part_rows: int = PART_ROWS) -> None:
    """Write the index over all shards, whose rows are numbered on from one to the next.

    It is made in parts of about `part_rows` neighbouring keys, so that only a part and a sample of 1/1024 of the keys
    are held at a time.

    Raises:
        ValueError: a key occurs twice.
        UserError: the disk is full.
    """
    with atomic_path(folder / KEYS_FILE) as keys_path, atomic_path(folder / ROWS_FILE) as rows_path:
        keys_file, rows_file = GrowingArray(keys_path, "int64", ()), GrowingArray(rows_path, "int64", ())
        try:
            for keys, rows in _sorted_parts(shards, part_rows):
                if (np.diff(keys) == 0).any():
                    raise ValueError("a target was exported twice; each (user, position) may have one row")
                keys_file.append(keys)
                rows_file.append(rows)
            keys_file.finish()
            rows_file.finish()
        finally:
            keys_file.discard()
            rows_file.discard()


def _sorted_parts(shards: ShardKeys, part_rows: int) -> Iterator[tuple[LongArray, LongArray]]:
    """Keys in order and their rows, part after part."""
    bounds = _bounds(shards, part_rows)
    for low, high in pairwise(bounds):
        keys, rows, first = [], [], 0
        for users, positions in shards:
            shard_keys = make_keys(users, positions)
            inside = np.flatnonzero((shard_keys >= low) & (shard_keys < high))
            keys.append(shard_keys[inside])
            rows.append(first + inside)
            first += len(users)
        part_keys, part = np.concatenate(keys), np.concatenate(rows)
        order = np.argsort(part_keys)
        yield part_keys[order], part[order]


def _bounds(shards: ShardKeys, part_rows: int) -> list[int]:
    """Keys that cut the whole range into parts of about `part_rows` keys, estimated from a sample."""
    if not shards:
        return [0]
    sample = [make_keys(users[::SAMPLE_EVERY], positions[::SAMPLE_EVERY]) for users, positions in shards]
    cuts = np.unique(np.sort(np.concatenate(sample))[:: max(1, part_rows // SAMPLE_EVERY)][1:])
    return [0, *(int(cut) for cut in cuts), np.iinfo(np.int64).max]


class Index:
    """The written index, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.rows = map_array(folder / KEYS_FILE, "i", 1), map_array(folder / ROWS_FILE, "i", 1)
        if len(self.keys) != len(self.rows):
            raise UserError(f"{folder / ROWS_FILE}: {len(self.rows)} rows of {len(self.keys)} keys; export again")

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.keys)

    def find(self, users: NDArray[np.integer], positions: NDArray[np.integer]) -> LongArray:
        """The row of each target, int64 (M,), by binary search; -1 where it has none."""
        keys = make_keys(users, positions)
        if len(self) == 0:
            return np.full(len(keys), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self) - 1)
        return np.where(self.keys[places] == keys, self.rows[places], -1)
