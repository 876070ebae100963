"""Processes that Lightning Fabric has joined: gloo between CPUs, NCCL between GPUs."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from numpy.typing import NDArray
from torch import Tensor, nn

from recdistill.parallel.processes import LostProcessError, Processes

T = TypeVar("T")
Array = TypeVar("Array", bound=NDArray[Any])
P = ParamSpec("P")

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: as long as the longest step that the first does alone. A process that ends
takes its connections with it, so that the others need not wait so long to learn of it."""
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


class Joined(Processes):
    """Use :func:`join`.

    Sums are of all processes' numbers, not their means: a loss over a batch is divided by the targets of the whole
    batch, so that a step is the same with any number of processes, whatever share of the targets each has. That is why
    no `DistributedDataParallel` is around the model: it takes means of gradients, each process's counting alike.
    """

    def __init__(self, fabric: Fabric, local_size: int) -> None:
        self.rank, self.size, self.local_size = fabric.global_rank, fabric.world_size, local_size
        self._fabric = fabric

    def sums(self, numbers: Iterable[float]) -> list[float]:
        """Each number summed over all processes, in double precision."""
        summed = torch.tensor(list(numbers), dtype=torch.float64)
        _collective(dist.all_reduce, summed)
        return [float(one) for one in summed]

    def sum_array(self, numbers: Array) -> Array:
        """Each entry summed over all processes; shapes are alike."""
        _collective(dist.all_reduce, torch.from_numpy(numbers))  # in place: they share their memory
        return numbers

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Put the sum of all processes' gradients into each parameter; one that has none anywhere keeps none.

        Dense gradients of a type travel as one. Of sparse ones all rows are brought together, so each process then
        holds the rows that any of them met.
        """
        there = self.sums(float(one.grad is not None) for one in parameters)
        sparse = self.sums(float(one.grad is not None and one.grad.is_sparse) for one in parameters)
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

    def share(self, value: T) -> T:
        """What the first process holds."""
        shared: T = _collective(self._fabric.broadcast, value)
        return shared

    def wait(self) -> None:
        """Until all are here."""
        self.sums([0.0])

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The first process of each machine does the block alone, and then the others, which find what it left."""
        if self._fabric.local_rank:
            self.wait()
        yield
        if not self._fabric.local_rank:
            self.wait()


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


def join(device: str, devices: int, nodes: int) -> Joined:
    """Join the processes that torchrun, Slurm or this program has started.

    Args:
        device: `cpu` or `cuda`; each process takes a GPU of its own.
        devices: processes on each machine.
        nodes: machines.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # It greets with a banner.
    strategy = DDPStrategy(process_group_backend=BACKENDS[device], timeout=PATIENCE)
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=strategy)
    fabric.launch()
    return Joined(fabric, devices)


def started_together() -> int:
    """Processes of which torchrun, Slurm or this program says that this is one; 0: it was started alone."""
    for name in ("WORLD_SIZE", "SLURM_NTASKS"):
        if os.environ.get(name, "").isdigit() and ("RANK" in os.environ or "SLURM_PROCID" in os.environ):
            return int(os.environ[name])
    return 0
