"""Read a run's folder into one record; a part that the run does not have is None or empty."""

import csv
from dataclasses import dataclass
from pathlib import Path

from recdistill.data.about import About
from recdistill.distill.outputs import MEMORISATION_FILE
from recdistill.distill.strength import STRENGTH_FILE, Strength
from recdistill.distill.target_memorisation import Memorised
from recdistill.errors import UserError
from recdistill.evaluation.results import Metrics
from recdistill.evaluation.stored import not_evaluated
from recdistill.measure.facts import ExportEvidence, GateExamples, Judged, TeacherEvidence
from recdistill.steps import STEPS
from recdistill.storage.checksums import DamagedError
from recdistill.storage.files import read_errors
from recdistill.storage.manifest import Manifest, Memory, PhaseMemory, Timings
from recdistill.storage.step_files import MANIFEST_FILE, check_step, read_manifest
from recdistill.storage.typed import read_optional

REPORTED = tuple(spec for spec in STEPS if spec.name != "report")
"""The steps that a report tells of."""


@dataclass(frozen=True)
class CurvePoint:
    """One validation of a training run; None where nothing had been trained yet."""

    epoch: float
    step: int
    targets: int
    loss: float | None
    ndcg: float | None
    seconds: float


@dataclass(frozen=True)
class Step:
    """A finished step.

    Attributes:
        manifest: what its `manifest.json` holds.
        seconds: by phase.
        memory: by phase, `peak_rss_gib` and the like in GiB, None where it was not measured.
        curve: its validations, if it trained.
    """

    manifest: Manifest
    seconds: dict[str, float]
    memory: dict[str, PhaseMemory]
    curve: list[CurvePoint]


@dataclass(frozen=True)
class Gate:
    """The experts' weights of some users, (users, E), and over all users their entropy and spread."""

    users: list[str]
    weights: list[list[float]]
    entropy: float
    between_user_std: float


@dataclass(frozen=True)
class Run:
    """All a report can be made from.

    `control` is the run whose models have lost what they learned, where the report is to compare with one; `left_out`
    are the folders of the steps that the evaluation was made without, by the run's own settings.
    """

    name: str
    folder: Path
    control: Path | None
    steps: dict[str, Step]
    left_out: tuple[str, ...]
    data: About | None
    metrics: Metrics | None
    gate: Gate | None
    evidence: TeacherEvidence | None
    export_settings: list[Judged]
    target_memorisation: dict[str, Memorised] | None
    strength: Strength | None


def read_run(folder: Path, control: Path | None = None) -> Run:
    """Read what the finished steps left; `control` is kept with it.

    Raises:
        UserError: no step has finished there, or a file is damaged.
    """
    evaluation = read_manifest(folder / "evaluation")
    left_out = not_evaluated(evaluation) if evaluation else ()
    there = [
        spec.folder
        for spec in REPORTED
        if (folder / spec.folder / "manifest.json").is_file() and spec.folder not in left_out
    ]
    if not there:
        raise UserError(f"{folder}: no finished step of a run is in it")
    steps = {name: _read_step(folder / name) for name in there}
    teacher, outputs = folder / "teacher", folder / "teacher_outputs"
    return Run(
        name=folder.resolve().name,
        folder=folder,
        control=control,
        steps=steps,
        data=read_optional(folder / "prepare" / "data.json", About),
        metrics=read_optional(folder / "evaluation" / "metrics.json", Metrics),
        left_out=left_out,
        gate=_read_gate(teacher / "gate_examples.json") if "teacher" in steps else None,
        evidence=read_optional(teacher / "evidence.json", TeacherEvidence) if "teacher" in steps else None,
        export_settings=_export_settings(outputs) if "teacher_outputs" in steps else [],
        target_memorisation=read_optional(outputs / MEMORISATION_FILE, dict[str, Memorised])
        if "teacher_outputs" in steps
        else None,
        strength=read_optional(folder / "distilled" / STRENGTH_FILE, Strength) if "distilled" in steps else None,
    )


def _export_settings(outputs: Path) -> list[Judged]:
    evidence = read_optional(outputs / "evidence.json", ExportEvidence)
    return evidence["settings"] if evidence else []


def _read_step(folder: Path) -> Step:
    curve, manifest = folder / "training.csv", check_step(folder)
    if manifest is None:
        raise DamagedError(folder / MANIFEST_FILE, "missing")
    return Step(
        manifest=manifest,
        seconds=timings["phases"] if (timings := read_optional(folder / "timings.json", Timings)) else {},
        memory=memory["phases"] if (memory := read_optional(folder / "memory.json", Memory)) else {},
        curve=_read_curve(curve) if curve.is_file() else [],
    )


def _read_curve(path: Path) -> list[CurvePoint]:
    """The rows of a `training.csv`; an empty field is None."""
    try:
        with read_errors(path), path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except csv.Error as error:
        raise UserError(f"{path}: not a table of numbers ({error})") from error
    return [_read_point(row, f"{path}:{number}") for number, row in enumerate(rows, start=2)]


def _read_point(row: dict[str, str], place: str) -> CurvePoint:
    try:
        return CurvePoint(
            epoch=float(row["epoch"]),
            step=int(row["step"]),
            targets=int(row["targets"]),
            loss=float(row["loss"]) if row["loss"] else None,
            ndcg=float(row["ndcg@10"]) if row["ndcg@10"] else None,
            seconds=float(row["seconds"]),
        )
    except KeyError as error:
        raise UserError(f"{place}: no column {error}") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: not a row of numbers ({error})") from error


def _read_gate(path: Path) -> Gate | None:
    """The gate's examples; None where there is no file, or no gate."""
    found = read_optional(path, GateExamples)
    if not found or found["entropy"] is None or found["between_user_std"] is None:
        return None
    return Gate(
        users=[example["user"] for example in found["users"]],
        weights=[example["weights"] for example in found["users"]],
        entropy=found["entropy"],
        between_user_std=found["between_user_std"],
    )
