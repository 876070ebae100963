"""`recdistill check`: what of a folder is whole, damaged, missing or unfinished; nothing is changed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from recdistill.errors import UserError
from recdistill.steps import SPECS, STEPS
from recdistill.storage.checksums import FILES_FILE, DamagedError, check_files, read_record
from recdistill.storage.step_files import MANIFEST_FILE, check_step, read_manifest

State = Literal["whole", "no checksum recorded", "unfinished", "missing", "damaged"]
BAD: tuple[State, ...] = ("missing", "damaged")
"""States that make the command end with status 2."""


@dataclass(frozen=True)
class Part:
    """A part of a folder.

    Attributes:
        path: as seen from the folder; `.` is the folder itself.
        state: of its files.
        files: how many have a checksum.
        bytes: of these.
        told: what is wrong, or what stands in for it.
    """

    path: str
    state: State
    files: int = 0
    bytes: int = 0
    told: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether something is damaged or missing."""
        return self.state in BAD


def check_run(folder: Path) -> list[Part]:
    """Look at all that lies in a run's folder, or a study's or a bench's, whose runs are looked at one by one.

    Raises:
        UserError: it holds nothing that this package wrote.
    """
    found = [part for run in _runs(folder) for part in _parts(run, folder)]
    if not found:
        raise UserError(f"{folder}: neither a run, a study, nor what add-items wrote")
    return found


def step_part(folder: Path, below: Path) -> Part:
    """A finished step's folder, all files of which are read."""
    name = _name(folder, below)
    try:
        manifest = check_step(folder)
    except DamagedError as error:
        return Part(name, "damaged", told=str(error))
    if manifest is None:
        return Part(name, "missing", told=f"{folder / MANIFEST_FILE} is missing")
    files = manifest.get("files")
    if files is None:
        return Part(name, "no checksum recorded", told="an earlier version wrote it")
    return Part(name, "whole", len(files), sum(one["bytes"] for one in files.values()))


def as_text(parts: list[Part], as_json: bool) -> str:
    """A table of the parts, or one JSON object."""
    if as_json:
        return json.dumps({"whole": not any(part.is_bad for part in parts), "parts": [asdict(part) for part in parts]})
    wide = max(len(part.path) for part in parts)
    lines = []
    for part in parts:
        size = f"{part.files:5,} files {part.bytes / 2**20:10,.1f} MiB" if part.files else ""
        lines.append(f"{part.path:{wide}}  {part.state:20}  {size or part.told}".rstrip())
    return "\n".join(lines)


def _runs(folder: Path) -> list[Path]:
    """The folder, where it is a run; the runs of a study; a bench's shared one; a tuned run's is the folder itself."""
    runs = [path for path in sorted(folder.glob("*/seed-*")) if path.is_dir()]
    shared = folder / "shared"
    return [folder, *runs, *([shared] if shared.is_dir() else [])]


def _parts(run: Path, below: Path) -> Iterator[Part]:
    if (run / FILES_FILE).is_file():
        yield _record_part(run, below)
        return
    for spec in STEPS:
        step = run / spec.folder
        if step.is_dir():
            yield step_part(step, below)
        elif read_by := _read_by(run, spec.folder):
            yield Part(_name(step, below), "missing", told=f"{read_by} was made from it")
        for end in ("partial", "old", "linking"):
            if (left := run / f"{spec.folder}.{end}").is_dir():
                yield Part(_name(left, below), "unfinished", told="the same command resumes it or removes it")


def _record_part(run: Path, below: Path) -> Part:
    try:
        files = read_record(run) or {}
        check_files(run, files)
    except DamagedError as error:
        return Part(_name(run, below), "damaged", told=str(error))
    return Part(_name(run, below), "whole", len(files), sum(one["bytes"] for one in files.values()))


def _read_by(run: Path, folder: str) -> str:
    """A finished step that was made from the step of this folder; empty: there is none."""
    name = next(spec.name for spec in STEPS if spec.folder == folder)
    for spec in STEPS:
        try:
            manifest = read_manifest(run / spec.folder)
        except DamagedError:
            continue
        if manifest is None:
            continue
        reads = spec.name != "prepare" if name == "prepare" else SPECS[name].as_input in manifest["inputs"]
        if reads:
            return spec.folder
    return ""


def _name(path: Path, below: Path) -> str:
    return path.relative_to(below).as_posix()
