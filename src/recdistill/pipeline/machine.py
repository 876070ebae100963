"""What a run is done with: a device, and the processes that do it together."""

import logging
import socket
import time
from pathlib import Path
from uuid import uuid4

import torch

from recdistill.config import RunConfig
from recdistill.errors import UserError
from recdistill.parallel.processes import ALONE, Processes
from recdistill.storage.files import disk_errors

logger = logging.getLogger("recdistill")

SECONDS_TO_SEE = 60.0
"""How long a machine may take to see what another one has written."""


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


def check_shared(folder: Path, processes: Processes) -> None:
    """Have each process look for a file that the first has just written into the run's folder.

    Raises:
        UserError: a process does not see it, so it is another folder there, or its machine does not share it.
    """
    name = processes.share(f".seen-{uuid4().hex}")
    if processes.is_first:
        with disk_errors(folder):
            (folder / name).touch()
    processes.wait()
    where = "" if _appears(folder / name) else f"{folder.absolute()} on {socket.gethostname()}"
    found = processes.gather_values(where)
    if processes.is_first:
        (folder / name).unlink(missing_ok=True)
    if unseen := sorted({each for each in found if each}):
        raise UserError(
            f"run: {', '.join(unseen)} is not the folder that the first process writes to; all machines must see the "
            "run's folder under the same path"
        )


def _appears(path: Path) -> bool:
    """Whether a file is there within :data:`SECONDS_TO_SEE`: other machines may learn of it late (NFS)."""
    end = time.monotonic() + SECONDS_TO_SEE
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def choose_device(wish: str) -> str:
    """`cpu` or `cuda`; auto takes CUDA where there is a device.

    Raises:
        UserError: cuda was asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for and there is no CUDA device here")
    return "cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu"
