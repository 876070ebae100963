from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.assess import assess
from recdistill.evaluation.candidates import check_candidates, draw_candidates
from recdistill.evaluation.ranking import MISS, rank
from there import there


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 12), min_size=3, max_size=7), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
def test_different_items_outside_of_the_history_and_never_the_target(
    make_data: Callable[..., PreparedData], histories: list[list[int]], count: int, seed: int
) -> None:
    data = make_data(*histories, num_items=12)
    targets = data.targets("test")
    drawn = draw_candidates(data, targets, count, seed)
    assert drawn.dtype == np.int32
    for row, (user, position) in enumerate(zip(targets.users, targets.positions, strict=True)):
        assert len(set(drawn[row].tolist())) == count
        assert drawn[row].min() >= 1
        assert drawn[row].max() <= 12
        assert not set(drawn[row].tolist()) & set(histories[user][: position + 1])


def test_what_comes_after_the_target_may_be_drawn(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3], num_items=3)
    assert draw_candidates(data, data.targets("validation"), 1, 0).tolist() == [[3]]


def test_a_row_has_the_same_candidates_whatever_the_other_rows(make_data: Callable[..., PreparedData]) -> None:
    data = make_data(*[[1, 2, 3, 4]] * 6, num_items=60)
    targets = data.targets("test")
    drawn = draw_candidates(data, targets, 19, 7)
    some = np.array([4, 1])
    alone = draw_candidates(data, Targets(targets.users[some], targets.positions[some]), 19, 7)
    assert np.array_equal(alone, drawn[some])
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(draw_candidates(data, targets, 19, 8), drawn)
    assert not np.array_equal(draw_candidates(data, data.targets("validation"), 19, 7), drawn)


def test_items_are_drawn_evenly(make_data: Callable[..., PreparedData]) -> None:
    data = make_data(*[[2, 5, 6]] * 3000, num_items=9)
    drawn = draw_candidates(data, data.targets("test"), 2, 0)
    shares = np.bincount(drawn.ravel(), minlength=10) / 3000
    assert shares[[0, 2, 5, 6]].tolist() == [0] * 4
    assert shares[[1, 3, 4, 7, 8, 9]] == pytest.approx(np.full(6, 2 / 6), abs=0.04)


def test_all_items_that_are_left_give_the_full_rank(make_data: Callable[..., PreparedData]) -> None:
    class Scores:
        def score(self, users: IntArray, positions: IntArray) -> Tensor:
            generator = torch.Generator().manual_seed(3)
            return torch.randint(4, (9, 13), generator=generator)[torch.as_tensor(users).long()].float()

    rng = np.random.default_rng(0)
    data = make_data(*[(rng.permutation(12) + 1)[:5].tolist() for _ in range(9)], num_items=12)
    targets = data.targets("test")
    full = rank(data, targets, Scores(), 4, True, 1, candidates=draw_candidates(data, targets, 7, 0))
    assert there(full.candidate_ranks).tolist() == full.ranks.tolist()
    some = rank(data, targets, Scores(), 4, True, 1, candidates=draw_candidates(data, targets, 3, 0))
    assert (there(some.candidate_ranks) <= full.ranks).all()
    assert (there(some.candidate_ranks) < full.ranks).any()


def test_a_repeat_is_a_miss_among_candidates_too_where_seen_items_are_filtered(
    make_data: Callable[..., PreparedData],
) -> None:
    class Ones:
        def score(self, users: IntArray, positions: IntArray) -> Tensor:
            return torch.arange(7).flip(0).float().expand(len(users), 7)

    data = make_data([1, 2, 1], num_items=6)
    candidates = draw_candidates(data, data.targets("test"), 2, 0)
    assert there(rank(data, data.targets("test"), Ones(), 1, True, 1, candidates=candidates).candidate_ranks)[0] == MISS
    assert there(rank(data, data.targets("test"), Ones(), 1, False, 1, candidates=candidates).candidate_ranks)[0] == 1


@pytest.mark.parametrize(
    ("histories", "items", "count", "told"),
    [
        ([[1, 2, 3], [1, 2, 3, 4]], 6, 4, "2 of 2 targets .* fewer than 4 of the catalog's 6 items .*; set it to 3"),
        ([[1, 2, 3], [1, 2, 3]], 6, 19, "2 of 2 targets .*; set it to 3 or less, or to 0 to leave this protocol out"),
        ([[1, 2, 3], [1, 2, 3], [1, 2, 3, 4]], 4, 2, "3 of 3 targets .*; set it to 1 or less"),
        ([[1, 2, 3], [3, 2, 1]], 3, 1, "2 of 2 targets .*; set it to 0 to leave"),  # they have everything
        ([[1, 2, 3, 2, 3, 1, 2, 3]], 3, 5, "1 of 1 targets .*; set it to 0 to leave"),  # more events than items
    ],
)
def test_too_few_items_for_most_targets_are_told_with_what_would_do(
    make_data: Callable[..., PreparedData], histories: list[list[int]], items: int, count: int, told: str
) -> None:
    data = make_data(*histories, num_items=items)
    with pytest.raises(UserError, match=rf"evaluate\.candidates: {told}"):
        check_candidates(data, data.targets("test"), count)


def test_what_the_message_says_would_do_does(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], num_items=6)
    with pytest.raises(UserError, match="set it to 2 or less"):
        check_candidates(data, data.targets("test"), 3)
    check_candidates(data, data.targets("test"), 2)


def test_one_account_that_has_everything_is_left_out_and_counted(
    make_data: Callable[..., PreparedData], caplog: pytest.LogCaptureFixture
) -> None:
    others = [[1, 2, 3], [2, 3, 4], [5, 6, 7]]
    data = make_data(*others, [1, 2, 3, 4, 5, 6, 7, 8], num_items=8)
    targets = data.targets("test")
    with caplog.at_level("WARNING", logger="recdistill"):
        drawn = draw_candidates(data, targets, 5, 0)
    assert drawn[3].tolist() == [0] * 5
    assert (drawn[:3] > 0).all()
    assert "1 of 4 targets are left out of this protocol" in caplog.text
    without = make_data(*others, num_items=8)
    assert np.array_equal(drawn[:3], draw_candidates(without, without.targets("test"), 5, 0))

    class Last:
        def score(self, users: IntArray, positions: IntArray) -> Tensor:
            return torch.arange(9).flip(0).float().expand(len(users), 9)

    ranking = rank(data, targets, Last(), 4, True, 1, candidates=drawn)
    assert there(ranking.candidate_ranks)[3] == 0
    config = EvaluateConfig(candidates=5, bootstrap_samples=10, permutations=10)
    found = assess(data, config, {"one": ranking, "other": ranking}, 0)
    among = found["candidates"]
    assert (among["left_out"], among["rows"], found["rows"]) == (1, 3, 4)
    expected = (there(ranking.candidate_ranks)[:3] == 1).mean()
    assert among["models"]["one"]["hit_rate@1 among 6"] == pytest.approx(expected)
