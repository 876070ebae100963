"""The steps of a run: one `StepSpec` each, from which whoever needs to know about steps derives it.

A new step is a name in `Step`, a `StepSpec` here and a function in :mod:`recdistill.pipeline.work`, where mypy asks for
it. Nothing is imported but the configuration and the form of a manifest, so that the command line can read the steps
before torch is there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from recdistill.config import RunConfig

if TYPE_CHECKING:
    from recdistill.storage.manifest import Manifest

Step = Literal["prepare", "student", "teacher", "export", "distill", "evaluate", "report"]


@dataclass(frozen=True)
class Switch:
    """A setting at the value that leaves a step out."""

    section: str
    key: str
    value: str | bool

    def is_set(self, config: RunConfig) -> bool:
        """Whether the run has this value."""
        return bool(getattr(getattr(config, self.section), self.key) == self.value)

    def __str__(self) -> str:
        """The setting and its value, as YAML writes it."""
        return f"{self.section}.{self.key} is {str(self.value).lower()}"


@dataclass(frozen=True)
class StepSpec:
    """What is known of a step without running it.

    Attributes:
        name: of the step and of its command.
        about: what it does, for `--help`.
        folder: where a finished step is, in the run's folder.
        section: its part of the configuration.
        results: count of its results. Two versions with the same counts give the same numbers for the same
            configuration, inputs and machine. Raise it together with an entry marked **results** in CHANGELOG.md; a
            change that moves the results of some settings only may name these settings among the step's inputs instead,
            as `evaluate.filter_seen: false` does.
        reads: the steps whose results it reads; `prepare` is read by every other one.
        input_name: what its fingerprint is called among the inputs of the steps that read it; empty: its name.
        left_out_by: the settings that leave it out.
        resumable: whether an interrupted try leaves something to resume from.
        needs_language_model: whether it reads the language model or the title encoder.
        trains: what the model that it trains and leaves is called in messages; empty: it trains none.
        scored_with: the steps that the scores of its model follow from; empty: the step alone.
        serves: whether `recommend` can answer with its model.
        together: whether several processes do it together; else the first does it, and the others wait.
    """

    name: Step
    about: str
    folder: str
    section: str
    results: int
    reads: tuple[Step, ...] = ()
    input_name: str = ""
    left_out_by: tuple[Switch, ...] = ()
    resumable: bool = True
    needs_language_model: bool = False
    trains: str = ""
    scored_with: tuple[Step, ...] = ()
    serves: bool = False
    together: bool = True

    @property
    def as_input(self) -> str:
        """What its fingerprint is called among a later step's inputs."""
        return self.input_name or self.name

    def settings(self, config: RunConfig) -> Any:
        """Its part of a run's configuration."""
        return config.decided_export if self.section == "export" else getattr(config, self.section)

    def left_out(self, config: RunConfig) -> str:
        """The setting that makes the run skip this step; empty if it does not."""
        return next((str(switch) for switch in self.left_out_by if switch.is_set(config)), "")


NO_TEACHER = Switch("teacher", "kind", "none")
NO_EXPORT = Switch("export", "enabled", False)

STEPS: tuple[StepSpec, ...] = (
    StepSpec(
        "prepare",
        about="Read, check, filter, number and split the interactions; write them once in binary form.",
        folder="prepare",
        section="data",
        results=3,  # 2: ids that floats wrote, missing titles, files in UTF-8. 3: settings and files have other names.
        resumable=False,
        together=False,
    ),
    StepSpec(
        "student",
        about="Train the small model (after `prepare`, which is done first where needed; so for all steps below).",
        folder="student",
        section="student",
        results=3,  # 2: settings and files have other names. 3: rounding of states.
        trains="student",
        serves=True,
    ),
    StepSpec(
        "teacher",
        about="Train the language model's experts and head.",
        folder="teacher",
        section="teacher",
        results=3,  # 2: items without a title, encoders as their files ask. 3: settings and files have other names.
        reads=("student",),
        left_out_by=(NO_TEACHER,),
        needs_language_model=True,
        trains="teacher",
        scored_with=("student", "teacher"),
    ),
    StepSpec(
        "export",
        about="Write the teacher's outputs for all training and validation targets.",
        folder="teacher_outputs",
        section="export",
        results=2,  # 2: settings and files have other names.
        reads=("teacher",),
        input_name="teacher_outputs",
        left_out_by=(NO_TEACHER, NO_EXPORT),
        needs_language_model=True,
    ),
    StepSpec(
        "distill",
        about="Train a fresh student on the data and on the teacher's outputs.",
        folder="distilled",
        section="distill",
        results=3,  # 2: settings and files have other names. 3: rounding of states.
        reads=("export", "student"),
        left_out_by=(NO_TEACHER, NO_EXPORT),
        trains="distilled student",
        serves=True,
    ),
    StepSpec(
        "evaluate",
        about="Rank all items with every model (full ranking); metrics, intervals, tests.",
        folder="evaluation",
        section="evaluate",
        results=4,  # 2: settings and files have other names. 3: item_knn and ease, too. 4: rounding of states.
        reads=("student", "teacher", "distill"),
        input_name="evaluation",
        needs_language_model=True,
    ),
    StepSpec(
        "report",
        about="Write the report (Markdown and HTML); all steps before it are done where needed.",
        folder="report",
        section="report",
        results=2,  # 2: settings and files have other names.
        reads=("evaluate",),
        resumable=False,
        together=False,
    ),
)
"""In the order in which they are done."""

RESULTS: dict[Step, int] = {spec.name: spec.results for spec in STEPS}
"""Step → the count of its results."""
SPECS: dict[Step, StepSpec] = {spec.name: spec for spec in STEPS}
LAST: Step = STEPS[-1].name
SERVED: dict[str, Step] = {spec.folder: spec.name for spec in reversed(STEPS) if spec.serves}
"""The models that `recommend` can ask, the best first, and the step that makes each."""
TRAINED = tuple(spec.folder for spec in STEPS if spec.trains)
"""Folders of the trained models, which are also the models' names, in the order of their training."""


def steps_until(last: Step) -> tuple[StepSpec, ...]:
    """The steps up to and including `last`."""
    return STEPS[: STEPS.index(SPECS[last]) + 1]


def includes(last: Step, step: Step) -> bool:
    """Whether a run up to `last` comes to `step`."""
    return SPECS[step] in steps_until(last)


def needs_language_model(last: Step) -> bool:
    """Whether a run up to `last` reads the language model or the title encoder."""
    return any(spec.needs_language_model for spec in steps_until(last))


def behind(steps: Iterable[Step]) -> frozenset[Step]:
    """These steps and all that they read, directly or not."""
    found: set[Step] = {"prepare"}
    waiting = list(steps)
    while waiting:
        step = waiting.pop()
        found.add(step)
        waiting += SPECS[step].reads
    return frozenset(found)


def results_of(manifest: "Manifest") -> int:
    """The count under which a finished step was made; manifests from before there were counts have none."""
    return manifest.get("code", {}).get("results", 1)


def changed_results(step: Step, manifest: "Manifest") -> str:
    """Why a finished step's numbers are not this version's, in words; empty where they are."""
    before, now = results_of(manifest), RESULTS[step]
    if before == now:
        return ""
    version = manifest.get("code", {}).get("version") or "another version"
    return f"recdistill {version} made it, whose results or files are not this version's ({step}: {before} → {now})"
