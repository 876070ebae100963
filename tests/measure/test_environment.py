import json
import os
import platform
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recdistill.measure import environment as module
from recdistill.measure.environment import environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A checkout with a package in it."""
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    return package


def test_says_what_there_is() -> None:
    found = environment("cpu")
    assert found["device"] == "cpu"
    assert found["python"] == platform.python_version()
    assert found["packages"]["torch"] == torch.__version__
    assert found["cpu"]["cores"] == os.cpu_count()
    assert found["cpu"]["threads"] == torch.get_num_threads()
    assert found["cpu"]["model"]
    assert found["memory_gib"] > 0.1
    assert (found["gpu"] is None) == (not torch.cuda.is_available())
    json.dumps(found, allow_nan=False)


def test_names_nobody_and_no_place() -> None:
    text = json.dumps(environment("cpu"))
    assert not platform.node() or platform.node() not in text
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package", "torch"))
    assert environment("cpu")["packages"] == {"no-such-package": None, "torch": torch.__version__}


def test_commit_and_whether_it_was_changed(package: Path, tmp_path: Path) -> None:
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert module._git(package) == {"commit": commit, "dirty": False}
    (tmp_path / "notes.txt").write_text("beside the package")
    assert module._git(package) == {"commit": commit, "dirty": False}
    (package / "new.py").write_text("")
    assert module._git(package) == {"commit": commit, "dirty": True}


def test_a_package_that_no_repository_tracks_has_no_commit(package: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("")
    git(tmp_path, "add", "other.txt")
    git(tmp_path, "commit", "-qm", "one")
    assert module._git(package) is None


def test_programs_that_are_missing_fail_or_hang_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._answer("no-such-program") is None
    assert module._answer("git", "no-such-command") is None
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.05)
    assert module._answer("sleep", "5") is None


@pytest.mark.parametrize(("answer", "driver"), [("570.1\n570.1", "570.1"), (None, None)])
def test_a_gpu_is_described_with_or_without_nvidia_smi(
    monkeypatch: pytest.MonkeyPatch, answer: Any, driver: bool
) -> None:
    properties = SimpleNamespace(name="Some GPU", total_memory=80 * 1024**3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(module, "_answer", lambda *command: answer)
    found = environment("cuda")["gpu"]
    assert found == {"name": "Some GPU", "count": 2, "memory_gib": 80.0, "driver": driver, "cuda": torch.version.cuda}
