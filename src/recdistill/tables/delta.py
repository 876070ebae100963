"""Delta Lake tables (extra `delta`): the files that the log names, without the rows that it says were deleted.

The log is read by deltalake, the files by our own reader of Parquet, as those of any other folder.
"""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
import polars as pl

from recdistill.errors import UserError, not_installed
from recdistill.tables.folders import JoinedTable, LongArray, Part
from recdistill.tables.tables import Table

logger = logging.getLogger("recdistill")

SAID = 200
"""Characters of deltalake's own message that are shown."""


def delta_table(folder: Path, open_one: Callable[[Path], Table]) -> JoinedTable:
    """The rows of a Delta Lake table as it is now, by the time at which their files were written.

    Partition columns come from the log. A column that the table has and an older file lacks has no value there.

    Args:
        folder: the table's.
        open_one: opens one of its files.

    Raises:
        UserError: deltalake is not installed, the log cannot be read, a file is missing or cannot be read, the table
            has no file, or its files call the columns by other names than it does.
    """
    log = _open_log(folder)
    if log.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        raise UserError(
            f"{folder}: a Delta Lake table with column mapping: its files have other names for the columns; write the "
            "rows as plain Parquet files"
        )
    names = [field.name for field in log.schema().fields]
    added = pl.DataFrame(log.get_add_actions()).sort("modification_time", "path")
    if added.is_empty():
        raise UserError(f"{folder}: a Delta Lake table without a file")
    partitions = added["partition"].struct.unnest() if "partition" in added.columns else pl.DataFrame()
    deleted, parts = _deleted_rows(log, folder), []
    for row, address in enumerate(added["path"]):
        path = _local(folder, address)
        if not path.is_file():
            raise UserError(f"{path}: no such file; the log of the Delta Lake table {folder} names it")
        table = open_one(path)
        constants = partitions.row(row, named=True) if partitions.width else {}
        constants |= {name: None for name in names if name not in (*table.names, *constants)}
        parts.append(Part(table, constants, deleted.get(path.resolve()), partitions.schema))
    _tell(folder, log.version(), len(parts))
    return JoinedTable(folder, tuple(parts))


@cache
def _tell(folder: Path, version: int, files: int) -> None:
    """Say once what is read: headers, fingerprint and rows are read by opening the table anew."""
    logger.info("%s: a Delta Lake table at version %d; files that are read: %d", folder, version, files)


def _open_log(folder: Path) -> Any:
    if find_spec("deltalake") is None:
        raise UserError(f"{folder}: a Delta Lake table; {not_installed('deltalake', 'delta')}")
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(folder.resolve())
    except (DeltaError, OSError) as error:
        raise _unreadable(folder, error) from error


def _deleted_rows(log: Any, folder: Path) -> Mapping[Path, LongArray]:
    """File → numbers of its rows that were deleted (deletion vectors), ascending."""
    from deltalake.exceptions import DeltaError

    try:
        kept = pl.DataFrame(log.deletion_vectors())
    except (DeltaError, OSError) as error:
        raise _unreadable(folder, error) from error
    places = (Path(url2pathname(urlsplit(address).path)).resolve() for address in kept["filepath"])
    return {
        place: np.flatnonzero(~rows.to_numpy()) for place, rows in zip(places, kept["selection_vector"], strict=True)
    }


def _local(folder: Path, address: str) -> Path:
    """Where a file of the log lies: within the folder, or elsewhere on this machine (of tables that were cloned)."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if parts.scheme:
        raise UserError(f"{folder}: a Delta Lake table whose file lies elsewhere, {address}; only local files are read")
    return folder / unquote(address)


def _unreadable(folder: Path, error: Exception) -> UserError:
    said = (str(error).splitlines() or [""])[0]
    return UserError(f"{folder}: this Delta Lake table cannot be read ({said[:SAID]}{'…' * (len(said) > SAID)})")
