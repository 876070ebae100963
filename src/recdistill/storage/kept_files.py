"""Files that a later process resumes from, in the user's cache or beside a checkpoint.

Each has a record of its size and checksum beside it, and is compared before it is used.
"""

import logging
from pathlib import Path

from recdistill.storage.checksums import DamagedError, check_files, read_record, write_record

logger = logging.getLogger("recdistill")


def is_kept(path: Path, without_record: bool = False) -> bool:
    """Whether the file is there as it was written; a damaged one is told, so that it is made again.

    Args:
        path: the file.
        without_record: take one that has no record as it is: versions before there were records left such files.
    """
    try:
        files = read_record(path.parent, _record(path))
        if files is None and path.is_file() and not without_record:
            raise DamagedError(path.with_name(_record(path)), "missing")
        if files is not None:
            if path.name not in files:
                raise DamagedError(path.with_name(_record(path)), f"says nothing of {path.name}")
            check_files(path.parent, files)
    except DamagedError as error:
        logger.warning("made again, since %s", error)
        return False
    return path.is_file()


def keep(path: Path) -> None:
    """Write down the size and checksum of a file that is whole."""
    write_record(path.parent, _record(path), [path.name])


def _record(path: Path) -> str:
    return f"{path.stem}.files.json"
