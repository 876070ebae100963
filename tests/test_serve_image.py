"""What the image installs is what serving needs, in the versions that were tested, and nothing else."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def pinned(name: str) -> dict[str, str]:
    """Package → version."""
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==([^ \n]+)", (ROOT / name).read_text(), flags=re.MULTILINE)
    return {str(canonicalize_name(one)): version for one, version in pins}


def test_the_image_has_the_packages_of_the_extra_serve_as_they_were_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["serve"])]
    needed: dict[tuple[str, frozenset[str]], Requirement] = {}
    while todo:
        one = todo.pop()
        key = (str(canonicalize_name(one.name)), frozenset(one.extras))
        if key in needed:
            continue
        needed[key] = one
        for text in requires(one.name) or []:
            other = Requirement(text)
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                todo.append(other)
    image, tested = pinned("requirements-serve.lock"), pinned("requirements.lock")
    assert {name for name, _ in needed} == set(image) - {"setuptools", "wheel"}, "which build it"
    assert image == {name: tested[name] for name in image}
    assert "torch" not in image


def test_the_image_copies_what_it_is_let_in() -> None:
    let_in = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE))
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert {name for line in copies for name in line.split()} == let_in
    assert all((ROOT / name).exists() for name in let_in)


def test_the_image_runs_without_rights_and_says_whether_it_is_ready() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER \d+$", text, flags=re.MULTILINE)
    assert "/ready" in text.partition("HEALTHCHECK")[2]
