"""Table formats: folders of Parquet files beside a log that says which of them count.

Of such a folder not every file is part of the table: files that were replaced or deleted stay until somebody cleans up.
Read as plain files they give those rows too.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from recdistill.errors import UserError
from recdistill.storage.files import read_errors

logger = logging.getLogger("recdistill")

DELTA_LOG = "_delta_log"
FORMATS = {".hoodie": "an Apache Hudi table", "_spark_metadata": "what Spark's structured streaming wrote"}
"""Folders that hold a log, and what they are the log of."""


def is_delta(folder: Path) -> bool:
    """Whether the folder is a Delta Lake table; False where it cannot be looked into."""
    return _is_folder(folder / DELTA_LOG)


def plain_files(folder: Path) -> Iterator[Path]:
    """All files in the folder and the folders in it but hidden ones (`.x`, `_x`).

    Links to folders are not followed, which is logged, as are links to nothing.

    Raises:
        UserError: the folder, one in it or one that it lies in has a log that says which files count.
    """
    for above in folder.resolve().parents:
        if (what := _format(above)) is not None:
            raise UserError(f"{folder}: a part of {above}, which is {what}; name the table itself")
    for place, folders, files in os.walk(folder):
        inside = Path(place)
        if is_delta(inside):
            raise UserError(f"{inside}: a Delta Lake table within the folder that is read; name the table itself")
        if (what := _format(inside)) is not None:
            raise UserError(
                f"{inside}: {what}: which of its files count stands in its log, which is not read; write the rows as "
                "plain Parquet files"
            )
        folders[:] = [name for name in folders if not _is_hidden(name)]
        seen = [inside / name for name in files if not _is_hidden(name)]
        for link in (path for path in (*map(inside.joinpath, folders), *seen) if path.is_symlink()):
            if _is_folder(link) or not link.exists():
                logger.warning("%s: a link to a folder, or to nothing, is passed over", link)
        yield from seen


def _format(folder: Path) -> str | None:
    """What the folder is by the log in it; None: plain files."""
    if is_delta(folder):
        return "a Delta Lake table"
    if any(map(_is_of_iceberg, folder.glob("metadata/*.metadata.json"))):
        return "an Apache Iceberg table"
    return next((what for name, what in FORMATS.items() if _is_folder(folder / name)), None)


def _is_of_iceberg(path: Path) -> bool:
    """Whether a file of metadata is that of an Iceberg table."""
    with read_errors(path):
        return b'"format-version"' in path.read_bytes()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
