"""A run's folder: one folder a step, finished or not there.

    runs/<name>/
      prepare/  student/  teacher/  teacher_outputs/  distilled/  evaluation/  report/
        manifest.json   what ran: step, fingerprint, inputs, configuration, version of the code, environment, when
        timings.json    {"phases": {name: seconds}}
        memory.json     {"phases": {name: {"peak_rss_gib": …, …}}}

A step works in `<step>.partial` and takes its name when it is done, so a folder with a step's name is always whole. An
interrupted step finds its checkpoints in the partial folder and goes on from there, if its fingerprint is unchanged.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO, TypeVar

from recdistill.errors import UserError
from recdistill.interruption import deferred
from recdistill.storage.files import clear_temporary, disk_errors, write_json
from recdistill.storage.manifest import Environment, Inputs, Manifest, Memory, Timings
from recdistill.storage.typed import read_optional, read_typed
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
        """Go on from what an earlier try had written."""


P = TypeVar("P", bound=Recorder)


class RunFolder:
    """The steps of one run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def step(self, name: str) -> Path:
        """The folder of a finished step."""
        return self.path / name

    def manifest(self, name: str) -> Manifest | None:
        """What a finished step recorded; None where it has not finished."""
        return read_optional(self.step(name) / "manifest.json", Manifest)

    def is_finished(self, name: str, expected: str) -> bool:
        """Whether the step has finished with this fingerprint."""
        manifest = self.manifest(name)
        return manifest is not None and manifest["fingerprint"] == expected

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of this run for the time of the block.

        Raises:
            UserError: another process works in it, or the folder may not be written.
        """
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        while not _is_at(file := self._locked_file(), self.path / ".lock"):
            file.close()  # Whoever held it before has removed it: the lock is on a file that nobody else will find.
        try:
            yield
        finally:
            (self.path / ".lock").unlink(missing_ok=True)
            file.close()
            for folder in made:
                try:
                    folder.rmdir()
                except OSError:  # It holds something, or another run that came to nothing was faster.
                    break

    def _locked_file(self) -> TextIO:
        """The open lock file, locked; see :meth:`lock`."""
        with disk_errors(self.path):
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise UserError(f"run: {self.path} is not a folder") from error
            file = (self.path / ".lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise UserError(f"run: {self.path} is in use by another recdistill process") from error
        return file

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
    ) -> Iterator[tuple[Path, P]]:
        """Do a step: give its partial folder and a running profiler; name the folder properly when the block ends well.

        Args:
            name: the step.
            expected: its fingerprint; a partial folder with another one is thrown away.
            config: the step's part of the configuration, for the manifest.
            inputs: fingerprints of what the step reads.
            environment: where it runs.
            profiler: measures the step; what an earlier try measured is restored into it.
            resumable: whether an interrupted try leaves something to go on from.
            results: the count of the step's results (:mod:`recdistill.steps`), for the manifest.
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
        if (partial / "memory.json").is_file() and (partial / "timings.json").is_file():
            profiler.restore(read_typed(partial / "timings.json", Timings), read_typed(partial / "memory.json", Memory))
        try:
            write_json(partial / "manifest.json", manifest)
            with profiler, disk_errors(partial):
                yield partial, profiler
            profiler.write(partial)
            manifest |= {"status": "finished", "finished": _now(), "seconds": _since(began, manifest)}
            write_json(partial / "manifest.json", manifest)
        except BaseException:
            if resumable:
                with disk_errors(partial):
                    manifest["seconds"] = _since(began, manifest)
                    profiler.write(partial)
                    write_json(partial / "manifest.json", manifest)
            else:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        self._take_name(partial, name)

    def _open_partial(self, partial: Path, expected: str, resumable: bool) -> Manifest | None:
        """Keep a partial folder to go on from, of the same fingerprint, and return its manifest; else begin empty."""
        if resumable and (partial / "manifest.json").is_file():
            manifest = read_typed(partial / "manifest.json", Manifest)
            if manifest["fingerprint"] == expected:
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


def changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys in which two configurations differ, each as `key: old → new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [
            line for key in keys for line in changed_keys(old.get(key), new.get(key), f"{prefix}.{key}".lstrip("."))
        ]
    if isinstance(old, list) and isinstance(new, tuple):  # JSON has no tuples
        new = list(new)
    return [] if old == new else [f"{prefix}: {old!r} → {new!r}"]


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether an open file is the one that stands at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _since(began: float, manifest: Manifest) -> float:
    """Seconds of all tries: of those before, and since this one began."""
    return round(manifest.get("seconds", 0.0) + time.perf_counter() - began, 3)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
