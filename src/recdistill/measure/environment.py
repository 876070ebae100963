"""The machine and the software that a step ran on. Nothing that names a person, a host or a folder."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from recdistill.measure.profiler import GIB
from recdistill.storage.manifest import Environment, Git, Gpu

PACKAGES = (
    "recdistill",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "lightning-fabric",
    "numpy",
    "polars",
    "safetensors",
    "tokenizers",
)
COMMAND_SECONDS = 10
"""How long git or nvidia-smi may take to answer."""


def environment(device: str) -> Environment:
    """Describe this machine, for a step's manifest.

    Args:
        device: `cpu` or `cuda`, where the models run.

    Returns:
        `device`, `time` (UTC), `system`, `cpu` (model, cores, threads in use), `memory_gib`, `gpu` (name, memory,
        driver, CUDA) or None, `python`, `packages` with a version or None for each of :data:`PACKAGES`, and `git`
        (commit, and whether the package's files differ from it) or None outside a checkout.
    """
    return {
        "device": device,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": {"model": _cpu_model(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "memory_gib": round(psutil.virtual_memory().total / GIB, 2),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _own_git(),
    }


def _cpu_model() -> str:
    """The processor's name as the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> Gpu | None:
    """The first CUDA device; None where there is none."""
    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    driver = _answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return {
        "name": properties.name,
        "count": torch.cuda.device_count(),
        "memory_gib": round(properties.total_memory / GIB, 2),
        "driver": driver.splitlines()[0] if driver else None,
        "cuda": torch.version.cuda,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _own_git() -> Git | None:
    """Of this package; asked for once, since a process goes on with the code that it has read."""
    return _git(Path(__file__).parents[1])


def _git(package: Path) -> Git | None:
    """The commit that the package's files belong to; None where no repository tracks them.

    A package installed into an environment that lies inside some other checkout is not that checkout's, so tracking is
    asked for, not mere location.
    """
    if not _answer("git", "-C", str(package), "ls-files", "__init__.py"):
        return None
    commit = _answer("git", "-C", str(package), "rev-parse", "HEAD")
    # Without its optional lock, git only looks: a run that is killed here leaves nothing in somebody's checkout.
    changes = _answer("git", "--no-optional-locks", "-C", str(package), "status", "--porcelain", "--", ".")
    return {"commit": commit, "dirty": bool(changes)} if commit else None


def _answer(*command: str) -> str | None:
    """What a program prints; None where it is not installed, fails or hangs."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
