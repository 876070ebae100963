"""Table formats: folders of Parquet files beside a log that says which of them count.

Of such a folder not every file is part of the table: files that were replaced or deleted stay until somebody cleans up.
Read as plain files they give those rows too, without a word.
"""

from pathlib import Path

from recdistill.errors import UserError

DELTA_LOG = "_delta_log"
FORMATS = {".hoodie": "an Apache Hudi table", "_spark_metadata": "what Spark's structured streaming wrote"}
"""Folders that hold a log, and what they are the log of."""


def is_delta(folder: Path) -> bool:
    """Whether the folder is a Delta Lake table."""
    return (folder / DELTA_LOG).is_dir()


def refuse_table_formats(folder: Path) -> None:
    """See that plain files may be read from the folder: neither it nor a folder in it has a log of its files.

    Raises:
        UserError: one has.
    """
    for inside in (folder, *sorted(path for path in folder.rglob("*") if path.is_dir())):
        if is_delta(inside):
            raise UserError(f"{inside}: a Delta Lake table within the folder that is read; name the table itself")
        for name, what in FORMATS.items():
            if (inside / name).is_dir():
                raise _not_read(inside, what)
        if inside.name == "metadata" and any(inside.glob("*.metadata.json")):
            raise _not_read(inside.parent, "an Apache Iceberg table")


def _not_read(folder: Path, what: str) -> UserError:
    return UserError(
        f"{folder}: {what}: only its log tells which files count, and that is not read here; write the rows as plain "
        "Parquet files"
    )
