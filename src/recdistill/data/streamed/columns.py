"""Columns of numbers in files, written and read a block at a time, never in memory as a whole."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recdistill.storage.files import disk_errors

BLOCK_ROWS = 2**21
"""Rows that are in memory at a time, and about as many interactions in a group of users that is sorted together."""


class Column:
    """Numbers of one type in a file of their own, appended to, or written at places that are known beforehand.

    Args:
        path: the file; it begins anew.
        dtype: of the numbers.
    """

    def __init__(self, path: Path, dtype: Any) -> None:
        self.path, self.dtype, self.rows = path, np.dtype(dtype), 0
        with disk_errors(path):
            self._file = path.open("w+b", buffering=0)

    def append(self, values: NDArray[Any]) -> None:
        """Write values behind those that are there.

        Raises:
            UserError: the disk is full.
        """
        self.write(self.rows, values)
        self.rows += len(values)

    def write(self, start: int, values: NDArray[Any]) -> None:
        """Write values from row `start` on; the caller sees to it that the rows come out whole.

        Raises:
            UserError: the disk is full.
        """
        content = np.ascontiguousarray(values, dtype=self.dtype).data.cast("B")
        with disk_errors(self.path):
            self._file.seek(start * self.dtype.itemsize)
            while content:  # An unbuffered file may take a part only.
                content = content[self._file.write(content) :]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` - 1."""
        self._file.seek(start * self.dtype.itemsize)
        return np.fromfile(self._file, dtype=self.dtype, count=stop - start)

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All rows, :data:`BLOCK_ROWS` at a time."""
        for start in range(0, self.rows, BLOCK_ROWS):
            yield self.read(start, min(start + BLOCK_ROWS, self.rows))

    def mapped(self) -> NDArray[Any]:
        """The whole column, memory-mapped for reading."""
        if not self.rows:
            return np.empty(0, dtype=self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r", shape=(self.rows,))

    def remove(self) -> None:
        """Close and remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def by_blocks(rows: int) -> Iterator[slice]:
    """Slices of so many rows, :data:`BLOCK_ROWS` at a time."""
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, rows))


def user_blocks(offsets: NDArray[np.int64]) -> Iterator[slice]:
    """Slices of users that have about :data:`BLOCK_ROWS` interactions together, one user at least.

    Args:
        offsets: int64 (users + 1,), bounds of the users' interactions.
    """
    start, users = 0, len(offsets) - 1
    while start < users:
        stop = int(np.searchsorted(offsets, offsets[start] + BLOCK_ROWS, side="right")) - 1
        yield slice(start, max(stop, start + 1))
        start = max(stop, start + 1)


def counts_of(numbers: NDArray[Any], length: int = 0) -> NDArray[np.int64]:
    """As :func:`numpy.bincount`, which by itself takes 8 bytes a row beside the numbers: int64 (`length` or more,)."""
    found = np.zeros(length, dtype=np.int64)
    for rows in by_blocks(len(numbers)):
        found = added(found, np.bincount(numbers[rows], minlength=length))
    return found


def added(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of counts of which one may have more."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    longer[: len(shorter)] += shorter
    return longer


def converted(
    numbers: NDArray[Any], dtype: Any, convert: Callable[[NDArray[Any]], NDArray[Any]], name: str
) -> NDArray[Any]:
    """`convert` of every block of the numbers; beside their file where they are memory-mapped, else in memory."""
    if not isinstance(numbers, np.memmap) or numbers.filename is None:
        return convert(numbers).astype(dtype, copy=False)
    column = Column(Path(numbers.filename).with_name(name), dtype)
    for rows in by_blocks(len(numbers)):
        column.append(convert(numbers[rows]))
    return column.mapped()
