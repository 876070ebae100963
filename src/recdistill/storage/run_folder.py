"""A run's folder: one folder a step, finished or not there.

    runs/<name>/
      prepare/  student/  teacher/  teacher_outputs/  distilled/  evaluation/  report/
        manifest.json   what ran: step, fingerprint, inputs, configuration, version of the code, environment, when;
                        size and checksum of each file, and its own; written last
        timings.json    {"phases": {name: seconds}}
        memory.json     {"phases": {name: {"peak_rss_gib": …, …}}}

A step works in `<step>.partial` and takes its name when it is done, so a folder with a step's name was whole once; its
files are compared with the manifest before they are used (:mod:`recdistill.storage.step_files`). An interrupted step
finds its checkpoints in the partial folder and resumes from there, if its fingerprint is unchanged.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from recdistill.errors import UserError
from recdistill.interruption import deferred
from recdistill.storage.checksums import DamagedError, check_files
from recdistill.storage.files import clear_temporary, disk_errors
from recdistill.storage.locks import locked
from recdistill.storage.manifest import Environment, Inputs, Manifest, Memory, Timings
from recdistill.storage.step_files import damage_of, read_manifest, write_manifest
from recdistill.storage.typed import JsonValue, read_typed
from recdistill.version import __version__

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger("recdistill")

FORMAT = 1
"""Raised when a step's files change their form, so that old ones are made again."""


