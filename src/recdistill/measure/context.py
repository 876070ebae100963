"""Where a step of a run works and by what it is measured."""

from dataclasses import dataclass, replace
from pathlib import Path

from recdistill.measure.profiler import Profiler


@dataclass(frozen=True)
class RunContext:
    """What every step is given beside its settings and its inputs.

    Attributes:
        device: `cpu` or `cuda`.
        profiler: takes the step's phases; it is running.
        folder: the step writes into it; an interrupted try has left its checkpoints there.
    """

    device: str
    profiler: Profiler
    folder: Path

    def within(self, folder: Path) -> "RunContext":
        """The same for a part of the step that has a folder of its own."""
        return replace(self, folder=folder)
