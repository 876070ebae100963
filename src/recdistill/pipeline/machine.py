"""What a run is done with: a device, and the processes that do it together."""

import logging

import torch

from recdistill.config import RunConfig
from recdistill.errors import UserError
from recdistill.parallel.processes import ALONE, Processes

logger = logging.getLogger("recdistill")


def processes_of(config: RunConfig, device: str) -> Processes:
    """The processes of the run; all but the first say nothing but errors.

    Raises:
        UserError: others were started than the settings say.
    """
    if config.devices * config.nodes == 1:
        return ALONE
    from recdistill.parallel.joining import join  # Fabric's strategies take a second to read.

    processes = join(device, config.devices, config.nodes)
    if not processes.is_first:
        logger.setLevel(logging.ERROR)
    logger.info("%d processes work together", processes.size)
    return processes


def choose_device(wish: str) -> str:
    """`cpu` or `cuda`; auto takes CUDA where there is a device.

    Raises:
        UserError: cuda was asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for and there is no CUDA device here")
    return "cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu"
