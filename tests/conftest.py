"""Fixtures for all packages: a language model small enough for unit tests."""

import gc
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

# As the command line does, and for its reason; the tests import torch before it can.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from tiny_llm import write_tiny_llm


def pytest_sessionstart() -> None:
    """Imports make millions of objects and no garbage; to look for some is a third of the time they take.

    A shell has what it starts in the background pass over Ctrl-C, which a test sends and waits for.
    """
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """From here on only what the tests make is looked through for garbage."""
    _freeze()
    gc.enable()


_frozen_modules = 0


def _freeze() -> None:
    """Take what is alive, which is modules for the most part, out of what the garbage collector walks through."""
    global _frozen_modules
    gc.collect()
    gc.freeze()
    _frozen_modules = len(sys.modules)


@pytest.fixture(autouse=True)
def _freeze_what_was_imported() -> None:
    """The package collects garbage after each step: half a second each time where it walks through transformers.

    A test may be the first to import a part of it, so that this is looked after before each.
    """
    if len(sys.modules) > _frozen_modules + 100:
        _freeze()


LONG = (
    "pipeline/test_pipeline.py",
    "parallel/test_runs.py",
    "training/test_settings.py",
    "benchmarks/test_reliability.py",
    "bench/test_bench.py",
    "test_real_llm.py",
)
"""Files that take longest, which begin first: else one worker is left with one of them when the other has ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; skip what needs a GPU where there is none."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def graphs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled blocks are traced, guarded and differentiated as ever, but run operation by operation.

    For tests of which graphs are made, when, and for how many shapes: half a minute of C++ for each says nothing there.
    """
    compile_fully = torch.compile
    monkeypatch.setattr(torch, "compile", partial(compile_fully, backend="aot_eager"))


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    """The command line has taken the log for itself where an earlier test called it; pytest listens at the root."""
    logger = logging.getLogger("recdistill")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a randomly initialised three-block Llama and a byte-level tokenizer."""
    return write_tiny_llm(tmp_path_factory.mktemp("tiny-llm"))