def fingerprint(*parts: Any) -> str:
    """Sixteen hex digits that name these values: dataclasses, dicts, lists, text, numbers, None."""
    plain = [asdict(part) if is_dataclass(part) and not isinstance(part, type) else part for part in parts]
    text = json.dumps([FORMAT, *plain], sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Recorder(Protocol):
    """Measures a step while it runs, and writes and reads back what it measured."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def write(self, folder: Path) -> None:
        """Write `timings.json` and `memory.json`."""

    def restore(self, timings: Timings, memory: Memory) -> None:
        """Resume from what an earlier try had written."""


P = TypeVar("P", bound=Recorder)


class RunFolder:
    """The steps of one run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def step(self, name: str) -> Path:
        """The folder of a finished step."""
        return self.path / name

    def damage(self, name: str) -> str:
        """What is wrong with a finished step's files, in a line; empty where nothing is, or it has not finished."""
        return damage_of(self.step(name))

    def manifest(self, name: str) -> Manifest | None:
        """What a finished step recorded; None where it has not finished, or where its files are damaged."""
        return None if self.damage(name) else read_manifest(self.step(name))

    def is_finished(self, name: str, expected: str) -> bool:
        """Whether the step has finished with this fingerprint, and its files are whole."""
        manifest = self.manifest(name)
        return manifest is not None and manifest["fingerprint"] == expected

    def take_finished(self, name: str, expected: str) -> bool:
        """Give a step its name that was finished, and cut off before it had it; whether there was such a one."""
        partial = self.path / f"{name}.partial"
        if not partial.is_dir() or damage_of(partial):
            return False
        manifest = read_manifest(partial)
        if manifest is None or (manifest.get("status"), manifest["fingerprint"]) != ("finished", expected):
            return False
        self._take_name(partial, name)
        return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of this run for the time of the block.

        Raises:
            UserError: another process works in it, or the folder may not be written.
        """
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            with locked(self.path / ".lock", f"run: {self.path} is in use by another recdistill process", self.path):
                self._clear_renamed()
                yield
        finally:
            for folder in made:
                try:
                    folder.rmdir()
                except OSError:  # It holds something, or another run that came to nothing was faster.
                    break

    def _clear_renamed(self) -> None:
        """Put away what a process left that was killed while one finished folder took another's place."""
        for old in self.path.glob("*.old"):
            with disk_errors(old):
                if old.with_suffix("").exists():
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    old.rename(old.with_suffix(""))
        for half in self.path.glob("*.linking"):
            shutil.rmtree(half, ignore_errors=True)

    @contextmanager
    def work_on(
        self,
        name: str,
        expected: str,
        config: "DataclassInstance",
        inputs: Inputs,
        environment: Environment,
        profiler: P,
        resumable: bool = True,
        results: int = 1,
        chosen: Mapping[str, JsonValue] | None = None,
    ) -> Iterator[tuple[Path, P]]:
        """Do a step: give its partial folder and a running profiler; name the folder properly when the block ends well.

        Args:
            name: the step.
            expected: its fingerprint; a partial folder with another one is thrown away.
            config: the step's part of the configuration, for the manifest.
            inputs: fingerprints of what the step reads.
            environment: where it runs.
            profiler: measures the step; what an earlier try measured is restored into it.
            resumable: whether an interrupted try leaves something to resume from.
            results: the count of the step's results (:mod:`recdistill.steps`), for the manifest.
            chosen: what the block filled it with goes into the finished step's manifest.
        """
        partial = self.path / f"{name}.partial"
        before = self._open_partial(partial, expected, resumable)
        manifest: Manifest = {
            "step": name,
            "status": "running",
            "fingerprint": expected,
            "inputs": inputs,
            "config": asdict(config),
            "code": {"version": __version__, "results": results},
            "environment": environment,
            "started": _now(),
            "attempts": 1,
        }
        if before is not None:
            manifest |= {
                "started": before.get("started") or _now(),
                "attempts": before.get("attempts", 0) + 1,
                "seconds": before.get("seconds", 0.0),
            }
        began = time.perf_counter()
        if before is not None:
            _restore(profiler, partial, before)
        try:
            write_manifest(partial, manifest, MEASURED)
            with profiler, disk_errors(partial):
                yield partial, profiler
            profiler.write(partial)
            clear_temporary(partial)
            manifest |= {"status": "finished", "finished": _now(), "seconds": _since(began, manifest)}
            if chosen:
                manifest["chosen"] = {**chosen}
            with disk_errors(partial):
                write_manifest(partial, manifest, None)
        except BaseException:
            if resumable:
                with disk_errors(partial):
                    manifest["seconds"] = _since(began, manifest)
                    profiler.write(partial)
                    write_manifest(partial, manifest, MEASURED)
            else:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        self._take_name(partial, name)

    def _open_partial(self, partial: Path, expected: str, resumable: bool) -> Manifest | None:
        """Keep a partial folder to resume from, of the same fingerprint, and return its manifest; else begin empty."""
        try:
            manifest = read_manifest(partial) if resumable else None
        except DamagedError as error:
            logger.warning("%s: begins anew, since %s", partial.stem, error)
            manifest = None
        if manifest is not None and manifest["fingerprint"] == expected:
            logger.info("%s: was interrupted before; what it had saved is read back", partial.stem)
            clear_temporary(partial)
            return manifest
        shutil.rmtree(partial, ignore_errors=True)
        with disk_errors(partial):
            partial.mkdir(parents=True)
        return None

    def _take_name(self, partial: Path, name: str) -> None:
        """Put the finished folder in the place of an older one."""
        target, old = self.step(name), self.path / f"{name}.old"
        with deferred():
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                target.rename(old)
            partial.rename(target)
            shutil.rmtree(old, ignore_errors=True)


MEASURED = ("timings.json", "memory.json")
"""What an interrupted try leaves of its measurements."""


def _restore(profiler: Recorder, partial: Path, before: Manifest) -> None:
    """Resume from what an interrupted try measured; where that is damaged, count from here on."""
    files = [partial / name for name in MEASURED]
    if not all(path.is_file() for path in files):
        return
    try:
        check_files(partial, before.get("files", {}), MEASURED)
        profiler.restore(read_typed(files[0], Timings), read_typed(files[1], Memory))
    except UserError as error:
        logger.warning("%s: times and memory of the interrupted try are left out, since %s", partial.stem, error)


def _since(began: float, manifest: Manifest) -> float:
    """Seconds of all tries: of those before, and since this one began."""
    return round(manifest.get("seconds", 0.0) + time.perf_counter() - began, 3)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
