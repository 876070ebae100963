"""Shards: folders of `.npy` files that are written row by row and take their name when they are whole."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[Any]
Columns = Mapping[str, tuple[str, tuple[int, ...]]]
"""Column name → type (NumPy's name of it) and shape of one row."""


class GrowingArray:
    """A `.npy` file to which rows are added; their number is put into its header at the end.

    Rows go through `write` and not through a memory map: where the disk is full, a write fails with an error that can
    be told, while a memory map ends the process.
    """

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...]) -> None:
        self.dtype, self.row_shape, self.rows = np.dtype(dtype), row_shape, 0
        self._file = path.open("wb")
        self._write_header()
        self._data_start = self._file.tell()

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
    """A shard being written; it has its name only when it is finished."""

    def __init__(self, folder: Path, number: int, columns: Columns) -> None:
        self.path, self.rows = shard_path(folder, number), 0
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._arrays = {
            name: GrowingArray(self._partial / f"{name}.npy", dtype, shape) for name, (dtype, shape) in columns.items()
        }

    def append(self, rows: Mapping[str, Array]) -> None:
        """Add rows to every column."""
        for name, array in self._arrays.items():
            array.append(rows[name])
        self.rows += len(next(iter(rows.values())))

    def finish(self) -> None:
        """Give the shard its name."""
        for array in self._arrays.values():
            array.finish()
        self._partial.rename(self.path)

    def discard(self) -> None:
        """Remove what was written."""
        for array in self._arrays.values():
            array.discard()
        shutil.rmtree(self._partial, ignore_errors=True)


def shard_path(folder: Path, number: int) -> Path:
    """The folder of shard `number`, counted from 0."""
    return folder / f"shard-{number:05d}"


def finished_shards(folder: Path) -> list[Path]:
    """Shards 0, 1, 2, … as far as they are there without a gap."""
    paths: list[Path] = []
    while (path := shard_path(folder, len(paths))).is_dir():
        paths.append(path)
    return paths
