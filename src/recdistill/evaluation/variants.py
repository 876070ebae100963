"""Which runs are one variant of a comparison: those that differ in their seed alone, or those of a study's folder."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from recdistill.errors import UserError
from recdistill.evaluation.stored import StoredRun, is_evaluated, read_stored
from recdistill.steps import STEPS

logger = logging.getLogger("recdistill")

SEED_INPUTS = ("seed", *(spec.as_input for spec in STEPS))
"""Inputs of a step that follow from the seed: itself, and the fingerprints of the steps before."""


def variants_of(paths: Sequence[Path], group: bool) -> dict[str, list[Path]]:
    """Name the variants of a comparison.

    Args:
        paths: the runs' folders.
        group: put runs that differ in their seed alone, by the configurations and inputs of all their steps, into one
            variant, which is called like their folders without the seed at the end, or like the first of them.

    Returns:
        The variants in the order of their first runs. A variant is called like its folder, or, where two folders have
        one name, by the path as it was given.

    Raises:
        UserError: a run was not evaluated, or a folder is named twice.
    """
    for number, path in enumerate(paths):
        if path.resolve() in [one.resolve() for one in paths[:number]]:
            raise UserError(f"compare: {path} is named twice")
    if len(paths) == 1 and (variants := study_variants(paths[0])):
        return variants
    together: dict[str, list[Path]] = {}
    for number, path in enumerate(paths):
        together.setdefault(_without_seed(read_stored(path)) if group else str(number), []).append(path)
    members = list(together.values())
    names = [_variant_name(runs, group) for runs in members]
    return {name if names.count(name) == 1 else str(runs[0]): runs for name, runs in zip(names, members, strict=True)}


def study_variants(folder: Path) -> dict[str, list[Path]]:
    """The variants of a study's folder, `<variant>/seed-<seed>`, and their evaluated runs; empty where it is none.

    `main` comes first, as what the others are compared with. Runs that have not been evaluated are told.

    Raises:
        UserError: no run of the study has been evaluated.
    """
    runs = [path for path in sorted(folder.glob("*/seed-*")) if path.is_dir()]
    if not runs:
        return {}
    evaluated = [path for path in runs if is_evaluated(path)]
    if not evaluated:
        raise UserError(f"{folder}: no run of this study has been evaluated; run `recdistill study` first")
    for path in runs:
        if path not in evaluated:
            logger.warning("compare: %s has not been evaluated and is left out", path)
    names = sorted({path.parent.name for path in evaluated}, key=lambda name: (name != "main", name))
    return {name: [path for path in evaluated if path.parent.name == name] for name in names}


def _without_seed(run: StoredRun) -> str:
    """All that made the run but its seed, as text."""
    # A share of the users is drawn by the seed, and so is a shuffled order: the split's name follows from it too.
    drawn = run.train_user_fraction != 1 or run.history_order != "time"
    left_out = (*SEED_INPUTS, "split") if drawn else SEED_INPUTS
    steps = {
        name: [manifest["config"], {k: v for k, v in manifest["inputs"].items() if k not in left_out}]
        for name, manifest in run.steps().items()
    }
    return json.dumps(steps, sort_keys=True)


def _variant_name(runs: list[Path], group: bool) -> str:
    if not group:
        return runs[0].resolve().name
    names = {re.sub(rf"[-_./]?(seed|s)?[-_.]?{read_stored(run).seed}$", "", str(run.resolve())) for run in runs}
    return Path(names.pop()).name if len(names) == 1 else runs[0].resolve().name
