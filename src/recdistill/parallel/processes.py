"""The processes that do a step together, and what they tell one another; one process alone is the simplest case.

Every process does the same steps in the same order. Each call below is made by all of them, in the same order, and
returns when all have made it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recdistill.interruption import stop_point

T = TypeVar("T")
Array = TypeVar("Array", bound=NDArray[Any])


class Processes:
    """One process alone: what all hold together is what it holds.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.
        draws: random numbers that are the same in all of them.
        idle: whether this process computes for nothing at the moment, since there is nothing left for it to do.
    """

    rank = 0
    size = 1
    draws: torch.Generator = torch.default_generator
    idle = False

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes what all have made."""
        return self.rank == 0

    def own(self, one_after_another: Sequence[T]) -> Sequence[T]:
        """This process's part: every `size`-th, from its own number on."""
        return one_after_another[self.rank :: self.size]

    def turns(self, one_after_another: Sequence[T]) -> Iterator[T]:
        """This process's part, as :meth:`own` has it; after each the work can be stopped, in all processes together.

        Raises:
            Interrupted: a signal came, to this process or to another.
        """
        for each in one_after_another:
            yield each
            stop_point()

    def sums(self, numbers: Iterable[float]) -> list[float]:
        """Each number summed over all processes, in double precision."""
        return list(numbers)

    def sum_array(self, numbers: Array) -> Array:
        """Each entry summed over all processes; shapes are alike."""
        return numbers

    def sum_gradients(self, parameters: Sequence[nn.Parameter], loss: float) -> float:
        """Put the sum of all processes' gradients into each parameter, and return that of their losses; a parameter
        that has no gradient anywhere keeps none.
        """
        return loss

    def gather(self, rows: Tensor) -> tuple[Tensor, int]:
        """All processes' rows (M_r, …) end to end, and the place at which this process's own begin."""
        return rows, 0

    def gather_values(self, value: T) -> list[T]:
        """What each process holds, in their order."""
        return [value]

    def share(self, value: T) -> T:
        """What the first process holds."""
        return value

    def share_weights(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each parameter the first process's values."""

    def seed(self, seed: int, step: int) -> None:
        """Seed what a step draws at random: :attr:`draws` alike in all processes, torch's own generators in each
        differently. One process alone goes on with torch's generator where it is.
        """

    def any(self, said: bool) -> bool:
        """Whether any process says so."""
        return bool(self.sums([said])[0])

    def wait(self) -> None:
        """Until all are here."""

    def level(self) -> None:
        """Where a model is spread over the processes: take part in what the others read, until none reads any more."""

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The first process does the block before the others, which find what it left."""
        yield


ALONE = Processes()
