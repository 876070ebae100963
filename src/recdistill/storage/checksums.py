"""Size and sha256 of files, kept beside them by whoever wrote them, and compared before the files are used.

A record is a JSON object with `files` (name → bytes, sha256) and with `checksum`, the sha256 of all else in it, so that
the record is as hard to damage unseen as the files. It is written last. Records from before there were checksums have
neither key and are taken as they are.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, TypeVar

from recdistill.errors import UserError
from recdistill.storage.files import read_errors, read_json, sha256_of, write_json
from recdistill.storage.typed import typed

CHECKSUM = "checksum"
"""Key of a record's own checksum."""
FILES_FILE = "files.json"
"""The record of a folder that has no manifest of its own."""
NOT_READ = ("tensorboard",)
"""Folders that nobody reads back: they may be thrown away."""
MOST_THREADS = 4

T = TypeVar("T")


class DamagedError(UserError):
    """A file is not as it was written: truncated, changed, missing, or another file in its place.

    Attributes:
        path: the file.
        why: what is wrong with it.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: damaged ({why})")
        self.path, self.why = path, why


class Held(TypedDict):
    """A file's size in bytes and its sha256."""

    bytes: int
    sha256: str


Files = dict[str, Held]
"""By name, as seen from the folder of the record."""


class Record(TypedDict):
    """`files.json`."""

    files: Files
    checksum: str


class _Identity(NamedTuple):
    """What changes when a file does."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


_read: dict[_Identity, str] = {}
"""The checksums of files that this process has read whole: it reads none twice."""


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its own checksum."""
    return {**value, CHECKSUM: _checksum(value)}


def read_sealed(path: Path, kind: type[T]) -> T:
    """Read an object that :func:`sealed` made, or one from before there were checksums.

    Raises:
        DamagedError: it is no JSON, its checksum is another, or it lacks one and has keys that no version wrote.
        UserError: it cannot be read, or another version wrote it.
    """
    with read_errors(path):
        path.open("rb").close()
    try:
        value = read_json(path)
    except UserError as error:
        raise DamagedError(path, str(error).removeprefix(f"{path}:").strip()) from error
    if not isinstance(value, dict):
        raise DamagedError(path, "not an object")
    if CHECKSUM in value:
        if value[CHECKSUM] != _checksum(value):
            raise DamagedError(path, "its checksum is another")
        return typed(value, kind, str(path))
    try:
        return typed(value, kind, str(path))
    except UserError as error:
        raise DamagedError(path, str(error).removeprefix(f"{path}: ")) from error


def held_files(folder: Path, names: Iterable[str] | None = None) -> Files:
    """Size and sha256 of files in a folder, in the order of their names.

    Args:
        folder: where they are.
        names: of the files; None: all below the folder, without those that nobody reads back.
    """
    chosen = sorted(_names(folder) if names is None else names)
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda name: _held(folder / name), chosen)
        return dict(zip(chosen, found, strict=True))


def check_files(folder: Path, files: Files, names: Collection[str] | None = None) -> None:
    """Compare files with what was written down of them: sizes first, then contents, which are read once a process.

    Args:
        folder: where they are.
        files: what was written down.
        names: look at these alone; None: at all.

    Raises:
        DamagedError: a file is missing, of another size, or of other content; the first of them is named.
        UserError: one may not be read.
    """
    chosen = [name for name in files if names is None or name in names]
    for name in chosen:
        _check_size(folder / name, files[name])
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        for path, digest, held in pool.map(lambda name: (folder / name, _digest(folder / name), files[name]), chosen):
            if digest != held["sha256"]:
                raise DamagedError(path, "its checksum is another")


def write_record(folder: Path, name: str = FILES_FILE, files: Iterable[str] | None = None) -> None:
    """Write down all files of a folder, or these of them; call it when they are whole.

    Args:
        folder: the folder.
        name: the record's file in it.
        files: names; None: every file but the record.
    """
    chosen = [one for one in _names(folder) if one != name] if files is None else files
    write_json(folder / name, sealed({"files": held_files(folder, chosen)}))


def read_record(folder: Path, name: str = FILES_FILE) -> Files | None:
    """What :func:`write_record` wrote down; None where there is no such record.

    Raises:
        DamagedError: it is not as it was written.
    """
    path = folder / name
    return read_sealed(path, Record)["files"] if path.is_file() else None


def is_whole(folder: Path, name: str) -> bool:
    """Whether a record is there and its files are as they were when it was written."""
    try:
        files = read_record(folder, name)
        if files is not None:
            check_files(folder, files)
    except DamagedError:
        return False
    return files is not None


def _names(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if not set(path.parts) & set(NOT_READ)]


def _checksum(value: Mapping[str, Any]) -> str:
    plain = {key: one for key, one in value.items() if key != CHECKSUM}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _held(path: Path) -> Held:
    return {"bytes": path.stat().st_size, "sha256": _digest(path)}


def _check_size(path: Path, held: Held) -> None:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedError(path, "missing") from error
    if not path.is_file():
        raise DamagedError(path, "not a file")
    if size != held["bytes"]:
        raise DamagedError(path, f"{size:,} bytes, where {held['bytes']:,} were written")


def _digest(path: Path) -> str:
    """A file's sha256; it is read once a process as long as it stays as it is."""
    with read_errors(path):
        identity = _identity(path)
        digest = _read.get(identity)
        if digest is None:
            digest = sha256_of(path)
            if _identity(path) == identity:
                _read[identity] = digest
    return digest


def _identity(path: Path) -> _Identity:
    found = path.stat()
    return _Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
