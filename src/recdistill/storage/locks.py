"""A lock file that keeps other processes out, says which process holds it, and is taken away in the end."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from recdistill.errors import UserError
from recdistill.storage.files import disk_errors


@contextmanager
def locked(path: Path, taken: str, wanted: Path) -> Iterator[None]:
    """Hold the lock file `path` for the time of the block; a killed process's file holds nobody up.

    Args:
        path: the file; its folder is made.
        taken: what is said where another process holds it; its number is put behind.
        wanted: what the lock is for, for messages.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    while not _is_at(file := _locked_file(path, taken, wanted), path):
        file.close()  # Whoever held it before has removed it: the lock is on a file that nobody else will find.
    with file:
        try:
            with disk_errors(path):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
            yield
        finally:
            with disk_errors(wanted):
                path.unlink(missing_ok=True)


def _locked_file(path: Path, taken: str, wanted: Path) -> TextIO:
    with disk_errors(wanted):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{taken.partition(':')[0]}: {path.parent} is not a folder") from error
        file = path.open("a+", encoding="ascii", errors="replace")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        number = file.read().strip()
        file.close()
        raise UserError(taken + (f" (process {number})" if number.isdigit() else "")) from error
    return file


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether an open file is the one that stands at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
