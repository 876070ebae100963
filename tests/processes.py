"""Processes that are killed in the middle: forked from one that has imported the package, which takes ten seconds."""

import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any


@cache
def _server() -> ForkServerContext:
    """It has run nothing of torch, so what it forks is like a process of its own."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["recdistill.cli", "recdistill.pipeline"])
    return server


def killed_after(step: str, checkpoints: int, command: Sequence[str], stderr: Path) -> int | None:
    """Run a command in a process that kills itself once it has written so many checkpoints of a step.

    Args:
        step: the name of its folder.
        checkpoints: how many are written before the end.
        command: words behind `recdistill`.
        stderr: new file that takes what it says.

    Returns:
        The process's exit code, negative where it was ended by a signal.
    """
    process = _server().Process(target=_run, args=(step, checkpoints, list(command), stderr))
    process.start()
    process.join()
    return process.exitcode


def ended_with_full_disk(most: int, command: Sequence[str], stderr: Path) -> int | None:
    """Run a command in a process that may write no file beyond so many bytes.

    Args:
        most: bytes of a file.
        command: words behind `recdistill`.
        stderr: new file that takes what it says.

    Returns:
        The process's exit code, negative where it was ended by a signal.
    """
    process = _server().Process(target=_run_limited, args=(most, list(command), stderr))
    process.start()
    process.join()
    return process.exitcode


def _run_limited(most: int, command: list[str], stderr: Path) -> None:
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    from recdistill.cli import main

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    sys.exit(main(command))


def bench_killed_after(row: int, command: Sequence[str], stderr: Path) -> int | None:
    """Run a bench in a process that kills itself once it has written so many rows; its cells are forked from it.

    Args:
        row: how many are written before the end.
        command: words behind `recdistill`.
        stderr: new file that takes what it says.

    Returns:
        The process's exit code, negative where it was ended by a signal.
    """
    process = _server().Process(target=_run_bench, args=(row, list(command), stderr))
    process.start()
    process.join()
    return process.exitcode


def _run_bench(rows: int, command: list[str], stderr: Path) -> None:
    gc.freeze()
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    from recdistill.cli import main
    from recdistill.experiments.bench import runner
    from small_chain import fork_cells

    written: list[object] = []
    write = vars(runner)["add_row"]

    def add_row(out: Path, row: Any) -> None:
        write(out, row)
        written.append(row)
        if len(written) == rows:
            os.kill(os.getpid(), signal.SIGKILL)

    vars(runner)["add_row"] = add_row
    fork_cells()
    sys.exit(main(command))


def _run(step: str, checkpoints: int, command: list[str], stderr: Path) -> None:
    gc.freeze()
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    from recdistill.cli import main
    from recdistill.training import checkpoint, loop

    written: list[str] = []
    write = checkpoint.save_checkpoint

    def save_checkpoint(folder: Path, *rest: Any) -> None:
        write(folder, *rest)
        written.append(folder.name)
        if written.count(f"{step}.partial") == checkpoints:
            os.kill(os.getpid(), signal.SIGKILL)

    vars(loop)["save_checkpoint"] = save_checkpoint
    sys.exit(main(command))


def together(size: int, work: Callable[..., object], arguments: Sequence[object], stderr: Path) -> list[int | None]:
    """Do the same in several processes that know of one another as torchrun's do.

    Args:
        size: how many.
        work: what each does; it must be found by its module's name.
        arguments: of `work`.
        stderr: new files `<stderr><rank>` take what they say.

    Returns:
        Their exit codes, negative where one was ended by a signal.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank in range(size):
        told: dict[str, object] = {
            **os.environ,
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": size,
            "LOCAL_WORLD_SIZE": size,
        }
        told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
        said = stderr.with_name(f"{stderr.name}{rank}")
        processes.append(_server().Process(target=_work_together, args=(told, work, list(arguments), said)))
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _work_together(told: dict[str, object], work: Callable[..., object], arguments: list[object], stderr: Path) -> None:
    gc.freeze()
    os.environ.update({name: str(value) for name, value in told.items()})
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    work(*arguments)
