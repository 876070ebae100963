"""Fixtures for several processes and clusters."""

import os
import sys
from collections.abc import Iterator

import pytest

from parallel.stand_in import StandIn


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Stands in for Ray for the time of a test."""
    found, before = StandIn(), dict(os.environ)
    monkeypatch.setitem(sys.modules, "ray", found)
    os.environ.pop("RAY_ADDRESS", None)
    yield found
    os.environ.clear()
    os.environ.update(before)
