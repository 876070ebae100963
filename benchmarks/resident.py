"""Memory that this process holds, or held at most (Linux)."""

from pathlib import Path
from typing import Literal

GIB = 1024**3


def resident_gib(which: Literal["VmRSS", "VmHWM"] = "VmRSS") -> float:
    """This process's resident set now (VmRSS) or at most (VmHWM), GiB.

    `resource.getrusage` does not tell the latter: a process that was started by a larger one begins with that one's
    peak (`findings/peak-memory-of-a-child-is-its-parents.sh`).
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{which}:")).split()[1]) * 1024 / GIB


def forget_peak() -> None:
    """Let VmHWM begin anew from what is held now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
