"""What finished runs left of their evaluation, and whether it may be set side by side."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recdistill.data.prepared import LongArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.results import Metrics
from recdistill.steps import SPECS, STEPS, behind
from recdistill.storage.checksums import DamagedError
from recdistill.storage.files import map_array
from recdistill.storage.manifest import Environment, Manifest, Timings
from recdistill.storage.names import is_own_name
from recdistill.storage.step_files import MANIFEST_FILE, check_step, checked, read_manifest
from recdistill.storage.typed import JsonValue, read_typed, typed

logger = logging.getLogger("recdistill")

FOLDERS = tuple(spec.folder for spec in STEPS)
METRICS_FILE, TIMES_FILE = "metrics.json", "timings.json"
NOT_WORK = (SPECS["report"].folder,)
"""Steps that change no number."""


def not_evaluated(evaluation: Manifest) -> tuple[str, ...]:
    """Folders of steps that a run's evaluation was made without, though an earlier one may have left them there.

    Args:
        evaluation: the manifest of the finished evaluation.
    """
    inputs = evaluation["inputs"]
    evaluated = [step for step in SPECS["evaluate"].reads if SPECS[step].as_input in inputs]
    if not evaluated:
        return ()
    read = behind([*SPECS["evaluate"].reads])
    return tuple(spec.folder for spec in STEPS if spec.name in read - behind(evaluated))


@dataclass(frozen=True)
class StoredRun:
    """The evaluation of one run: the folder, and its `metrics.json`. Arrays are read when they are asked for."""

    path: Path
    metrics: Metrics

    @property
    def train_user_fraction(self) -> float:
        """Share of the users that is trained on."""
        manifest = self._manifest("prepare")
        share = 1.0 if manifest is None else manifest["config"].get("train_user_fraction", 1.0)
        return typed(share, float, f"{self.path / 'prepare' / 'manifest.json'}: config.train_user_fraction")

    @property
    def history_order(self) -> str:
        """Order of the training interactions; runs from before there was the setting have that of time."""
        manifest = self._manifest("prepare")
        return "time" if manifest is None else str(manifest["config"].get("history_order", "time"))

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.metrics["seed"]

    @cached_property
    def targets(self) -> Targets:
        """The keys of the rows that were ranked."""
        return Targets(self._array("users.npy"), self._array("positions.npy"))

    def ranks(self, model: str) -> LongArray:
        """The ranks that a model gave, (rows,).

        Raises:
            UserError: the file is missing or broken, or has another number of rows.
        """
        if not is_own_name(model):
            raise UserError(f"{self.path / 'evaluation' / 'metrics.json'}: {model!r} is no model's name")
        ranks: LongArray = self._array(f"ranks/{model}.npy")
        return ranks

    def data(self) -> PreparedData:
        """The prepared data that was ranked.

        Raises:
            UserError: it is not there, or it is not what was evaluated.
        """
        check_step(self.path / "prepare")
        data = PreparedData.load(self.path / "prepare", read_titles=False)
        made_of = self.metrics["fingerprints"]
        if (made_of.get("data"), made_of.get("split")) != (data.fingerprint, data.split_fingerprint):
            raise UserError(f"{self.path / 'prepare'}: not the data that {self.path / 'evaluation'} was made from")
        return data

    def steps(self) -> dict[str, Manifest]:
        """Manifests of the run's steps in the order in which they were begun; the report is left out, and what the
        evaluation was made without.

        Raises:
            DamagedError: a step's folder has no manifest, or one that is not as it was written.
        """
        evaluation = self._manifest("evaluation")
        left_out = (*NOT_WORK, *(not_evaluated(evaluation) if evaluation else ()))
        read = {name: self._manifest(name) for name in FOLDERS if name not in left_out}
        kept = [(name, manifest) for name, manifest in read.items() if manifest is not None]
        return dict(sorted(kept, key=lambda step: str(step[1].get("started"))))

    def device(self, step: str) -> str:
        """The GPU or processor that a step ran on, by its name; empty where it was not recorded."""
        manifest = self._manifest(step)
        environment: Environment = manifest.get("environment", {}) if manifest else {}
        if environment.get("device") == "cuda":
            return gpu["name"] if (gpu := environment.get("gpu")) else ""
        return environment["cpu"]["model"] if "cpu" in environment else ""

    def _manifest(self, step: str) -> Manifest | None:
        """A step's manifest; None where the run has no such step."""
        manifest = read_manifest(self.path / step)
        if manifest is None and (self.path / step).is_dir():  # it was written before the folder had its name
            raise DamagedError(self.path / step / MANIFEST_FILE, "missing")
        return manifest

    def code(self) -> dict[str, set[str]]:
        """What the steps were made with: `commit`, and the packages' versions by name; only what was recorded."""
        found: dict[str, set[str]] = {}
        for manifest in self.steps().values():
            environment = manifest.get("environment", {})
            if git := environment.get("git"):
                found.setdefault("commit", set()).add(git["commit"] + (" with changes" if git["dirty"] else ""))
            for package, version in environment.get("packages", {}).items():
                if version:
                    found.setdefault(package, set()).add(version)
        return found

    def settings(self) -> dict[str, dict[str, JsonValue]]:
        """Each step's section of the configuration."""
        return {step: manifest["config"] for step, manifest in self.steps().items()}

    def has_times(self, step: str) -> bool:
        """Whether the step wrote how long it took, be the file there or lost."""
        manifest = self._manifest(step)
        return manifest is not None and TIMES_FILE in (manifest.get("files") or _files(self.path / step))

    def cost(self, step: str) -> tuple[float, float | None]:
        """Seconds and core-seconds of a step; None for the latter where they were not recorded."""
        timings = read_typed(checked(self.path / step / TIMES_FILE), Timings)
        cores = timings.get("core_seconds")
        return sum(timings["phases"].values()), None if cores is None else sum(cores.values())

    def _array(self, name: str) -> Any:
        path = self.path / "evaluation" / name
        array = np.array(map_array(path))
        if array.shape != (self.metrics["rows"],):
            raise UserError(f"{path}: {array.shape} rows, where metrics.json says {self.metrics['rows']}")
        return array


