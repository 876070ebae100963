from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.errors import UserError
from recdistill.evaluation.ranking import MISS, rank, unrolled
from recdistill.evaluation.scorer import latest_items, sequence_scorer
from there import there


class TableScorer:
    """Fixed scores for each user."""

    def __init__(self, *rows: list[float]) -> None:
        self.table = torch.tensor(rows)

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        return self.table[torch.as_tensor(users).long()]


def test_rank_is_one_plus_the_unseen_items_that_score_at_least_as_much(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4], num_items=6)  # test: target 4 after 1, 2, 3
    scorer = TableScorer([9, 8, 7, 6, 3.0, 4, 3.0])  # seen 1, 2, 3 would win; 5 wins, 6 ties
    filtered = rank(data, data.targets("test"), scorer, 8, filter_seen=True, top_k=3)
    assert filtered.ranks.tolist() == [3]
    assert filtered.top_items[0, 0] == 5
    assert sorted(filtered.top_items[0, 1:].tolist()) == [4, 6]
    everything = rank(data, data.targets("test"), scorer, 8, filter_seen=False, top_k=3)
    assert everything.ranks.tolist() == [6]
    assert everything.top_items.tolist() == [[1, 2, 3]]


def test_a_repeated_target_is_a_miss_when_seen_items_are_filtered(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 1], [2, 1, 3, 4], num_items=4)
    scorer = TableScorer([0, 9.0, 1, 1, 1], [0, 1.0, 1, 1, 9])
    ranking = rank(data, data.targets("test"), scorer, 8, filter_seen=True, top_k=2)
    assert ranking.ranks.tolist() == [MISS, 1]
    assert ranking.repeats == 1
    ranking = rank(data, data.targets("test"), scorer, 8, filter_seen=False, top_k=2)
    assert ranking.ranks.tolist() == [1, 1]
    assert ranking.repeats == 0


def test_items_that_scored_minus_infinity_are_still_ranked_before_nothing(
    make_data: Callable[..., PreparedData],
) -> None:
    data = make_data([1, 2, 3, 4], num_items=5)
    scorer = TableScorer([0, 0, 0, 0, -torch.inf, -torch.inf])
    ranking = rank(data, data.targets("test"), scorer, 1, filter_seen=True, top_k=3)
    assert ranking.ranks.tolist() == [2]
    assert sorted(ranking.top_items[0].tolist()) == [0, 4, 5]


def test_the_scorers_own_tensor_is_left_alone(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4], num_items=4)
    scorer = TableScorer([0, 4.0, 3, 2, 1])
    rank(data, data.targets("test"), scorer, 1, filter_seen=True, top_k=1)
    assert scorer.table.tolist() == [[0, 4, 3, 2, 1]]


def test_scores_that_are_not_numbers_or_have_another_shape_are_refused(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4], num_items=4)
    with pytest.raises(UserError, match="NaN"):
        rank(data, data.targets("test"), TableScorer([0, 1, torch.nan, 1, 1]), 1, True, 1)
    with pytest.raises(ValueError, match=r"\(1, 4\), not \(1, 5\)"):
        rank(data, data.targets("test"), TableScorer([0, 1, 1, 1]), 1, True, 1)


def test_rank_among_candidates_breaks_ties_against_the_target(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4], [2, 3, 1, 4], num_items=7)
    scorer = TableScorer([9, 9, 9, 9, 3.0, 4, 3.0, 1.0], [9, 9, 9, 9, 3.0, 4, 3.0, 1.0])
    candidates = np.array([[6, 7], [7, 5]], dtype=np.int32)  # a tie and a lower one; a lower and a higher one
    ranking = rank(data, data.targets("test"), scorer, 1, True, 1, candidates=candidates)
    assert there(ranking.candidate_ranks).tolist() == [2, 2]
    lower = np.array([[7], [7]], dtype=np.int32)
    both = rank(data, data.targets("test"), scorer, 2, True, 1, candidates=lower)
    assert there(both.candidate_ranks).tolist() == [1, 1]
    assert rank(data, data.targets("test"), scorer, 2, True, 1).candidate_ranks is None


