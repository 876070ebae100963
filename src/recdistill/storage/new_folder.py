"""A folder that is there whole or not at all.

What is written lies beside it under a hidden name, `.<name>.new`; what it replaces is `.<name>.before` for a moment. A
process that is killed leaves these behind; whoever writes or reads the folder next puts them right.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recdistill.errors import UserError
from recdistill.interruption import deferred
from recdistill.storage.files import UMASK, disk_errors
from recdistill.storage.locks import locked


@contextmanager
def new_folder(out: Path, replaces: str = "") -> Iterator[Path]:
    """A folder beside `out` to write to, which takes its name when the block ends well and is gone otherwise.

    Args:
        out: the folder to write.
        replaces: a file's name: a folder that holds such a file may be there already, and is replaced. Empty: none may.

    Raises:
        UserError: `out` is there and may not be replaced, another process writes it, or it may not be written, or the
            disk is full.
    """
    out = out if out.name else out.resolve()
    _refuse_there(out, replaces)
    with _only_writer(out):
        _repair(out)
        _refuse_there(out, replaces)
        folder = _hidden(out, "new")
        try:
            with disk_errors(out):
                folder.mkdir()
                yield folder
                folder.chmod(0o777 & ~UMASK)
                _take_place(folder, out)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _refuse_there(out: Path, replaces: str) -> None:
    if os.path.lexists(out) and not (replaces and (out / replaces).is_file() and not out.is_symlink()):
        raise UserError(f"out: {out} is there already; choose another folder")


def repaired(out: Path) -> Path:
    """The same path; first, what a killed writer left beside it is put right, where none writes there now.

    Between two renames the older folder has a hidden name alone: it gets its own back.
    """
    if out.name and any(_hidden(out, end).is_dir() for end in ("new", "before")) and os.access(out.parent, os.W_OK):
        try:
            with _only_writer(out):
                _repair(out)
        except UserError:  # Somebody writes there now, and will put it right.
            return out
    return out


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Keep other writers of `out` away for the time of the block.

    Raises:
        UserError: another process writes it, or the folder around it cannot be had.
    """
    path = _hidden(out, "lock")
    with locked(path, f"out: {out} is being written by another recdistill process", out):
        yield


def _repair(out: Path) -> None:
    """Give `out` back what was there before, if it has lost its name, and remove what is left of a killed process."""
    before, new = _hidden(out, "before"), _hidden(out, "new")
    with disk_errors(out):
        if before.is_dir() and not os.path.lexists(out):
            before.rename(out)
        for left in (before, new):
            shutil.rmtree(left, ignore_errors=True)


def _hidden(out: Path, end: str) -> Path:
    return out.with_name(f".{out.name}.{end}")


def _take_place(folder: Path, out: Path) -> None:
    """Give `folder` the name `out`; a folder that had it is removed when it is out of the way."""
    if not out.exists():
        folder.rename(out)
        return
    before = _hidden(out, "before")
    with deferred():
        out.rename(before)
        try:
            folder.rename(out)
        except OSError:
            before.rename(out)
            raise
        shutil.rmtree(before)
