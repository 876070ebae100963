"""The worst inputs, read by the command itself in a process whose address space is limited (docs/security.md)."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from malformed import parquets, texts, yamls
from malformed.case import Case

LIMIT = 2 << 30
"""Bytes of address space: of Python, the libraries and what is read."""
CASES: dict[str, Case] = {case.name: case for part in (texts, yamls, parquets) for case in part.CASES}
WORST = {
    "events: a quoted field that never ends": ("csv", "a quote"),
    "events: a line of 100 MB": ("csv", "a value of more than"),
    "events: a million columns": ("csv", "more than 10,000 columns"),
    "settings: aliases of aliases": ("config", "more than 20,000 values"),
    "events: Parquet: a footer said to be 4294967295 bytes": ("parquet", "not a whole Parquet file"),
}


@pytest.mark.parametrize("name", WORST)
def test_the_command_needs_no_more_memory_than_is_stated(name: str, tmp_path: Path) -> None:
    source, said = WORST[name]
    CASES[name].write(tmp_path)
    (path,) = tmp_path.iterdir()
    words = ["--config", str(path)] if source == "config" else ["--data.source", source, "--data.path", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "recdistill", "prepare", "--run", str(tmp_path / "run"), *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("recdistill: error: ")]
    assert said in line
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [path]
