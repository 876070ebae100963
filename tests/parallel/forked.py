"""A command that starts its processes itself, where these are forked: to import all anew takes each ten seconds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Forked:
    """What torch's agent needs of a process, as `subprocess.Popen` has it.

    Args:
        words: of the command that it runs, behind `recdistill`.
        told: all its environment variables.
        stderr: new file that takes what it says.
    """

    def __init__(self, words: list[str], told: dict[str, str], stderr: Path) -> None:
        self.args = words
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            _run(words, told, stderr)

    def poll(self) -> int | None:
        """Its exit code, negative where a signal ended it; None: it goes on."""
        return self._ended(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int | None:
        """The same, once it has ended."""
        if timeout is None:
            return self._ended(0)
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.05)
        return self.returncode

    def _ended(self, how: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, how)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def _run(words: list[str], told: dict[str, str], stderr: Path) -> None:
    status = 1
    try:
        from recdistill.cli import main

        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(told)
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        status = main(words)
    finally:
        os._exit(status)


def launch(words: list[str], stderr: Path) -> None:
    """Run a command whose processes are forked from this one.

    Args:
        words: behind `recdistill`.
        stderr: new files `<stderr><rank>` take what they say.
    """
    from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import SubprocessHandler

    from processes import command

    def forked(handler: Any, words_of_python: tuple[str, ...], told: dict[str, str]) -> Forked:
        assert words_of_python[:3] == (sys.executable, "-m", "recdistill")
        return Forked(list(words_of_python[3:]), told, stderr.with_name(f"{stderr.name}{told['RANK']}"))

    setattr(SubprocessHandler, "_popen", forked)  # noqa: B010 (it is a method)
    command(words)
