"""What is left in an environment that was made for serving: the extra `serve` brings no torch."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from recdistill.cli.commands import TRAINING_LIBRARIES

ROOT = Path(__file__).parents[2]
WITHOUT = """\
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

MISSING = sys.argv[1].split(",")
sys.meta_path.insert(0, Missing())
from recdistill.cli import main
sys.exit(main(sys.argv[2:]))
"""


def without_training(*words: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", WITHOUT, ",".join(TRAINING_LIBRARIES), *words]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def test_torch_is_no_dependency_of_the_package_or_of_serving() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    names = {one.split(">")[0].split("[")[0] for one in needed}
    assert not names & {"torch", "recdistill", "lightning-fabric", "transformers", "peft", "polars"}
    assert "onnxruntime" in names


@pytest.mark.parametrize("words", [["--help"], ["recommend", "--help"], ["plan"]])
def test_what_needs_no_torch_works(words: list[str]) -> None:
    done = without_training(*words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", ["prepare --quiet --run x", "bundle .", "add-items . x --out y"])
def test_what_needs_torch_says_what_to_install(words: str) -> None:
    done = without_training(*words.split())
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is not installed; run pip install '.[train]'" in done.stderr
