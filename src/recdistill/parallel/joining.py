"""How processes meet: those that torchrun, Slurm or this package has started, on one machine or several."""

import logging
from datetime import timedelta
from functools import cache

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch.distributed.distributed_c10d import _set_pg_timeout

from recdistill.errors import UserError
from recdistill.interruption import ended_by_signals
from recdistill.parallel.joined import Joined
from recdistill.parallel.network import choose_interface
from recdistill.parallel.started import (
    LostProcessError,
    check_srun,
    note_rank,
    started_by_srun,
    started_by_torchrun_or_slurm,
)

logger = logging.getLogger("recdistill")

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: as long as the longest step that the first does alone. A process that ends
takes its connections with it, so that the others need not wait so long to learn of it."""
STARTING = timedelta(minutes=30)
"""How long a process waits for others to start."""
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


def _launch(fabric: Fabric) -> None:
    """Meet the other processes.

    Raises:
        LostProcessError: not all came, or one cannot be reached.
    """
    try:
        fabric.launch()
    except RuntimeError as error:  # gloo and the store have this one, and classes of it, for all that goes wrong.
        told = str(error).splitlines()[0][:160]
        raise LostProcessError(
            f"the processes did not meet ({told}); were all of them started, and do the machines reach one another?"
        ) from error
    _set_pg_timeout(PATIENCE)  # torch has no public name for it.


@cache
def join(device: str, devices: int, nodes: int) -> Joined:
    """Join the processes that torchrun, Slurm or :func:`recdistill.parallel.launch.launch` has started; once is enough.

    Args:
        device: `cpu` or `cuda`; each process takes a GPU of its own.
        devices: processes on each machine.
        nodes: machines.

    Raises:
        UserError: other processes were started than these, or there are fewer GPUs.
    """
    started = started_by_torchrun_or_slurm()
    if started == 0:
        raise UserError(
            f"devices: {devices * nodes} processes are asked for and this one was started alone; `recdistill run` and "
            f"the commands of single steps start them, and a Python program is started by `torchrun --nproc-per-node "
            f"{devices} …` or by Slurm's srun (docs/processes.md)"
        )
    if started != devices * nodes:
        raise UserError(
            f"devices: {devices} times nodes: {nodes} is {devices * nodes} processes, and {started} were started"
        )
    if device == "cuda" and devices > torch.cuda.device_count():
        raise UserError(f"devices: {devices} processes take a GPU each, and there are {torch.cuda.device_count()} here")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # It greets with a banner.
    if started_by_srun():
        check_srun(devices, nodes)
    # Fabric does not see Slurm by itself in a job that is called `bash` or `interactive`, as salloc calls its own.
    environment = SLURMEnvironment() if started_by_srun() else TorchElasticEnvironment()
    if nodes > 1:
        choose_interface()
    strategy = DDPStrategy(process_group_backend=BACKENDS[device], timeout=STARTING)
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=strategy, plugins=environment)
    if fabric.global_rank == 0:
        logger.info("waiting for %d processes to start", started)
    with ended_by_signals():
        _launch(fabric)
    note_rank(fabric.global_rank)
    return Joined(fabric)
