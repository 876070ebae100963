"""What may be tried: for each setting of the student a list of values or a range, read from YAML and checked first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recdistill.config import StudentConfig
from recdistill.config.settings import nested, run_config
from recdistill.config.yaml_files import read_yaml
from recdistill.errors import UserError

if TYPE_CHECKING:
    import optuna

PREFIX = "student."
PROBED = 64
"""Whole numbers of a range of which each is checked with every other setting's; of a longer one, only the ends are."""


@dataclass(frozen=True)
class Choices:
    """One of these values: text, numbers or truth values."""

    choices: tuple[Any, ...]

    def suggest(self, trial: "optuna.Trial", key: str) -> Any:
        """The trial's value."""
        return trial.suggest_categorical(key, self.choices)

    def values(self) -> Sequence[Any]:
        """Values that must be allowed by themselves."""
        return self.choices

    def probes(self) -> Sequence[Any]:
        """Values that must be allowed beside other settings'."""
        return self.choices


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; whole numbers if both are; `log`: by its logarithm."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: "optuna.Trial", key: str) -> float:
        """The trial's value."""
        if self.whole:
            return int(trial.suggest_int(key, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(key, self.low, self.high, log=self.log))

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def values(self) -> Sequence[float]:
        """Values that must be allowed by themselves: each whole number, or the ends."""
        return range(int(self.low), int(self.high) + 1) if self.whole else (self.low, self.high)

    def probes(self) -> Sequence[float]:
        """Values that must be allowed beside other settings'."""
        return self.values() if self.high - self.low < PROBED else (self.low, self.high)


Space = dict[str, Choices | Range]
"""Dotted keys of the student's settings (`student.train.learning_rate`) and what each may be."""

DEFAULT_SPACE: Space = {
    "student.block": Choices(("sasrec", "ligr", "hstu")),
    "student.embedding_dim": Choices((32, 64, 96, 128)),
    "student.num_layers": Range(1, 3),
    "student.dropout": Range(0.1, 0.5),
    "student.max_length": Choices((30, 50, 100)),
    "student.windows": Choices(("last", "all")),
    "student.loss.name": Choices(("cross_entropy", "sampled_softmax", "gbce")),
    "student.loss.negatives": Choices((64, 256)),
    "student.train.learning_rate": Range(5e-4, 8e-3, log=True),
    "student.train.batch_size": Choices((32, 64, 128)),
    "student.train.weight_decay": Range(1e-4, 1e-1, log=True),
}


def read_space(path: Path) -> Space:
    """Read a space from YAML: `key: {choices: [...]}` or `key: {low: …, high: …, log: true}`.

    Raises:
        UserError: the file cannot be read, or an entry has another form.
    """
    content = read_yaml(path, "space")
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: holds no space (lines like `student.dropout: {{low: 0.1, high: 0.5}}`)")
    return {str(key): _dimension(str(key), value) for key, value in content.items()}


def _dimension(key: str, value: Any) -> Choices | Range:
    if not isinstance(value, dict):
        raise UserError(f"{key}: {value!r} is neither {{choices: [...]}} nor {{low: …, high: …}}")
    if set(value) == {"choices"}:
        choices = value["choices"]
        if not isinstance(choices, list) or not choices:
            raise UserError(f"{key}.choices: {choices!r} is not a list of values")
        return Choices(tuple(choices))
    if not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise UserError(f"{key}: has {', '.join(map(str, value))}; it takes choices, or low, high and log")
    for end in ("low", "high"):
        if isinstance(value[end], bool) or not isinstance(value[end], int | float) or not math.isfinite(value[end]):
            raise UserError(f"{key}.{end}: {value[end]!r} is not a number")
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{key}.log: {log!r} is neither true nor false")
    if not low < high or (log and low <= 0):
        raise UserError(f"{key}: from {low} to {high} is no range{' of logarithms' if log else ''}")
    return Range(low, high, log)


def check_space(space: Space, student: StudentConfig) -> None:
    """Refuse a space with a value that does not go with the student's other settings, or with another value of it.

    Not every combination is looked at; one that is refused when it is drawn counts as a trial.

    Raises:
        UserError: names the key.
    """
    for key, dimension in space.items():
        if not key.startswith(PREFIX):
            raise UserError(f"{key}: only settings of the student can be tuned (student.…)")
        for value in dimension.probes():
            # Reads names and types; a student that sees less than the teacher is no matter of the student's.
            run_config(nested({"teacher.history_length": 1, key: value}))
        for value in dimension.values():
            changed_student(student, {key: value})
    for first, second in combinations(space, 2):
        for values in product(space[first].probes(), space[second].probes()):
            changed_student(student, dict(zip((first, second), values, strict=True)))


def changed_student(student: StudentConfig, settings: Mapping[str, object]) -> StudentConfig:
    """The student's configuration with these dotted settings.

    Raises:
        UserError: they do not go together.
    """
    changed: StudentConfig = _replaced(student, nested(settings)["student"])
    return changed


def _replaced(section: Any, settings: object) -> Any:
    """A section with settings in place of its own; a setting stays what it is."""
    if not isinstance(settings, Mapping):
        return settings
    return replace(section, **{name: _replaced(getattr(section, name), value) for name, value in settings.items()})


def space_as_dict(space: Space) -> dict[str, dict[str, object]]:
    """The space as plain values, for a fingerprint."""
    return {key: asdict(dimension) for key, dimension in space.items()}
