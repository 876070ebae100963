"""Rankings of the run's earlier evaluation, for models that have not changed since: a teacher is slow to rank with."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from recdistill.config import EvaluateConfig
from recdistill.errors import UserError
from recdistill.evaluation.ranking import MISS, Ranking
from recdistill.steps import SPECS, STEPS
from recdistill.storage.files import map_array, read_json

MADE_FROM = {
    spec.folder: tuple(SPECS[step].as_input for step in spec.scored_with or (spec.name,))
    for spec in STEPS
    if spec.trains
}
"""The evaluation's inputs that a model's scores follow from; baselines are quick and are ranked anew."""
ROWS = ("data", "split", "seed")
"""The inputs that say which targets and candidates there are."""
AFTERWARDS = ("bootstrap_samples", "permutations", "baselines", "ease_items")
"""Settings that the ranks of these models do not follow from."""
WITH = ("device", "cpu", "gpu", "python", "packages", "git")
"""What of the environment scores may follow from: code, libraries, and how the machine rounds."""


def unchanged_models(
    manifest: Mapping[str, Any], inputs: Mapping[str, Any], config: EvaluateConfig, environment: Mapping[str, Any]
) -> frozenset[str]:
    """The models whose ranks would come out as in the earlier evaluation; none after a change of code or machine.

    Args:
        manifest: of the earlier evaluation.
        inputs: the fingerprints that the evaluation to come reads.
        config: its settings.
        environment: where it runs, as the manifest has it.
    """
    before, settings = manifest["inputs"], asdict(config)
    asked_alike = all(manifest["config"].get(key) == value for key, value in settings.items() if key not in AFTERWARDS)
    same_code = all(manifest["environment"].get(key) == environment.get(key) for key in WITH)
    if not (asked_alike and same_code) or (environment.get("git") or {}).get("dirty"):
        return frozenset()

    def alike(names: tuple[str, ...]) -> bool:
        return all(name in inputs and before.get(name) == inputs[name] for name in names)

    return frozenset(model for model, made_from in MADE_FROM.items() if alike(ROWS + made_from))


def read_ranking(folder: Path, model: str, shape: tuple[int, int], candidates: bool) -> Ranking | None:
    """What an evaluation stored of a model's ranking; None where it stored no lists.

    Args:
        folder: of the evaluation.
        model: its name.
        shape: (rows, K), targets that it ranked and items that it kept of each.
        candidates: whether among candidates too.

    Raises:
        UserError: a file is missing or broken, or has another shape.
    """
    if not (folder / "top_items" / f"{model}.npy").is_file():
        return None

    def stored(kind: str, dtype: str, shape: tuple[int, ...]) -> Any:
        path = folder / kind / f"{model}.npy"
        array = np.array(map_array(path))
        if array.shape != shape or array.dtype != dtype:
            raise UserError(f"{path}: {array.dtype} {array.shape}, not {dtype} {shape}; remove the evaluation")
        return array

    ranks = stored("ranks", "int64", shape[:1])
    return Ranking(
        ranks=ranks,
        top_items=stored("top_items", "int32", shape),
        repeats=int((ranks == MISS).sum()),
        candidate_ranks=stored("candidate_ranks", "int64", shape[:1]) if candidates else None,
    )


def earlier_cost(folder: Path, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What it took to load the model and to rank with it: timings and memory of these phases, as a profiler has them.

    A run's evaluation costs what making its ranks has cost, whenever that was.
    """
    phases = (f"load {model}", f"rank {model}", *(["compile"] if model == "teacher" else []))

    def of_phases(part: Mapping[str, Any]) -> dict[str, Any]:
        return {name: part[name] for name in phases if name in part}

    timings, memory = read_json(folder / "timings.json"), read_json(folder / "memory.json")
    return {key: of_phases(part) for key, part in timings.items()}, {"phases": of_phases(memory["phases"])}
