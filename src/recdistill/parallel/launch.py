"""Start a command in several processes on this machine, by the agent that torchrun is made of."""

import json
import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from recdistill.parallel.started import LEFT_LINES, EndedError, LeftLine

SHUTDOWN_SECONDS = 600
"""How long processes that are asked to stop may take to save what they have; the longest is a step of a teacher."""
OF_SIGNALS = 128
"""Exit statuses from here on are of a process that a signal has stopped."""
UNSAVED = "the others were stopped; the same command resumes from what was saved"


def launch(words: Sequence[str], devices: int) -> None:
    """Run `recdistill` with these words in several processes, and wait for them. Where one ends, all end.

    Args:
        words: the command and its settings.
        devices: how many.

    Raises:
        EndedError: a signal came, a process was killed, or one has told a mistake.
    """
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # Its reports are many lines long.
    with tempfile.TemporaryDirectory(prefix="recdistill-") as folder:
        os.environ[LEFT_LINES] = folder
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.2,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "recdistill", *words)
        except SignalException as stopped:
            left = _left_lines(Path(folder))
            told = left.get(0) or next(iter(left.values()), None)
            status = 128 + int(stopped.sigval)
            raise EndedError(told["line"] if told else f"recdistill: stopped; {UNSAVED}", status) from stopped
        except ChildFailedError as failed:
            raise _ended(failed.failures, _left_lines(Path(folder)), devices) from failed
        finally:
            del os.environ[LEFT_LINES]


def _left_lines(folder: Path) -> dict[int, LeftLine]:
    """The last lines of the processes that left one, by rank."""
    return {int(path.stem): json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def _as_left(line: LeftLine) -> EndedError:
    return EndedError(line["line"], line["status"])


def _ended(failures: Mapping[int, ProcessFailure], left: Mapping[int, LeftLine], devices: int) -> EndedError:
    """Why all ended: the first that did not end for another one's sake.

    Of a process that is gone the others learn from their connections or from the agent's SIGTERM, whichever is sooner.
    """
    told = [rank for rank, line in left.items() if not line["lost"] and line["status"] < OF_SIGNALS]
    stopped = [rank for rank, line in left.items() if not line["lost"] and line["status"] >= OF_SIGNALS]
    silent = [rank for rank in failures if rank not in left]
    killed = sorted(silent, key=lambda rank: failures[rank].timestamp)
    if told:
        return _as_left(left[told[0]])
    if killed:
        how = failures[killed[0]]
        ending = f"was ended by {how.signal_name()}" if how.exitcode < 0 else f"ended with status {how.exitcode}"
        return EndedError(f"recdistill: error: process {killed[0]} of {devices} {ending}; {UNSAVED}", 1)
    if stopped:
        return _as_left(left[stopped[0]])
    lines = list(left.values())
    return EndedError(lines[0]["line"] if lines else f"recdistill: error: a process ended; {UNSAVED}", 1)
