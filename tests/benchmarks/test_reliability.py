"""A few kills and a few damages, of a run and its bundle alone; docs/reliability.md has the figures of many."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_MOUNTS = ("kill", "rename", "term", "interrupt", "full", "read-only", "slow", "two", "clock")
"""A test that is killed must leave no file system mounted."""
OPTIONS = {"torture": ("--kills=3", "--kinds", *WITHOUT_MOUNTS), "damage": ("--damages=3",)}
SCRIPT = """
import json, sys
import damage, torture
options = json.loads(sys.argv[1])
print(json.dumps({"torture": torture.main(options["torture"]), "damage": damage.main(options["damage"])}))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int], str]:
    """Where both scripts wrote, what they returned and what was said; in one process, which imports all once."""
    out = tmp_path_factory.mktemp("reliability")
    words = {name: ["--out", str(out), *more, "--only", "run", "bundle"] for name, more in OPTIONS.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("script", OPTIONS)
def test_nothing_is_lost_and_nothing_damaged_is_used(ended: tuple[Path, dict[str, int], str], script: str) -> None:
    out, status, said = ended
    lines = (out / f"{script}.jsonl").read_text()
    assert status[script] == 0, said + lines
    found = [json.loads(line) for line in lines.splitlines()]
    if script == "torture":
        assert {"kill", "lap"} <= {one["kind"] for one in found}
        assert all(one["ok"] for one in found)
    else:
        assert len(found) == 3
        assert {one["found"] for one in found} <= {"named", "rebuilt", "harmless"}
