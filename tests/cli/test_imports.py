"""What a first import does to the garbage collector, and what it leaves alone."""

import gc
import sys
import types
from collections.abc import Iterator

import pytest

from recdistill.cli.imports import first_import

NAME = "a_module_of_this_test"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    sys.modules.pop(NAME, None)
    gc.enable()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the collector was on at each freeze, which is left undone."""
    found: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: found.append(gc.isenabled()))
    return found


def test_the_collector_rests_in_the_block_and_what_was_made_is_frozen(frozen: list[bool]) -> None:
    with first_import(NAME):
        assert not gc.isenabled()
        sys.modules[NAME] = types.ModuleType(NAME)
    assert gc.isenabled()
    assert frozen == [False]


def test_what_was_imported_before_is_nobodys_to_freeze(frozen: list[bool]) -> None:
    sys.modules[NAME] = types.ModuleType(NAME)
    with first_import(NAME):
        assert gc.isenabled()
    assert frozen == []


def test_a_collector_that_was_off_stays_off(frozen: list[bool]) -> None:
    gc.disable()
    with first_import(NAME):
        pass
    assert not gc.isenabled()
    assert frozen == []


def test_a_failed_import_leaves_the_collector_on(frozen: list[bool]) -> None:
    with pytest.raises(ImportError), first_import(NAME):
        raise ImportError(NAME)
    assert gc.isenabled()
    assert frozen == []
