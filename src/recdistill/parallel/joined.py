"""Processes that Lightning Fabric has joined: gloo between CPUs, NCCL between GPUs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from recdistill.interruption import requested, stop_together
from recdistill.parallel.processes import Processes
from recdistill.parallel.started import LostProcessError

T = TypeVar("T")
Array = TypeVar("Array", bound=NDArray[Any])
P = ParamSpec("P")


class Joined(Processes):
    """Use :func:`recdistill.parallel.joining.join`.

    Sums are of all processes' numbers, not their means: a loss over a batch is divided by the targets of the whole
    batch, so that a step is the same with any number of processes, whatever share of the targets each has. That is why
    no `DistributedDataParallel` is around the model: it takes means of gradients, each process's counting alike.
    """

    take_part: Callable[[], None] | None = None
    """Has a model that is spread over the processes take part in a reading of another (:mod:`.spread`)."""

    def __init__(self, fabric: Fabric) -> None:
        self.rank, self.size = fabric.global_rank, fabric.world_size
        self.draws = torch.Generator()
        self._fabric = fabric

    def turns(self, one_after_another: Sequence[T]) -> Iterator[T]:
        """This process's part, as :meth:`own` has it; after each the work can be stopped, in all processes together.

        Raises:
            Interrupted: a signal came, to this process or to another.
        """
        for start in range(0, len(one_after_another), self.size):
            if start + self.rank < len(one_after_another):
                yield one_after_another[start + self.rank]
            self.level()
            stop_together(self.any(requested()))

    def sums(self, numbers: Iterable[float]) -> list[float]:
        """Each number summed over all processes, in double precision."""
        summed = torch.tensor(list(numbers), dtype=torch.float64)
        _collective(dist.all_reduce, summed)
        return [float(one) for one in summed]

    def sum_array(self, numbers: Array) -> Array:
        """Each entry summed over all processes; shapes are alike."""
        _collective(dist.all_reduce, torch.from_numpy(numbers))  # in place: they share their memory
        return numbers

    def sum_gradients(self, parameters: Sequence[nn.Parameter], loss: float) -> float:
        """Put the sum of all processes' gradients into each parameter, and return that of their losses; a parameter
        that has no gradient anywhere keeps none.

        Dense gradients of a type travel as one. Of sparse ones all rows are brought together, so each process then
        holds the rows that any of them met.
        """
        held_here = [one.grad is not None for one in parameters]
        sparse_here = [one.grad is not None and one.grad.is_sparse for one in parameters]
        loss, *counts = self.sums([loss, *held_here, *sparse_here])
        there, sparse = counts[: len(parameters)], counts[len(parameters) :]
        dense: dict[torch.dtype, list[Tensor]] = {}
        for parameter, held, rows in zip(parameters, there, sparse, strict=True):
            if not held:
                continue
            if rows:
                parameter.grad = self._sum_of_sparse(parameter)
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dense.setdefault(parameter.dtype, []).append(parameter.grad)
        for gradients in dense.values():
            together = torch.cat([one.reshape(-1) for one in gradients])
            _collective(dist.all_reduce, together)
            for gradient, summed in zip(gradients, together.split([one.numel() for one in gradients]), strict=True):
                gradient.copy_(summed.view_as(gradient))
        return loss

    def _sum_of_sparse(self, parameter: nn.Parameter) -> Tensor:
        """The rows of all processes' gradients of a table (N, D), each row once."""
        gradient = parameter.grad
        if gradient is None:
            no_rows = torch.empty(1, 0, dtype=torch.int64, device=parameter.device)
            gradient = torch.sparse_coo_tensor(no_rows, parameter.new_empty(0, *parameter.shape[1:]), parameter.shape)
        if not gradient.is_sparse:
            raise ValueError("a gradient is sparse in one process and dense in another")
        held = gradient.coalesce()
        (rows, _), (values, _) = self.gather(held.indices()[0]), self.gather(held.values())
        return torch.sparse_coo_tensor(rows.unsqueeze(0), values, parameter.shape).coalesce()

    def gather(self, rows: Tensor) -> tuple[Tensor, int]:
        """All processes' rows (M_r, …) end to end, and the place at which this process's own begin."""
        counts = [int(count) for count in self.sums(len(rows) * (rank == self.rank) for rank in range(self.size))]
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        _collective(dist.all_gather, parts, padded)
        whole = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
        return whole, sum(counts[: self.rank])

    def gather_values(self, value: T) -> list[T]:
        """What each process holds, in their order."""
        values: list[T] = [value] * self.size
        _collective(dist.all_gather_object, values, value)
        return values

    def share(self, value: T) -> T:
        """What the first process holds."""
        shared: T = _collective(self._fabric.broadcast, value)
        return shared

    def share_weights(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each parameter the first process's values."""
        with torch.no_grad():
            for parameter in parameters:
                _collective(dist.broadcast, parameter.detach(), 0)

    def seed(self, seed: int, step: int) -> None:
        """Seed what a step draws at random: :attr:`draws` alike in all processes, torch's own generators in each
        differently. A step's numbers follow from the seed and its own number, so a training that resumes with another
        number of processes needs no states of theirs.
        """
        self.draws.manual_seed(_number(seed, step))
        torch.manual_seed(_number(seed, step, self.rank + 1))

    def wait(self) -> None:
        """Until all are here."""
        self.sums([0.0])

    def reads(self) -> None:
        """Tell the others that this process reads a model which is spread over all."""
        self.sums([1.0])

    def level(self) -> None:
        """Until no process reads the spread model any more; returns at once where none is spread."""
        while self.take_part is not None and self.sums([0.0])[0]:
            self.take_part()

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The first process does the block alone, then the first of each other machine, which may have other disks, and
        then the rest: they find what was left for them.
        """
        turn = 0 if self.is_first else 2 if self._fabric.local_rank else 1
        for _ in range(turn):
            self.wait()
        yield
        for _ in range(2 - turn):
            self.wait()


def _number(*parts: int) -> int:
    """A seed that follows from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def _collective(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call what all processes take part in.

    Raises:
        LostProcessError: one of them is gone.
    """
    try:
        return call(*arguments, **named)
    except RuntimeError as error:  # gloo has no class of its own for it; NCCL's is one of these
        if not any(word in str(error).lower() for word in ("connection", "peer", "nccl", "timed out", "socket")):
            raise
        raise LostProcessError(f"another process is gone ({str(error).splitlines()[0][:120]})") from error
