"""Processes of their own: forked from one that has imported the package, which takes ten seconds."""

import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest


@cache
def _server() -> ForkServerContext:
    """It has run nothing of torch, so what it forks is like a process of its own."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # it finds its modules as a process of its own does
        forkserver.ensure_running()
    return server


def started(
    stderr: Path, work: Callable[..., object], *arguments: object, told: Mapping[str, object] | None = None
) -> ForkServerProcess:
    """A process that has begun some work.

    Args:
        stderr: new file that takes what it says.
        work: must be found by its module's name.
        arguments: of `work`.
        told: environment variables, if any, beside those of this process.
    """
    process = _server().Process(target=_begin, args=(stderr, {**os.environ, **(told or {})}, work, arguments))
    process.start()
    return process


def _begin(
    stderr: Path, told: Mapping[str, object], work: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    gc.freeze()
    os.environ.update({name: str(value) for name, value in told.items()})
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    work(*arguments)


def command(words: list[str]) -> None:
    """What a process does that is a command: its words behind `recdistill`."""
    from recdistill.cli import main

    sys.exit(main(words))


def ended(words: Sequence[str], stderr: Path, before: Callable[..., None], *arguments: object) -> int | None:
    """Run a command in a process where something has been changed before.

    Args:
        words: behind `recdistill`.
        stderr: new file that takes what it says.
        before: what changes it: :func:`kill_after`, :func:`kill_bench_after` or :func:`fill_disk_at`.
        arguments: of `before`.

    Returns:
        The process's exit code, negative where it was ended by a signal.
    """
    process = started(stderr, _changed, list(words), before, arguments)
    process.join()
    return process.exitcode


def _changed(words: list[str], before: Callable[..., None], arguments: tuple[object, ...]) -> None:
    before(*arguments)
    command(words)


def kill_after(step: str, checkpoints: int) -> None:
    """The process kills itself once it has written so many checkpoints of a step, which is its folder's name."""
    from recdistill.training import checkpoint, loop

    written: list[str] = []
    write = checkpoint.save_checkpoint

    def save_checkpoint(folder: Path, *rest: Any) -> None:
        write(folder, *rest)
        written.append(folder.name)
        if written.count(f"{step}.partial") == checkpoints:
            os.kill(os.getpid(), signal.SIGKILL)

    vars(loop)["save_checkpoint"] = save_checkpoint


def kill_bench_after(rows: int) -> None:
    """A bench kills itself once it has written so many rows; its cells are forked from it."""
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


def fill_disk_at(most: int) -> None:
    """The process may write no file beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


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
    of_all = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    for rank in range(size):
        told = of_all | {"RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_RUN_ID": "test"}
        said = stderr.with_name(f"{stderr.name}{rank}")
        processes.append(started(said, work, *arguments, told=told))
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]
