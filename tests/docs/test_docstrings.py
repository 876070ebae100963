"""Docstrings have one form (Google's), which the site reads; a line that lost its indent is named with its place."""

import logging
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"


def objects(parent: griffe.Object | griffe.Alias) -> Iterator[griffe.Object | griffe.Alias]:
    yield parent
    for member in parent.members.values():
        if not member.is_alias:
            yield from objects(member)


def complaints(package: str, folder: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What griffe has against the docstrings of a package."""
    loaded = griffe.load(package, search_paths=[folder], allow_inspection=False)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="griffe"):
        for each in objects(loaded):
            if each.docstring:
                each.docstring.parse("google")
    return [record.getMessage() for record in caplog.records]


def test_every_docstring_of_the_package_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    assert complaints("recdistill", SOURCE, caplog) == []


def test_a_line_that_lost_its_indent_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = 'def add(a: int) -> int:\n    """Add.\n\n    Args:\n        a: number, which is\n        added.\n    """\n'
    (tmp_path / "lost.py").write_text(text, encoding="utf-8")
    (found,) = complaints("lost", tmp_path, caplog)
    assert "lost.py" in found
    assert "added." in found
