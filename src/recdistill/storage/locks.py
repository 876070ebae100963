"""A lock file that keeps other processes out, says which process holds it, and is taken away in the end."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from recdistill.errors import UserError
from recdistill.storage.files import disk_errors

SAY_SECONDS = 1.0
"""How long a process that comes too late waits for the number of the one that holds the lock."""


@contextmanager
def locked(path: Path, taken: str, wanted: Path) -> Iterator[None]:
    """Hold the lock file `path` for the time of the block; a killed process's file holds nobody up.

    Args:
        path: the file; its folder is made.
        taken: what is said where another process holds it; its number is put behind, where it says one.
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
        with file:
            number = _holder(file)
        raise UserError(taken + (f" (process {number})" if number else "")) from error
    return file


def _holder(file: TextIO) -> int | None:
    """The number of the process that holds a lock file, or None where it does not say within `SAY_SECONDS`.

    A process takes the lock a moment before it writes its number, and one that was killed leaves its own there.
    """
    until = time.monotonic() + SAY_SECONDS
    while True:
        file.seek(0)
        number = file.read().strip()
        if number.isdigit() and _lives(int(number)):
            return int(number)
        if time.monotonic() > until:
            return None
        time.sleep(0.01)


def _lives(process: int) -> bool:
    """Whether there is a process of this number; 0 and numbers that no process can have are none."""
    try:
        os.kill(process, 0)
    except PermissionError:  # It is another user's.
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return process > 0


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether an open file is the one that stands at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
