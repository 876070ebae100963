"""The configurations that come with the package."""

import re
import tomllib
from pathlib import Path

import pytest

from recdistill.cli import main
from recdistill.cli.shipped import CONFIGS

ROOT = Path(__file__).parents[2]


def test_all_of_the_repositorys_configurations_are_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine"
    assert main(["configs", "--out", str(out)]) == 0
    names = {path.relative_to(out) for path in out.rglob("*.yaml")}
    assert names == {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    assert (out / "csv.yaml").read_bytes() == (ROOT / "configs" / "csv.yaml").read_bytes()
    assert str(out / "bench" / "smoke.yaml") in capsys.readouterr().out


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["configs", "--out", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_wheel_takes_every_configuration() -> None:
    """One pattern a folder: a new folder of configurations needs one too."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["recdistill"]
    packed = {path for pattern in data for path in CONFIGS.parent.glob(pattern)}
    assert packed >= set(CONFIGS.rglob("*.yaml"))


def test_help_names_configurations_that_come_with_the_package() -> None:
    text = (ROOT / "src/recdistill/cli/parser.py").read_text()
    named = re.findall(r"configs/[\w/-]+\.yaml", text)
    assert named
    assert all((CONFIGS.parent / name).is_file() for name in named)
