"""`recdistill ... | head -1`: who reads no further gets no traceback, and the command ends as SIGPIPE would end it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recdistill import cli

COMMANDS = {
    "help": ["run", "--help", "teacher"],
    "settings": ["run", "--print_config"],
    "a mistake": ["compare", "nowhere", "--json"],
}


def unread(words: list[str], cache: Path) -> tuple[int, str]:
    """Exit status and stderr of a command whose stdout nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "recdistill", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"RECDISTILL_CACHE": str(cache)},
    )
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["help", "settings"])
def test_it_ends_without_a_word(name: str, tmp_path: Path) -> None:
    assert unread(COMMANDS[name], tmp_path) == (141, "")


def test_a_mistake_is_told_all_the_same(tmp_path: Path) -> None:
    status, told = unread(COMMANDS["a mistake"], tmp_path)
    assert status == 2
    assert told.startswith("recdistill: error: ")
    assert told.count("\n") == 1


def test_another_pipe_that_breaks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One between processes is no reader of the answer."""

    def broken(_: list[str]) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(cli, "_run", broken)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out, os.fdopen(reading):
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(BrokenPipeError):
            cli.main(["run"])
