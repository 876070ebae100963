"""Scores made or copied a few rows at a time give the ranks and lists that all of them at once give."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from recdistill.data.prepared import IntArray, PreparedData
from recdistill.errors import UserError
from recdistill.evaluation import tiles, top_k
from recdistill.evaluation.ranking import MISS, Ranking, rank
from recdistill.evaluation.scorer import Scorer, StateScorer
from recdistill.evaluation.tiles import rows_of_a_tile, tiles_of

USERS, ITEMS = 23, 47


class Products:
    """Given states and item vectors."""

    def __init__(self, states: Tensor, vectors: Tensor) -> None:
        self._states, self._vectors = states, vectors

    def item_vectors(self) -> Tensor:
        return self._vectors

    def states(self, item_vectors: Tensor, users: IntArray, positions: IntArray) -> Tensor:
        return self._states[torch.as_tensor(users).long()]

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        raise AssertionError("scores are made from states")


class Scores:
    """The same scores, all items of a batch at once; `turned`: column after column in memory."""

    def __init__(self, of: Products, turned: bool = False) -> None:
        self.table = of._states @ of._vectors.T
        self.turned = turned

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        scores = self.table[torch.as_tensor(users).long()]
        return scores.T.contiguous().T if self.turned else scores


def whole_numbers(seed: int) -> Products:
    """States and vectors of small whole numbers, so that sums are exact and many scores are equal."""
    rng = np.random.default_rng(seed)
    states, vectors = rng.integers(-2, 3, (USERS, 3)), rng.integers(-2, 3, (ITEMS + 1, 3))
    return Products(torch.from_numpy(states).float(), torch.from_numpy(vectors).float())


def plainly(data: PreparedData, histories: list[list[int]], scores: Tensor, filtered: bool, k: int) -> Ranking:
    """By a loop over items."""
    ranks, lists = [], []
    for user, history in enumerate(histories):
        own, seen = history[-1], set(history[:-1]) if filtered else set()
        left = [item for item in range(1, ITEMS + 1) if item not in seen]
        found = scores[user].tolist()
        ranks.append(MISS if own in seen else sum(found[item] >= found[own] for item in left))
        best = sorted(left, key=lambda item: (-found[item], item))[:k]
        lists.append(best + [0] * (k - len(best)))
    return Ranking(np.array(ranks), np.array(lists, dtype=np.int32), ranks.count(MISS))


@pytest.mark.parametrize("at_a_time", [1, 100, 1 << 20])
@pytest.mark.parametrize("fewest", [1, 3])
@pytest.mark.parametrize("group", [1, 2, 3, 16])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("k", [0, 1, 4, 40])
def test_ranks_and_lists_are_those_of_a_plain_loop(
    make_data: Callable[..., PreparedData],
    monkeypatch: pytest.MonkeyPatch,
    at_a_time: int,
    fewest: int,
    group: int,
    filtered: bool,
    k: int,
) -> None:
    monkeypatch.setattr(tiles, "AT_A_TIME", at_a_time)
    monkeypatch.setattr(tiles, "FEWEST_ROWS", fewest)
    monkeypatch.setattr(top_k, "GROUP", group)
    rng = np.random.default_rng(k)
    # 44 of 47 items: few histories leave as many as 40, and some targets are repeats.
    histories = [rng.integers(1, ITEMS + 1, rng.integers(2, 45)).tolist() for _ in range(USERS)]
    data, products = make_data(*histories, num_items=ITEMS), whole_numbers(k)
    expected = plainly(data, histories, Scores(products).table, filtered, k)
    assert filtered == bool(expected.repeats)
    scorers: list[Scorer] = [products, Scores(products), Scores(products, turned=True)]
    for scorer in scorers:
        found = rank(data, data.targets("test"), scorer, 7, filtered, k)
        assert found.ranks.tolist() == expected.ranks.tolist()
        assert found.top_items.tolist() == expected.top_items.tolist()
        assert found.repeats == expected.repeats


def test_candidates_are_ranked_by_the_same_scores_though_they_were_seen(
    make_data: Callable[..., PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "FEWEST_ROWS", 2)
    monkeypatch.setattr(tiles, "AT_A_TIME", 1)
    histories = [[1, 2, 3 + user] for user in range(USERS)]
    data, products = make_data(*histories, num_items=ITEMS), whole_numbers(5)
    candidates = np.tile(np.array([1, 40, 41, 2], dtype=np.int32), (USERS, 1))
    candidates[3] = 0  # none were drawn
    scores = Scores(products).table
    expected = [1 + sum(bool(scores[u, c] >= scores[u, 3 + u]) for c in (1, 40, 41, 2)) for u in range(USERS)]
    expected[3] = 0
    for k in (0, 3):
        found = rank(data, data.targets("test"), products, 5, True, k, candidates=candidates)
        assert found.candidate_ranks is not None
        assert found.candidate_ranks.tolist() == expected


@pytest.mark.parametrize("where", ["states", "vectors"])
def test_products_that_are_not_numbers_are_refused(make_data: Callable[..., PreparedData], where: str) -> None:
    products = whole_numbers(0)
    bad = products._states if where == "states" else products._vectors
    bad[3, 1] = torch.nan
    data = make_data(*[[1, 2, 3]] * USERS, num_items=ITEMS)
    for k in (0, 2):
        with pytest.raises(UserError, match="NaN"):
            rank(data, data.targets("test"), products, 8, True, k)


def test_products_of_huge_numbers_are_ranked_where_they_are_numbers(make_data: Callable[..., PreparedData]) -> None:
    states, vectors = torch.full((1, 1), 1e30), torch.tensor([[0], [1e30], [1.0], [2.0], [-1e30]])
    data = make_data([3, 4, 2], num_items=4)
    for k in (0, 2):
        assert rank(data, data.targets("test"), Products(states, vectors), 8, False, k).ranks.tolist() == [3]
    both = [torch.inf, -torch.inf]
    mixed = Products(torch.ones(1, 2), torch.tensor([[0, 0], both, [1, 1], [2, 2], [3, 3.0]]))
    with pytest.raises(UserError, match="NaN"):
        rank(data, data.targets("test"), mixed, 8, False, 2)


def test_tiles_are_alike_small_and_at_least_of_some_rows() -> None:
    cpu = torch.device("cpu")
    assert rows_of_a_tile(256, 16_860, cpu) == 52  # 62 at most: five tiles
    assert rows_of_a_tile(256, 1_000_001, cpu) == 32
    assert rows_of_a_tile(5, 1_000_001, cpu) == 5
    assert rows_of_a_tile(256, 100, cpu) == 256
    assert rows_of_a_tile(256, 1_000_001, torch.device("cuda")) == 256
    assert rows_of_a_tile(0, 10, cpu) == 1


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 100])
def test_tiles_hold_every_row_once_in_one_memory(make_data: Callable[..., PreparedData], rows: int) -> None:
    columns = tiles.AT_A_TIME // 4
    states, vectors = torch.arange(rows).float()[:, None], torch.ones(columns, 1)
    data = make_data(*[[1, 2, 3]] * rows, num_items=columns - 1)
    scorer = Products(states, vectors)
    assert isinstance(scorer, StateScorer)
    seen, places = [], set()
    for start, scores in tiles_of(scorer, columns - 1, changed=True).of(data.targets("test")):
        assert len(scores) <= tiles.FEWEST_ROWS
        seen += list(range(start, start + len(scores)))
        assert scores[:, 5].tolist() == seen[-len(scores) :]
        places.add(scores.data_ptr())
    assert seen == list(range(rows))
    assert len(places) == 1


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("more", [-1, 0, 1, 15])
@pytest.mark.parametrize("ties", [3, 50, 10**6])
def test_the_best_of_many_columns_are_found_by_groups(k: int, more: int, ties: int) -> None:
    """Around the size from which groups are searched, with few and many equal scores."""
    size = top_k.GROUP**2 * (k + 1) + more
    scores = np.random.default_rng(more + k).integers(0, ties, (40, size)).astype(np.float32)
    scores[::3, -1] = scores[1::3, 0] = ties  # the first and the last column among the best
    values, columns = top_k.best_items(torch.from_numpy(scores), k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert columns.tolist() == expected.tolist()
    assert torch.equal(values, torch.from_numpy(scores).gather(1, columns))


def test_the_best_of_many_columns_where_most_are_left_out() -> None:
    scores = torch.full((2, 5000), -torch.inf)
    scores[0, 4999], scores[0, 7] = 1.0, 2.0
    values, columns = top_k.best_items(scores, 3)
    assert columns[0, :2].tolist() == [7, 4999]
    assert values.tolist() == [[2.0, 1.0, -torch.inf], [-torch.inf] * 3]


@pytest.mark.parametrize("users", [1, 2, 3])
@pytest.mark.parametrize("items", [60, 1683])
def test_items_of_equal_vectors_have_equal_scores_also_for_one_history(
    make_data: Callable[..., PreparedData], users: int, items: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(users, 64, generator=generator)
    vectors = torch.randn(1, 64, generator=generator).expand(items, -1).contiguous()
    data = make_data(*[[1, 2, 3]] * users, num_items=items - 1)
    found = rank(data, data.targets("test"), Products(states, vectors), 8, True, 5)
    assert found.ranks.tolist() == [items - 3] * users
    assert found.top_items.tolist() == [[3, 4, 5, 6, 7]] * users
    nothing = torch.zeros(0, dtype=torch.int64)
    assert top_k.best_by_states(states, vectors, 5, (nothing, nothing))[1].tolist() == [[1, 2, 3, 4, 5]] * users