class HashScorer:
    """Scores that depend on the key alone, with many ties."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        keys = torch.as_tensor(users).long() * 31 + torch.as_tensor(positions).long()
        return ((keys[:, None] * 17 + torch.arange(self.num_items + 1) * 7) % 11).float()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=12), min_size=1, max_size=6),
    st.integers(1, 7),
    st.booleans(),
)
def test_equals_a_plain_loop_whatever_the_batch_size(
    make_data: Callable[..., PreparedData], histories: list[list[int]], batch_size: int, filter_seen: bool
) -> None:
    data = make_data(*histories, num_items=9)
    targets, scorer = data.targets("train"), HashScorer(9)
    ranking = rank(data, targets, scorer, batch_size, filter_seen, top_k=4)
    for row, (user, position) in enumerate(zip(targets.users, targets.positions, strict=True)):
        seen = set(histories[user][:position]) if filter_seen else set()
        scores = scorer.score(np.array([user]), np.array([position]))[0].tolist()
        target = histories[user][position]
        others = [item for item in range(1, 10) if item not in seen and item != target]
        expected = MISS if target in seen else 1 + sum(scores[item] >= scores[target] for item in others)
        assert ranking.ranks[row] == expected
        listed = [item for item in ranking.top_items[row].tolist() if item]
        best = sorted((scores[item] for item in range(1, 10) if item not in seen), reverse=True)[:4]
        assert [scores[item] for item in listed] == best
        assert not seen & set(listed)


def test_latest_items_are_cut_to_the_window_and_padded_on_the_right(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4, 5], [6, 7, 8], num_items=8)
    windows = latest_items(data, np.array([0, 1, 0]), np.array([4, 1, 2]), max_length=3)
    assert windows.tolist() == [[2, 3, 4], [6, 0, 0], [1, 2, 0]]


def test_sequence_scorer_gives_the_model_short_batches_in_the_end_the_right_scores(
    make_data: Callable[..., PreparedData],
) -> None:
    data = make_data([1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [3, 2, 1, 4], num_items=8)
    widths = []

    def last_plus_one(items: Tensor) -> Tensor:
        widths.append(items.shape[1])
        last = items.gather(1, (items != 0).sum(1, keepdim=True) - 1)
        return torch.nn.functional.one_hot(last.squeeze(1) + 1, 9).float()

    ranking = rank(data, data.targets("test"), sequence_scorer(last_plus_one, data, 50), 2, False, 1)
    assert widths == [3, 6]
    assert ranking.ranks.tolist() == [1, 1, 8]


def test_no_rows_give_an_empty_ranking(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3], num_items=3)
    none = Targets(np.empty(0, np.int32), np.empty(0, np.int32))
    ranking = rank(data, none, HashScorer(3), 4, True, 2)
    assert ranking.ranks.shape == (0,)
    assert ranking.top_items.shape == (0, 2)


def test_rows_of_any_length_are_unrolled() -> None:
    rows, within = unrolled(np.array([2, 0, 3]))
    assert rows.tolist() == [0, 0, 2, 2, 2]
    assert within.tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("at_a_time", [1, 30, 1 << 19])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_ranks_and_lists_are_those_found_item_by_item(
    make_data: Callable[..., PreparedData], monkeypatch: pytest.MonkeyPatch, seed: int, filtered: bool, at_a_time: int
) -> None:
    """Ties, infinite scores and items seen twice among them; without lists the ranks are the same."""
    monkeypatch.setattr("recdistill.evaluation.tiles.AT_A_TIME", at_a_time)
    generator = np.random.default_rng(seed)
    items, users = 9, 6
    histories = generator.integers(1, items + 1, (users, 5))
    data = make_data(*histories.tolist(), num_items=items)
    scores = generator.integers(-2, 3, (users, items + 1)).astype(np.float32)
    scores[generator.random(scores.shape) < 0.2] = -np.inf
    scorer = TableScorer(*scores.tolist())
    listed, bare = (rank(data, data.targets("test"), scorer, 4, filtered, top_k=k) for k in (3, 0))
    assert bare.top_items.shape == (users, 0)
    for user in range(users):
        own, seen = int(histories[user, 4]), set(histories[user, :4].tolist()) if filtered else set()
        left = [item for item in range(1, items + 1) if item not in seen]
        expected = MISS if own in seen else sum(scores[user, item] >= scores[user, own] for item in left)
        assert listed.ranks[user] == bare.ranks[user] == expected
        found = [item for item in listed.top_items[user].tolist() if item]
        best = sorted((scores[user, item] for item in left), reverse=True)[:3]
        assert set(found) <= set(left)
        assert sorted((scores[user, item] for item in found), reverse=True) == best[: len(found)]
        assert len(found) == min(3, len(left)) or -np.inf in best


@pytest.mark.parametrize(("memory", "items", "sizes"), [(1, 2**18 - 1, [1] * 4), (1, 87380, [3, 1]), (512, 4, [4])])
def test_a_large_catalog_is_ranked_with_fewer_histories_at_a_time(
    make_data: Callable[..., PreparedData], monkeypatch: pytest.MonkeyPatch, memory: int, items: int, sizes: list[int]
) -> None:
    data = make_data([1, 2, 3, 4], [2, 3, 4, 1], [3, 4, 1, 2], [4, 1, 2, 3], num_items=items)
    scorer = TableScorer(*[[0, 4.0, 3, 2, 1, *[0.0] * (items - 4)]] * 4)
    score = scorer.score
    seen: list[int] = []

    def watched(users: IntArray, positions: IntArray) -> Tensor:
        seen.append(len(users))
        return score(users, positions)

    monkeypatch.setattr(scorer, "score", watched)
    ranking = rank(data, data.targets("test"), scorer, 256, filter_seen=True, top_k=2, score_memory=memory)
    assert seen == sizes
    assert ranking.ranks.tolist() == [1, 1, 1, 1]


def test_equal_scores_are_listed_by_item_number(make_data: Callable[..., PreparedData]) -> None:
    data = make_data([1, 2, 3, 4], num_items=9)
    scorer = TableScorer([0, 0, 0, 0, 1.0, 1, 2, 1, 1, 1])
    for top_k, listed in ((1, [6]), (3, [6, 4, 5]), (6, [6, 4, 5, 7, 8, 9])):
        assert rank(data, data.targets("test"), scorer, 8, True, top_k).top_items.tolist() == [listed]
