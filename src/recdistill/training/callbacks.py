"""What goes along with a training: it times, logs, counts and looks on, and may end the training early."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from recdistill.measure.evidence import TokenCount
from recdistill.measure.profiler import Profiler
from recdistill.parallel.processes import ALONE, Processes
from recdistill.training.validations import Validation

if TYPE_CHECKING:
    from recdistill.training.checkpoint import Counts


class Callback:
    """Each method is called at its place in the training, and here does nothing."""

    def started(self, counts: "Counts", resumed: bool) -> None:
        """The training is about to begin, or, where a checkpoint with these counts was read, to resume from there.

        Raises:
            ValueError: the checkpoint lacks what this callback has to resume from.
        """

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Around set-up, data wait, train step, validation and checkpoint."""
        yield

    def stepped(self, step: int, loss: float, learning_rate: float) -> None:
        """An optimiser step is done; `loss` is the mean over its targets."""

    def validated(self, history: Sequence[Validation]) -> bool:
        """A validation is done, the last of these; True ends the training."""
        return False

    def saving(self, counts: "Counts") -> None:
        """A checkpoint with these counts is about to be written."""

    def ended(self) -> None:
        """The training is over, be it by an error."""


class Callbacks(Callback):
    """Several as one, in their order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks

    def started(self, counts: "Counts", resumed: bool) -> None:
        """Tell each."""
        for one in self.callbacks:
            one.started(counts, resumed)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Open each."""
        with ExitStack() as stack:
            for one in self.callbacks:
                stack.enter_context(one.phase(name))
            yield

    def stepped(self, step: int, loss: float, learning_rate: float) -> None:
        """Tell each."""
        for one in self.callbacks:
            one.stepped(step, loss, learning_rate)

    def validated(self, history: Sequence[Validation]) -> bool:
        """Ask each; one is enough to end the training."""
        end = False
        for one in self.callbacks:
            end |= one.validated(history)
        return end

    def saving(self, counts: "Counts") -> None:
        """Tell each."""
        for one in self.callbacks:
            one.saving(counts)

    def ended(self) -> None:
        """Tell each."""
        for one in self.callbacks:
            one.ended()


class PhaseTimes(Callback):
    """Times and memory of the phases."""

    def __init__(self, profiler: Profiler) -> None:
        self.profiler = profiler

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """The profiler's phase of the same name."""
        with self.profiler.phase(name):
            yield


class CountTokens(Callback):
    """Keeps the count of tokens in the checkpoint, so that it is of all tries, and of all processes.

    Args:
        tokens: what this process counts.
        processes: that train together.
    """

    def __init__(self, tokens: TokenCount, processes: Processes = ALONE) -> None:
        self.tokens, self.processes = tokens, processes

    def started(self, counts: "Counts", resumed: bool) -> None:
        """Resume from the checkpoint's count."""
        if resumed:
            if counts.tokens is None:
                raise ValueError("of an earlier version")
            if self.processes.is_first:  # The others resume from nothing: it holds what all had read.
                self.tokens.restore(counts.tokens)

    def saving(self, counts: "Counts") -> None:
        """Put the count into the checkpoint."""
        counts.tokens = self._together().state()

    def bring_together(self) -> None:
        """Let each process hold what all have read."""
        self.tokens.restore(self._together().state())

    def _together(self) -> TokenCount:
        whole = TokenCount()
        for state in self.processes.gather_values(self.tokens.state()):
            count = TokenCount()
            count.restore(state)
            whole.merge(count)
        return whole
