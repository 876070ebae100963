"""The files of a step's folder: `manifest.json` holds size and checksum of each, and its own.

A folder that an earlier version wrote has no checksums; it is read as it is.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from recdistill.storage.checksums import (
    CHECKSUM,
    DamagedError,
    check_files,
    held_files,
    read_record,
    read_sealed,
    sealed,
)
from recdistill.storage.files import write_json
from recdistill.storage.manifest import Manifest

MANIFEST_FILE = "manifest.json"
SHAPE_FILE = "student.json"
"""Shape of a trained student. It is written last: where it is, the weights are there."""


def write_manifest(folder: Path, manifest: Mapping[str, Any], files: Collection[str] | None = ()) -> None:
    """Write a manifest with size and checksum of files.

    Args:
        folder: of the step.
        manifest: all else it holds.
        files: names; None: every file of the folder. Those that are not there are left out.
    """
    names = None if files is None else [name for name in files if (folder / name).is_file()]
    held = held_files(folder, names)
    held.pop(MANIFEST_FILE, None)
    plain = {key: value for key, value in manifest.items() if key not in ("files", CHECKSUM)}
    write_json(folder / MANIFEST_FILE, sealed(plain | {"files": held}))


def read_manifest(folder: Path) -> Manifest | None:
    """What a step recorded; None where it has not finished.

    Raises:
        DamagedError: it is not as it was written.
        UserError: it cannot be read, or another version wrote it.
    """
    path = folder / MANIFEST_FILE
    return read_sealed(path, Manifest) if path.is_file() else None


def check_step(folder: Path, names: Collection[str] | None = None) -> Manifest | None:
    """Compare a step's files with its manifest, each once a process.

    Args:
        folder: of the step, or of a part of what `add-items` wrote, whose record is beside it.
        names: look at these alone; None: at all.

    Returns:
        The manifest; None where there is none.

    Raises:
        DamagedError: a file is missing or not as it was written; it is named.
    """
    manifest = read_manifest(folder)
    if manifest is not None:
        check_files(folder, manifest.get("files", {}), names)
    elif (beside := read_record(folder.parent)) is not None:
        wanted = [name for name in beside if _is_in(name, folder.name, names)]
        check_files(folder.parent, beside, wanted)
    return manifest


def checked(path: Path) -> Path:
    """The path of a step's file, which is compared with the step's manifest.

    Raises:
        DamagedError: it is missing or not as it was written.
    """
    check_step(path.parent, [path.name])
    return path


def damage_of(folder: Path) -> str:
    """What is wrong with a step's finished folder, in a line; empty where nothing is, or where there is none."""
    try:
        if folder.is_dir() and check_step(folder) is None:
            return str(DamagedError(folder / MANIFEST_FILE, "missing"))
    except DamagedError as error:
        return str(error)
    return ""


def _is_in(name: str, folder: str, names: Collection[str] | None) -> bool:
    first, _, rest = name.partition("/")
    return first == folder and (names is None or rest in names)
