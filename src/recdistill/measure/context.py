"""Where a step of a run works and by what it is measured."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from recdistill.measure.profiler import Profiler
from recdistill.parallel.processes import ALONE, Processes
from recdistill.storage.typed import JsonValue


@dataclass(frozen=True)
class RunContext:
    """What every step is given beside its settings and its inputs.

    Attributes:
        device: `cpu` or `cuda`.
        profiler: takes the step's phases; it is running.
        folder: the step writes into it; an interrupted try has left its checkpoints there.
        chosen: setting → what the step took for its `auto`; the finished step's manifest has it.
        processes: that do the step together.
        first_folder: the first process's `folder`, where all look for what an interrupted try has left; None: `folder`.
            The others write into folders of their own, of which nothing is kept.
    """

    device: str
    profiler: Profiler
    folder: Path
    chosen: dict[str, JsonValue] = field(default_factory=dict)
    processes: Processes = ALONE
    first_folder: Path | None = None

    @property
    def shared(self) -> Path:
        """The first process's folder."""
        return self.first_folder or self.folder

    def within(self, *names: str) -> "RunContext":
        """The same for a part of the step, in a folder of that name within its own; the folder is made."""
        folder = self.folder.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self, folder=folder, first_folder=self.shared.joinpath(*names))
