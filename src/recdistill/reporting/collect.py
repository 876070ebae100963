"""Read a run's folder into one record; a part that the run does not have is None or empty."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recdistill.errors import UserError
from recdistill.evaluation.stored import not_evaluated
from recdistill.steps import STEPS
from recdistill.storage.files import read_json

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

    manifest: dict[str, Any]
    seconds: dict[str, float]
    memory: dict[str, dict[str, float | None]]
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

    `left_out` are the folders of the steps that the evaluation was made without, by the run's own settings.
    """

    name: str
    steps: dict[str, Step]
    left_out: tuple[str, ...]
    data: dict[str, Any] | None
    metrics: dict[str, Any] | None
    gate: Gate | None
    evidence: dict[str, Any] | None
    export_settings: list[dict[str, Any]]
    target_memorisation: dict[str, Any] | None
    strength: dict[str, Any] | None


def read_run(folder: Path) -> Run:
    """Read what the finished steps left.

    Raises:
        UserError: no step has finished there, or a file is broken.
    """
    left_out = not_evaluated(_optional(folder / "evaluation" / "manifest.json") or {})
    there = [
        spec.folder
        for spec in REPORTED
        if (folder / spec.folder / "manifest.json").is_file() and spec.folder not in left_out
    ]
    if not there:
        raise UserError(f"{folder}: no finished step of a run is in it")
    steps = {name: _read_step(folder / name) for name in there}
    teacher = folder / "teacher"
    return Run(
        name=folder.resolve().name,
        steps=steps,
        data=_optional(folder / "prepare" / "data.json"),
        metrics=_optional(folder / "evaluation" / "metrics.json"),
        left_out=left_out,
        gate=_read_gate(teacher / "gate_examples.json") if "teacher" in steps else None,
        evidence=_optional(teacher / "evidence.json") if "teacher" in steps else None,
        export_settings=_export_settings(folder) if "teacher_outputs" in steps else [],
        target_memorisation=_optional(folder / "teacher_outputs" / "target_memorisation.json")
        if "teacher_outputs" in steps
        else None,
        strength=_optional(folder / "distilled" / "strength.json") if "distilled" in steps else None,
    )


def _export_settings(folder: Path) -> list[dict[str, Any]]:
    settings: list[dict[str, Any]] = (_optional(folder / "teacher_outputs" / "evidence.json") or {}).get("settings", [])
    return settings


def _read_step(folder: Path) -> Step:
    curve = folder / "training.csv"
    return Step(
        manifest=read_json(folder / "manifest.json"),
        seconds=(_optional(folder / "timings.json") or {"phases": {}})["phases"],
        memory=(_optional(folder / "memory.json") or {"phases": {}})["phases"],
        curve=_read_curve(curve) if curve.is_file() else [],
    )


def _optional(path: Path) -> Any:
    """What a JSON file holds; None where there is no such file."""
    return read_json(path) if path.is_file() else None


def _read_curve(path: Path) -> list[CurvePoint]:
    """The rows of a `training.csv`; an empty field is None."""
    points = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                point = CurvePoint(
                    epoch=float(row["epoch"]),
                    step=int(row["step"]),
                    targets=int(row["targets"]),
                    loss=float(row["loss"]) if row["loss"] else None,
                    ndcg=float(row["ndcg@10"]) if row["ndcg@10"] else None,
                    seconds=float(row["seconds"]),
                )
            except KeyError as error:
                raise UserError(f"{path}: no column {error}") from error
            except (TypeError, ValueError) as error:
                raise UserError(f"{path}:{reader.line_num}: not a row of numbers ({error})") from error
            points.append(point)
    return points


def _read_gate(path: Path) -> Gate | None:
    """The gate's examples; None where there is no file, or no gate."""
    found = _optional(path)
    if not found or not found["users"]:
        return None
    return Gate(
        users=[str(example["user"]) for example in found["users"]],
        weights=[example["weights"] for example in found["users"]],
        entropy=found["entropy"],
        between_user_std=found["between_user_std"],
    )
