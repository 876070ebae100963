"""A few kills and a few damages, of a run and its bundle alone; docs/reliability.md has the figures of many."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


WITHOUT_MOUNTS = ("kill", "rename", "term", "interrupt", "full", "read-only", "slow", "two", "clock")
"""A test that is killed must leave no file system mounted."""


@pytest.mark.parametrize(
    ("script", "options"), [("torture", ["--kills=3", "--kinds", *WITHOUT_MOUNTS]), ("damage", ["--damages=3"])]
)
def test_nothing_is_lost_and_nothing_damaged_is_used(tmp_path: Path, script: str, options: list[str]) -> None:
    words = [sys.executable, str(ROOT / f"benchmarks/{script}.py"), "--out", str(tmp_path), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, "--only", "run", "bundle"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr + (tmp_path / f"{script}.jsonl").read_text()
    found = [json.loads(line) for line in (tmp_path / f"{script}.jsonl").read_text().splitlines()]
    if script == "torture":
        assert {"kill", "lap"} <= {one["kind"] for one in found}
        assert all(one["ok"] for one in found)
    else:
        assert len(found) == 3
        assert {one["found"] for one in found} <= {"named", "rebuilt", "harmless"}
