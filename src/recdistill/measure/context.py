"""Where a step of a run works and by what it is measured."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from recdistill.measure.profiler import Profiler
from recdistill.storage.typed import JsonValue


@dataclass(frozen=True)
class RunContext:
    """What every step is given beside its settings and its inputs.

    Attributes:
        device: `cpu` or `cuda`.
        profiler: takes the step's phases; it is running.
        folder: the step writes into it; an interrupted try has left its checkpoints there.
        chosen: setting → what the step took for its `auto`; the finished step's manifest has it.
    """

    device: str
    profiler: Profiler
    folder: Path
    chosen: dict[str, JsonValue] = field(default_factory=dict)

    def within(self, folder: Path) -> "RunContext":
        """The same for a part of the step that has a folder of its own."""
        return replace(self, folder=folder)
