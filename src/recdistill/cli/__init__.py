"""The command line: parses, calls the pipeline, prints."""

import os
import select
import signal
import sys
from collections.abc import Sequence

from recdistill.cli import recommend

__all__ = ["main"]


NO_READER = 128 + signal.SIGPIPE
"""Exit status where whatever read the answer has ended, as of a program that SIGPIPE ends."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 after a mistake of the person's, which is told in one line on stderr; 130 after Ctrl-C (SIGINT) and 143
        after SIGTERM, with one line that says what was saved; 141, without a word, where nobody reads the answer any
        more (`recdistill ... | head -1`).
    """
    # Threads that wait for one another should sleep, not spin: on a machine that does anything else beside, spinning
    # makes each small operation wait for a whole time slice. It must be said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()  # Here and not when Python ends, where a broken pipe would be told in four lines.
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        _write_into_the_void()
        return NO_READER


def _run(words: list[str]) -> int:
    if words[:1] == [recommend.COMMAND] and (options := recommend.read_command(words)):
        return recommend.answer(options)
    from recdistill.cli import commands  # here, since it imports the parser of all settings

    return commands.main(words)


def _reader_is_gone() -> bool:
    """Whether stdout is the pipe that broke, and not one between processes."""
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _write_into_the_void() -> None:
    """What is left in stdout's buffer is written when Python ends, and must go somewhere."""
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, sys.stdout.fileno())
    os.close(void)
