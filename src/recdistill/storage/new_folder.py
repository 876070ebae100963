"""A folder that is there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recdistill.errors import UserError
from recdistill.storage.files import UMASK, disk_errors


@contextmanager
def new_folder(out: Path, replaces: str = "") -> Iterator[Path]:
    """A folder beside `out` to write to, which takes its name when the block ends well and is gone otherwise.

    Args:
        out: the folder to write.
        replaces: a file's name: a folder that holds such a file may be there already, and is replaced. Empty: none may.

    Raises:
        UserError: `out` is there and may not be replaced, or it may not be written, or the disk is full.
    """
    if os.path.lexists(out) and not (replaces and (out / replaces).is_file() and not out.is_symlink()):
        raise UserError(f"out: {out} is there already; choose another folder")
    try:
        with disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"out: {out.parent} is not a folder") from error
    try:
        with disk_errors(out):
            yield folder
            folder.chmod(0o777 & ~UMASK)  # `mkdtemp` gives rights to the owner alone
            _take_place(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _take_place(folder: Path, out: Path) -> None:
    """Give `folder` the name `out`; a folder that had it is removed when it is out of the way."""
    if not out.exists():
        folder.rename(out)
        return
    before = out.with_name(f"{folder.name}.before")
    out.rename(before)
    folder.rename(out)
    shutil.rmtree(before)
