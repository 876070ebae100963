"""Rankings of the run's earlier evaluation, for models that have not changed since: a teacher is slow to rank with."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from recdistill.config import EvaluateConfig
from recdistill.steps import SPECS, STEPS
from recdistill.storage.manifest import Environment, Inputs, Manifest, Memory, Timings
from recdistill.storage.typed import read_typed

T = TypeVar("T")

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
    manifest: Manifest, inputs: Inputs, config: EvaluateConfig, environment: Environment
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
    made_with: dict[str, object] = {**manifest.get("environment", {})}
    now: dict[str, object] = {**environment}
    same_code = all(made_with.get(key) == now.get(key) for key in WITH)
    if not (asked_alike and same_code) or _dirty(environment):
        return frozenset()

    def alike(names: tuple[str, ...]) -> bool:
        return all(name in inputs and before.get(name) == inputs[name] for name in names)

    return frozenset(model for model, made_from in MADE_FROM.items() if alike(ROWS + made_from))


def _dirty(environment: Environment) -> bool:
    """Whether the package's files differ from their commit, so that the commit does not name them."""
    git = environment.get("git")
    return git is not None and git["dirty"]


def earlier_cost(folder: Path, model: str) -> tuple[Timings, Memory]:
    """What it took to load the model and to rank with it: timings and memory of these phases, as a profiler has them.

    A run's evaluation costs what making its ranks has cost, whenever that was.
    """
    phases = (f"load {model}", f"rank {model}", *(["compile"] if model == "teacher" else []))

    def of_phases(part: Mapping[str, T]) -> dict[str, T]:
        return {name: part[name] for name in phases if name in part}

    timings, memory = read_typed(folder / "timings.json", Timings), read_typed(folder / "memory.json", Memory)
    spent: Timings = {"phases": of_phases(timings["phases"])}
    if "core_seconds" in timings:
        spent["core_seconds"] = of_phases(timings["core_seconds"])
    return spent, {"phases": of_phases(memory["phases"])}
