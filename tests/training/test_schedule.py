import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recdistill.config import TrainConfig
from recdistill.training.schedule import learning_rate_factor


def test_by_hand() -> None:
    config = TrainConfig(warmup_fraction=0.2, final_fraction=0.1)
    expected = {0.05: 0.25, 0.1: 0.5, 0.2: 1.0, 0.6: 0.1 + 0.9 * 0.5, 1.0: 0.1}
    for progress, factor in expected.items():
        assert learning_rate_factor(config, progress) == pytest.approx(factor)
    quarter = learning_rate_factor(config, 0.4)
    assert quarter == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)


def test_constant_without_warmup_and_decay() -> None:
    config = TrainConfig(warmup_fraction=0.0, final_fraction=1.0)
    assert {learning_rate_factor(config, progress) for progress in (0.0, 0.3, 1.0)} == {1.0}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.99), st.floats(0, 1))
def test_climbs_then_falls_between_its_bounds(first: float, second: float, warmup: float, final: float) -> None:
    config = TrainConfig(warmup_fraction=warmup, final_fraction=final)
    early, late = sorted((first, second))
    low, high = learning_rate_factor(config, early), learning_rate_factor(config, late)
    assert 0 <= low <= 1
    assert 0 <= high <= 1
    if late < warmup:
        assert low <= high
    if early >= warmup:
        assert low >= high - 1e-12
        assert high >= final - 1e-12
