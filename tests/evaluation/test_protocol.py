"""One ranking for validation, test, tuning and the teacher's weights."""

import ast
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.evaluation.protocol import (
    ROWS,
    certain_misses,
    deciding,
    rank_validation,
    repeats,
    tell_certain_misses,
    validation_metrics,
)
from recdistill.evaluation.ranking import MISS

SOURCE = Path(__file__).parents[2] / "src" / "recdistill"
KEEPS = EvaluateConfig(filter_seen=False)


class LastAgain:
    """Scores the history's last item highest, then item 5, then the others by their number."""

    def __init__(self, data: PreparedData) -> None:
        self.data = data

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        scores = -torch.arange(self.data.num_items + 1).repeat(len(users), 1).double()
        scores[:, 5] = 50
        last = self.data.items[self.data.offsets[users] + positions - 1].astype(np.int64)
        scores[torch.arange(len(users)), torch.from_numpy(last)] = 100
        return scores


def test_validation_ranks_what_evaluation_ranks(make_data: Callable[..., PreparedData]) -> None:
    """The validation target of user 0 is its last item once more, that of user 1 is new to it."""
    data = make_data([1, 2, 2, 3], [1, 2, 5, 4], num_items=6)
    scorer = LastAgain(data)
    assert rank_validation(scorer, data, KEEPS).ranks.tolist() == [1, 2]
    assert rank_validation(scorer, data, EvaluateConfig()).ranks.tolist() == [MISS, 1]
    assert validation_metrics(scorer, data, KEEPS)["hit_rate@10"] == 1.0
    assert validation_metrics(scorer, data, EvaluateConfig())["hit_rate@10"] == 0.5
    second = Targets(np.array([1], np.int32), np.array([2], np.int32))
    assert validation_metrics(scorer, data, EvaluateConfig(), second) == {"ndcg@10": 1.0, "hit_rate@10": 1.0}


def test_the_filter_names_what_was_trained_and_its_default_leaves_no_trace() -> None:
    assert deciding(EvaluateConfig()) == {}
    assert deciding(EvaluateConfig(batch_size=7, candidates=3, split="validation")) == {}
    assert deciding(KEEPS) == {"evaluate.filter_seen": False}


def test_repeats_are_found_target_by_target(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 1, 1, 2], [3, 4, 5], [2, 2, 2, 1], num_items=5)
    assert repeats(data, data.targets("train")).tolist() == [False, True, True]
    assert repeats(data, data.targets("validation")).tolist() == [True, False, True]
    assert repeats(data, data.targets("test")).tolist() == [True, False, False]
    assert certain_misses(data, EvaluateConfig(), "validation") == 2
    assert certain_misses(data, KEEPS, "validation") == 0


def test_repeats_are_found_beyond_one_look(make_data: Callable[..., PreparedData]) -> None:
    histories = [[1, 2, user % 2 + 2] for user in range(ROWS + 3)]  # the test target repeats for even users
    data = make_data(*histories, num_items=3)
    assert repeats(data, data.targets("test")).tolist() == [user % 2 == 0 for user in range(ROWS + 3)]


@pytest.mark.parametrize(
    ("history", "config", "told"),
    [
        ([1, 2, 1, 2], EvaluateConfig(), "1 of 1 validation targets and 1 of 1 test targets"),
        ([1, 2, 1, 3], EvaluateConfig(), "1 of 1 validation targets and 0 of 1 test targets"),
        ([1, 2, 1, 2], KEEPS, ""),
        ([1, 2, 3, 4], EvaluateConfig(), ""),
    ],
)
def test_targets_that_can_only_be_misses_are_told(
    make_data: Callable[..., PreparedData],
    caplog: pytest.LogCaptureFixture,
    history: list[int],
    config: EvaluateConfig,
    told: str,
) -> None:
    with caplog.at_level(logging.WARNING, "recdistill"):
        tell_certain_misses(make_data(history, num_items=4), config)
    assert (told in caplog.text) if told else not caplog.text
    if told:
        assert "evaluate.filter_seen" in caplog.text


def test_nothing_else_decides_about_seen_items() -> None:
    """Whoever ranks takes the filter from the configuration: no other module calls `rank` with one of its own."""
    own = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.keyword) or node.arg not in ("filter_seen", "exclude_seen"):
                continue
            if isinstance(node.value, ast.Constant) and node.value.value is not None:
                own.append(f"{path.name}:{node.value.lineno}")
    assert not own
