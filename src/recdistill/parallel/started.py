"""What a process knows of the others before any of them is asked: who started it, and where it leaves its last line."""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import TypedDict

from recdistill.errors import UserError

LEFT_LINES = "RECDISTILL_LEFT_LINES"
"""Environment variable: the folder in which a process that `devices` has started leaves its last line."""
PR_SET_PDEATHSIG = 1


class LostProcessError(UserError):
    """Another process is gone, so this one cannot go on."""


class EndedError(Exception):
    """The processes ended, and not well.

    Attributes:
        line: what is said of it.
        status: the exit status of the command.
    """

    def __init__(self, line: str, status: int) -> None:
        super().__init__(line)
        self.line, self.status = line, status


class LeftLine(TypedDict):
    """`<rank>.json`: how a process ended.

    Attributes:
        line: what it has to say.
        status: its exit status.
        lost: whether it only ended since another one had.
    """

    line: str
    status: int
    lost: bool


class _State:
    """Of this process."""

    rank = 0


_state = _State()


def note_rank(rank: int) -> None:
    """This process is one of several from now on."""
    _state.rank = rank


def is_first() -> bool:
    """Whether this process speaks for all; one that is alone does."""
    return _state.rank == 0


def started_by_torchrun_or_slurm() -> int:
    """Processes that were started together with this one, itself counted; 0: it was started alone.

    The script of a Slurm job has `SLURM_NTASKS` and `SLURM_PROCID` too (seen in 22.05), and so has a command in it that
    `srun` did not start. Only `srun` says how many tasks its step has.
    """
    if not started_by_srun():
        return int(os.environ["WORLD_SIZE"]) if _started_by_torchrun() else 0
    return int(os.environ["SLURM_STEP_NUM_TASKS"])


def started_by_srun() -> bool:
    """Whether this process is a task of a Slurm step, and not one that torchrun has started in it."""
    return os.environ.get("SLURM_STEP_NUM_TASKS", "").isdigit() and not _started_by_torchrun()


def check_srun(devices: int, nodes: int) -> None:
    """Refuse a Slurm step whose tasks are not `devices` on each of `nodes` machines.

    Raises:
        UserError: names what to give to srun or sbatch.
    """
    machines, each = (os.environ.get(name, "") for name in ("SLURM_STEP_NUM_NODES", "SLURM_NTASKS_PER_NODE"))
    if machines != str(nodes):
        raise UserError(f"nodes: {nodes}, and srun has started tasks on {machines}; give srun --nodes={nodes}")
    if each != str(devices):
        told = f"--ntasks-per-node={each}" if each else "no --ntasks-per-node"
        raise UserError(f"devices: {devices}, and Slurm was given {told}; give srun --ntasks-per-node={devices}")


def _started_by_torchrun() -> bool:
    return os.environ.get("WORLD_SIZE", "").isdigit() and "RANK" in os.environ


def is_launched() -> bool:
    """Whether `devices` has started this process, which then leaves its last line to the one that did."""
    return LEFT_LINES in os.environ


def end_with_the_launcher() -> None:
    """Be asked to stop where the process that started this one is killed; Linux alone can do it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def last_line(line: str, status: int, lost: bool = False) -> None:
    """Tell how this process ends: to whoever started it, or on stderr.

    Args:
        line: without a line break.
        status: its exit status.
        lost: whether it only ends since another one did.
    """
    if is_launched():
        left: LeftLine = {"line": line, "status": status, "lost": lost}
        rank = os.environ.get("RANK", "0")
        Path(os.environ[LEFT_LINES], f"{rank}.json").write_text(json.dumps(left), encoding="utf-8")
    else:
        sys.stderr.write(f"{line}\n" if is_first() else f"process {_state.rank}: {line}\n")