def read_stored(path: Path) -> StoredRun:
    """Read the evaluation of a run.

    Raises:
        UserError: the run was not evaluated, or what it left is damaged.
    """
    folder = path / "evaluation"
    if not is_evaluated(path):
        raise UserError(f"{path}: not an evaluated run (no evaluation/metrics.json); run `recdistill evaluate` first")
    if check_step(folder) is None:
        raise DamagedError(folder / MANIFEST_FILE, "missing")
    return StoredRun(path, read_typed(folder / METRICS_FILE, Metrics))


def is_evaluated(run: Path) -> bool:
    """Whether a run was evaluated, be all files of the evaluation there or not."""
    return any((run / "evaluation" / name).is_file() for name in (METRICS_FILE, MANIFEST_FILE))


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def refuse_unlike(runs: Sequence[StoredRun]) -> None:
    """Refuse runs whose ranks answer different questions.

    Raises:
        UserError: a run differs from the first in data, split, evaluated split, `filter_seen` or rows.
    """
    first = runs[0]
    for run in runs[1:]:
        differing = [
            f"{key} {_short(one)} against {_short(other)}"
            for (key, one), (_, other) in zip(_question(run), _question(first), strict=True)
            if one != other
        ]
        if differing:
            raise UserError(f"compare: {run.path} was not measured as {first.path} was: {', '.join(differing)}")
        for name in ("users", "positions"):
            if not np.array_equal(getattr(run.targets, name), getattr(first.targets, name)):
                raise UserError(f"compare: {run.path} and {first.path} differ in evaluation/{name}.npy")


def _question(run: StoredRun) -> Iterator[tuple[str, object]]:
    """What a run's ranks are of. `evaluation` names interactions and targets whoever was trained on, so that seeds
    which draw other users for `data.train_user_fraction` can be compared; metrics of an earlier version have `split`
    alone.
    """
    fingerprints = run.metrics["fingerprints"]
    yield "fingerprints.data", fingerprints.get("data")
    yield "fingerprints.split", fingerprints.get("evaluation", fingerprints.get("split"))
    yield "data.train_user_fraction", run.train_user_fraction
    yield "evaluate.split", run.metrics["split"]
    yield "evaluate.filter_seen", run.metrics["filter_seen"]
    yield "rows", run.metrics["rows"]


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else json.dumps(value)
