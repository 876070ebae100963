"""What Slurm says of a process, as 22.05 was seen to say it: in a job's script, and in a step that srun has started."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from recdistill.config import TrainConfig
from recdistill.errors import UserError
from recdistill.parallel.joining import join
from recdistill.parallel.started import check_srun, started_by_srun, started_by_torchrun_or_slurm
from recdistill.training.optimisation import Optimisation

SCRIPT = {"SLURM_NTASKS": "2", "SLURM_NPROCS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
"""Of a job with `--ntasks=2`. srun's tasks have these too."""
STEP = SCRIPT | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}


@pytest.fixture(autouse=True)
def _nothing_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_") or name in ("WORLD_SIZE", "RANK")]:
        monkeypatch.delenv(name)


def say(monkeypatch: pytest.MonkeyPatch, told: dict[str, str]) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)


class Line(nn.Module):
    """The smallest thing that can be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(1, 1)

    def parameter_groups(self) -> list[dict[str, object]]:
        return [{"params": list(self.weight.parameters())}]


def test_a_command_in_the_script_of_a_job_was_started_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, SCRIPT)
    assert started_by_torchrun_or_slurm() == 0
    with pytest.raises(UserError, match=r"this one was started alone; .* or by Slurm's srun"):
        join("cpu", 2, 1)


def test_one_process_trains_in_the_script_of_a_job_of_several_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, SCRIPT)
    optimisation = Optimisation(Line(), TrainConfig(), "cpu", "fp32")  # type: ignore[arg-type]
    optimisation.step()
    assert not torch.distributed.is_initialized()


def test_a_task_of_srun_is_one_of_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, STEP)
    assert started_by_srun()
    assert started_by_torchrun_or_slurm() == 2
    say(monkeypatch, {"WORLD_SIZE": "8", "RANK": "3"})
    assert not started_by_srun()
    assert started_by_torchrun_or_slurm() == 8


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({}, "devices: 2, and Slurm was given no --ntasks-per-node; give srun --ntasks-per-node=2"),
        ({"SLURM_NTASKS_PER_NODE": "1"}, "devices: 2, and Slurm was given --ntasks-per-node=1; give srun"),
        ({"SLURM_STEP_NUM_NODES": "2"}, "nodes: 1, and srun has started tasks on 2; give srun --nodes=1"),
    ],
)
def test_a_step_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch, told: dict[str, str], line: str) -> None:
    say(monkeypatch, STEP | told)
    with pytest.raises(UserError, match=line):
        join("cpu", 2, 1)
    say(monkeypatch, {"SLURM_STEP_NUM_NODES": "1", "SLURM_NTASKS_PER_NODE": "2"})
    check_srun(2, 1)


WAITS = """
from recdistill.interruption import handled_signals
from recdistill.parallel.joining import join
from recdistill.progress import set_up_logging
set_up_logging(False)
with handled_signals():
    join("cpu", 2, 1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_that_waits_for_others_to_start(number: signal.Signals) -> None:
    told = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], env=os.environ | told, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stderr is not None
    assert "waiting for 2 processes to start" in process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(timeout=60) == -number
