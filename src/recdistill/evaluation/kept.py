"""Rankings of the run's earlier evaluation, for models that have not changed since: a teacher is slow to rank with."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from recdistill.config import EvaluateConfig
from recdistill.errors import UserError
from recdistill.evaluation.ranking import Ranking
from recdistill.files import map_array, read_json

MADE_FROM = {"student": ("student",), "teacher": ("student", "teacher"), "distilled": ("distill",)}
"""The evaluation's inputs that a model's scores follow from; baselines are quick and are ranked anew."""
ROWS = ("data", "split", "seed")
"""The inputs that say which targets and candidates there are."""
AFTERWARDS = ("bootstrap_samples", "permutations")
"""Settings that ranks do not follow from."""


def unchanged_models(
    manifest: Mapping[str, Any], inputs: Mapping[str, Any], config: EvaluateConfig, device: str
) -> frozenset[str]:
    """The models whose ranks would come out as in the earlier evaluation.

    Args:
        manifest: of the earlier evaluation, made by this version.
        inputs: the fingerprints that the evaluation to come reads.
        config: its settings.
        device: `cpu` or `cuda`, where it runs: rounding differs between them.
    """
    before, settings = manifest["inputs"], asdict(config)
    asked_alike = all(manifest["config"].get(key) == value for key, value in settings.items() if key not in AFTERWARDS)
    if not asked_alike or manifest["environment"].get("device") != device:
        return frozenset()

    def alike(names: tuple[str, ...]) -> bool:
        return all(name in inputs and before.get(name) == inputs[name] for name in names)

    return frozenset(model for model, made_from in MADE_FROM.items() if alike(ROWS + made_from))


def read_ranking(folder: Path, model: str, rows: int, candidates: bool) -> Ranking | None:
    """What an evaluation stored of a model's ranking; None where it stored no lists.

    Args:
        folder: of the evaluation.
        model: its name.
        rows: targets that it ranked.
        candidates: whether among candidates too.

    Raises:
        UserError: a file is missing or broken, or has another number of rows.
    """
    if not (folder / "top_items" / f"{model}.npy").is_file():
        return None

    def stored(kind: str, dtype: str) -> Any:
        path = folder / kind / f"{model}.npy"
        array = np.array(map_array(path))
        if len(array) != rows or array.dtype != dtype:
            raise UserError(f"{path}: {array.dtype} {array.shape}, not {dtype} of {rows} rows; remove the evaluation")
        return array

    return Ranking(
        stored("ranks", "int64"), stored("top_items", "int32"), int(read_json(folder / "metrics.json")["repeats"]),
        stored("candidate_ranks", "int64") if candidates else None,
    )  # fmt: skip
