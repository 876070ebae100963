"""Shards: folders of `.npy` files that are written row by row and take their name when they are whole.

One that an interruption found half full is set aside whole to the last row, and grows on when the export does.
"""

import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from recdistill.storage.checksums import FILES_FILE, is_whole, write_record
from recdistill.storage.files import map_array

logger = logging.getLogger("recdistill")

Array = NDArray[Any]
Columns = Mapping[str, tuple[str, tuple[int, ...]]]
"""Column name → type (NumPy's name of it) and shape of one row."""


class GrowingArray:
    """A `.npy` file to which rows are added; their number is put into its header at the end.

    Rows go through `write` and not through a memory map: where the disk is full, a write fails with an error that can
    be told, while a memory map ends the process.
    """

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...]) -> None:
        self.dtype, self.row_shape = np.dtype(dtype), row_shape
        self.rows = len(map_array(path)) if path.is_file() else 0
        self._file = path.open("r+b" if self.rows else "wb")
        self._write_header()
        self._data_start = self._file.tell()
        self._file.seek(0, os.SEEK_END)

    def append(self, rows: Array) -> None:
        """Add `rows`, (count, *row_shape)."""
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).data)
        self.rows += len(rows)

    def finish(self) -> None:
        """Write the number of rows and flush the file to the disk."""
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._data_start:
            raise ValueError(f"{self._file.name}: no room in the header for {self.rows} rows")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Close the file unfinished; what stood in the way of writing its rows need not be told again."""
        with suppress(OSError):
            self._file.close()

    def _write_header(self) -> None:
        # NumPy pads a header so that the first axis can grow to 21 digits in place.
        shape = (self.rows, *self.row_shape)
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)


class GrowingShard:
    """A shard being written; it has its name only when it is finished. One that was set aside grows on."""

    def __init__(self, folder: Path, number: int, columns: Columns) -> None:
        self.path = shard_path(folder, number)
        self._partial, self._aside = (self.path.with_name(f".{self.path.name}.{end}") for end in ("partial", "aside"))
        shutil.rmtree(self._partial, ignore_errors=True)
        if self._aside.is_dir():
            self._aside.rename(self._partial)
        self._partial.mkdir(parents=True, exist_ok=True)
        (self._partial / FILES_FILE).unlink(missing_ok=True)
        self._arrays = {
            name: GrowingArray(self._partial / f"{name}.npy", dtype, shape) for name, (dtype, shape) in columns.items()
        }
        self.rows = next(iter(self._arrays.values())).rows

    def append(self, rows: Mapping[str, Array]) -> None:
        """Add rows to every column."""
        for name, array in self._arrays.items():
            array.append(rows[name])
        self.rows += len(next(iter(rows.values())))

    def finish(self) -> None:
        """Give the shard its name, with size and checksum of its files in it."""
        for array in self._arrays.values():
            array.finish()
        write_record(self._partial)
        self._partial.rename(self.path)

    def set_aside(self) -> None:
        """Keep the rows so far, for a writer that resumes; nothing can be appended to this one any more."""
        for array in self._arrays.values():
            array.finish()
        write_record(self._partial)
        self._partial.rename(self._aside)

    def discard(self) -> None:
        """Remove what was written."""
        for array in self._arrays.values():
            array.discard()
        shutil.rmtree(self._partial, ignore_errors=True)


def shard_path(folder: Path, number: int) -> Path:
    """The folder of shard `number`, counted from 0."""
    return folder / f"shard-{number:05d}"


def rows_of_shard(folder: Path, number: int) -> int | None:
    """Rows of the finished shard `number`; None where it is not there."""
    users = shard_path(folder, number) / "users.npy"
    return len(map_array(users)) if users.is_file() else None


def rows_aside(folder: Path, number: int) -> int:
    """Rows of shard `number` that an interruption set aside; 0 where it did not."""
    users = _aside(folder, number) / "users.npy"
    return len(map_array(users)) if users.is_file() else 0


def drop_damaged(folder: Path) -> None:
    """Remove shards that are not as they were written, finished ones and those set aside."""
    for path in sorted((*folder.glob("shard-*"), *folder.glob(".shard-*.aside"))):
        if path.is_dir() and not is_whole(path, FILES_FILE):
            logger.warning("export: its rows are read again, since %s is damaged", path)
            shutil.rmtree(path)


def forget_shard(folder: Path, number: int) -> None:
    """Remove shard `number`, finished or set aside."""
    shutil.rmtree(_aside(folder, number), ignore_errors=True)
    shutil.rmtree(shard_path(folder, number), ignore_errors=True)


def forget_shards(folder: Path) -> None:
    """Remove all shards, finished or set aside."""
    for path in (*folder.glob("shard-*"), *folder.glob(".shard-*.aside")):
        shutil.rmtree(path, ignore_errors=True)


def _aside(folder: Path, number: int) -> Path:
    return folder / f".{shard_path(folder, number).name}.aside"


def finished_shards(folder: Path) -> list[Path]:
    """Shards 0, 1, 2, … as far as they are there without a gap."""
    paths: list[Path] = []
    while (path := shard_path(folder, len(paths))).is_dir():
        paths.append(path)
    return paths
