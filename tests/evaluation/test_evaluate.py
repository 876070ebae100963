import json
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, LongArray, PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.baselines import baseline_scorers
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.metrics import means
from recdistill.evaluation.results import Metrics
from recdistill.evaluation.scorer import Scorer
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

CONFIG = EvaluateConfig(batch_size=4, bootstrap_samples=200, permutations=500)


def evaluated(
    data: PreparedData, config: EvaluateConfig, scorers: Mapping[str, Scorer], seed: int, folder: Path
) -> Metrics:
    makers = {name: lambda scorer=scorer: scorer for name, scorer in scorers.items()}
    return evaluate(data, config, makers, seed, RunContext("cpu", Profiler(), folder))


class Oracle:
    """Puts the target of each row at a given rank."""

    def __init__(self, data: PreparedData, ranks: Sequence[int] | LongArray) -> None:
        self.data, self.ranks = data, ranks

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        scores = torch.zeros(len(users), self.data.num_items + 1)
        for row, (user, position) in enumerate(zip(users, positions, strict=True)):
            target = int(self.data.history(user, position + 1)[-1])
            unseen = [i for i in range(1, self.data.num_items + 1) if i not in self.data.history(user, position + 1)]
            ahead = unseen[: self.ranks[user] - 1]
            scores[row, target] = 1
            scores[row, ahead] = 2
        return scores


@pytest.fixture
def data(make_data: Callable[..., PreparedData]) -> PreparedData:
    rng = np.random.default_rng(0)
    histories = [(rng.permutation(40) + 1)[: rng.integers(3, 12)].tolist() for _ in range(24)]
    return make_data(*histories, num_items=40)


def test_the_json_of_hand_worked_ranks(make_data: Callable[..., PreparedData], tmp_path: Path) -> None:
    data = make_data([1, 2, 3], [4, 5, 6, 7], num_items=30)
    result = evaluated(data, CONFIG, {"far": Oracle(data, [3, 12]), "near": Oracle(data, [1, 3])}, 0, tmp_path)
    assert result["split"] == "test"
    assert result["filter_seen"] is True
    assert (result["rows"], result["users"], result["items"], result["repeats"]) == (2, 2, 30, 0)
    assert result["models"]["near"]["ndcg@10"] == pytest.approx((1 + 0.5) / 2)
    assert result["models"]["far"]["ndcg@10"] == pytest.approx(0.25)
    assert result["models"]["far"]["mrr@20"] == pytest.approx((1 / 3 + 1 / 12) / 2)
    assert all(isinstance(value, float) for model in result["models"].values() for value in model.values())
    tests = {test["metric"]: test for test in result["tests"]}
    assert set(tests) == {"ndcg@10", "hit_rate@10"}
    assert (tests["ndcg@10"]["a"], tests["ndcg@10"]["b"]) == ("near", "far")
    assert tests["ndcg@10"]["difference"] == pytest.approx(0.5)
    assert tests["ndcg@10"]["interval"] == pytest.approx([0.5, 0.5])
    assert tests["ndcg@10"]["p"] == pytest.approx(0.5)  # two users: ++ and -- of four patterns
    assert tests["hit_rate@10"]["p"] == 1


def test_intervals_hold_the_means_and_slices_cover_the_rows(data: PreparedData, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scorers = {name: Oracle(data, rng.integers(1, 25, size=24)) for name in ("a", "b", "c")}
    result = evaluated(data, CONFIG, scorers, 3, tmp_path)
    for name in scorers:
        for metric, (low, high) in result["intervals"][name].items():
            assert low <= result["models"][name][metric] <= high
    assert len(result["tests"]) == 2 * 3
    assert all(test["p"] <= test["p_holm"] <= 1 for test in result["tests"])
    for parts in result["slices"].values():
        assert sum(part["rows"] for part in parts) == 24
        for name in scorers:
            weighted = sum(part["rows"] * part["models"][name]["ndcg@10"] for part in parts) / 24
            assert weighted == pytest.approx(result["models"][name]["ndcg@10"])
        assert all(len(part["tests"]) == 3 and "p_holm" in part["tests"][0] for part in parts)


def test_holm_over_the_pairs_of_one_metric(data: PreparedData, tmp_path: Path) -> None:
    scorers = {"a": Oracle(data, [1] * 24), "b": Oracle(data, [30] * 24), "c": Oracle(data, [30] * 24)}
    tests = [test for test in evaluated(data, CONFIG, scorers, 0, tmp_path)["tests"] if test["metric"] == "ndcg@10"]
    smallest = 1 / 501
    assert [test["p"] for test in tests] == pytest.approx([smallest, smallest, 1])
    assert [test["p_holm"] for test in tests] == pytest.approx([3 * smallest, 3 * smallest, 1])


def test_same_seed_same_json(data: PreparedData, tmp_path: Path) -> None:
    scorers = {
        name: Oracle(data, np.random.default_rng(seed).integers(1, 25, size=24)) for name, seed in [("a", 1), ("b", 2)]
    }
    first, second = (json.dumps(evaluated(data, CONFIG, scorers, 7, tmp_path)) for _ in range(2))
    assert first == second
    assert json.dumps(evaluated(data, CONFIG, scorers, 8, tmp_path)) != first


def test_written_ranks_are_keyed_and_give_the_same_metrics(data: PreparedData, tmp_path: Path) -> None:
    scorers = {"student": Oracle(data, np.arange(1, 25))}
    result = evaluated(data, CONFIG, scorers, 0, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
    ranks = np.load(tmp_path / "ranks" / "student.npy")
    assert ranks.tolist() == list(range(1, 25))
    assert means(ranks)["ndcg@10"] == result["models"]["student"]["ndcg@10"]
    targets = data.targets("test")
    assert np.load(tmp_path / "users.npy").tolist() == targets.users.tolist()
    assert np.load(tmp_path / "positions.npy").tolist() == targets.positions.tolist()


def test_validation_split_and_unfiltered_are_said(data: PreparedData, tmp_path: Path) -> None:
    config = replace(CONFIG, split="validation", filter_seen=False)
    result = evaluated(data, config, {"a": Oracle(data, [1] * 24)}, 0, tmp_path)
    assert (result["split"], result["filter_seen"], result["tests"]) == ("validation", False, [])
    assert result["models"]["a"]["hit_rate@5"] == 1


def test_repeats_are_counted(make_data: Callable[..., PreparedData], tmp_path: Path) -> None:
    data = make_data([1, 2, 1], [3, 4, 5], num_items=6)
    result = evaluated(data, replace(CONFIG, candidates=3), {"a": Oracle(data, [1, 1])}, 0, tmp_path)
    assert result["repeats"] == 1
    assert result["candidates"]["models"]["a"] == {"hit_rate@1 among 4": 0.5}
    assert math.isclose(result["models"]["a"]["hit_rate@10"], 0.5)


def test_a_split_without_rows_is_named(make_data: Callable[..., PreparedData], tmp_path: Path) -> None:
    data = make_data([1, 2, 3], num_items=3)
    data = replace(data, validation_ends=np.array([3], dtype=np.int32))
    with pytest.raises(UserError, match=r"evaluate\.split: the data has no test rows"):
        evaluated(data, CONFIG, {}, 0, tmp_path)


def test_one_model_at_a_time_is_held_and_phases_are_told_apart(data: PreparedData, tmp_path: Path) -> None:
    alive: weakref.WeakSet[Oracle] = weakref.WeakSet()

    def make() -> Scorer:
        assert not alive
        scorer = Oracle(data, [1] * 24)
        alive.add(scorer)
        return scorer

    profiler = Profiler()
    evaluate(data, CONFIG, {"a": make, "b": make}, 0, RunContext("cpu", profiler, tmp_path))
    assert list(profiler.seconds) == ["candidates", "load a", "rank a", "write", "load b", "rank b", "statistics"]


def test_the_share_of_targets_before_their_candidates_with_interval_and_tests(
    data: PreparedData, tmp_path: Path
) -> None:
    scorers = {"far": Oracle(data, [30] * 24), "near": Oracle(data, [1] * 24)}
    found = evaluated(data, CONFIG, scorers, 0, tmp_path)["candidates"]
    metric = "hit_rate@1 among 20"
    assert (found["random"], found["metric"], found["rows"]) == (19, metric, 24)
    assert found["models"]["near"] == {metric: 1}
    assert found["intervals"]["near"] == {metric: [1, 1]}
    low, high = found["intervals"]["far"][metric]
    assert low <= found["models"]["far"][metric] <= high < 1
    (test,) = found["tests"]
    assert (test["a"], test["b"], test["metric"]) == ("near", "far", metric)
    assert test["difference"] == pytest.approx(1 - found["models"]["far"][metric])
    assert test["p_holm"] == test["p"]
    ranks = np.load(tmp_path / "candidate_ranks" / "far.npy")
    assert (ranks == 1).mean() == found["models"]["far"][metric]


def test_without_candidates_nothing_else_changes(data: PreparedData, tmp_path: Path) -> None:
    scorers = {name: Oracle(data, [rank] * 24) for name, rank in (("a", 3), ("b", 9))}
    with_them = evaluated(data, CONFIG, scorers, 0, tmp_path / "with")
    without = evaluated(data, replace(CONFIG, candidates=0), scorers, 0, tmp_path / "without")
    assert with_them.pop("candidates")
    assert without == with_them
    assert not (tmp_path / "without" / "candidates.npy").exists()
    assert not (tmp_path / "without" / "candidate_ranks").exists()


@pytest.mark.parametrize(
    ("change", "seed", "read_back"),
    [
        ({}, 5, True),
        ({"permutations": 100}, 5, True),
        ({}, 6, False),
        ({"split": "validation"}, 5, False),
        ({"candidates": 18}, 5, False),
    ],
)
def test_candidates_are_read_back_where_data_split_and_seed_are_alike(
    data: PreparedData, tmp_path: Path, change: dict[str, Any], seed: int, read_back: bool
) -> None:
    scorers = {"a": lambda: Oracle(data, [1] * 24)}
    evaluate(data, CONFIG, scorers, 5, RunContext("cpu", Profiler(), tmp_path / "first"))
    stored = np.load(tmp_path / "first" / "candidates.npy")[::-1]  # what nobody would draw
    np.save(tmp_path / "first" / "candidates.npy", stored)
    evaluate(
        data,
        replace(CONFIG, **change),
        scorers,
        seed,
        RunContext("cpu", Profiler(), tmp_path / "second"),
        tmp_path / "first",
    )
    again = np.load(tmp_path / "second" / "candidates.npy")
    assert again.dtype == np.int32
    assert np.array_equal(again, stored) == read_back


def test_candidates_of_other_data_are_not_read_back(data: PreparedData, tmp_path: Path) -> None:
    scorers = {"a": lambda: Oracle(data, [1] * 24)}
    evaluate(data, CONFIG, scorers, 5, RunContext("cpu", Profiler(), tmp_path / "first"))
    drawn = np.load(tmp_path / "first" / "candidates.npy")
    np.save(tmp_path / "first" / "candidates.npy", drawn[::-1])
    other = replace(data, fingerprint="other")
    evaluate(other, CONFIG, scorers, 5, RunContext("cpu", Profiler(), tmp_path / "second"), tmp_path / "first")
    assert np.array_equal(np.load(tmp_path / "second" / "candidates.npy"), drawn)


def test_stored_candidates_that_are_broken_are_named(data: PreparedData, tmp_path: Path) -> None:
    scorers = {"a": lambda: Oracle(data, [1] * 24)}
    evaluate(data, CONFIG, scorers, 5, RunContext("cpu", Profiler(), tmp_path))
    np.save(tmp_path / "candidates.npy", np.zeros((3, 19), dtype=np.int32))
    with pytest.raises(UserError, match=r"candidates\.npy: int32 \(3, 19\), not int32 \(24, 19\)"):
        evaluate(data, CONFIG, scorers, 5, RunContext("cpu", Profiler(), tmp_path), tmp_path)
    (tmp_path / "candidates.npy").unlink()
    with pytest.raises(UserError, match=r"candidates\.npy: no such file"):
        evaluate(data, CONFIG, scorers, 5, RunContext("cpu", Profiler(), tmp_path), tmp_path)


def test_an_evaluation_that_was_interrupted_ranks_no_model_twice(data: PreparedData, tmp_path: Path) -> None:
    config = EvaluateConfig(candidates=3, bootstrap_samples=10, permutations=10)
    made = []

    def scorers(stop: bool) -> dict[str, Callable[[], Scorer]]:
        def make(name: str) -> Scorer:
            made.append(name)
            if stop:
                raise KeyboardInterrupt
            return Oracle(data, [1] * 24)

        def one() -> Scorer:
            made.append("one")
            return Oracle(data, [2] * 24)

        return {"one": one, "other": lambda: make("other")}

    def go(folder: Path, stop: bool, going_on: bool = True) -> Metrics:
        with Profiler() as profiler:
            return evaluate(data, config, scorers(stop), 7, RunContext("cpu", profiler, folder), going_on=going_on)

    whole = go(tmp_path / "whole", stop=False)
    made.clear()
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", stop=True)
    assert go(tmp_path / "cut", stop=False) == whole
    assert made == ["one", "other", "other"]
    go(tmp_path / "cut", stop=False, going_on=False)
    assert made[3:] == ["one", "other"], "what is there is taken only where it is of this evaluation"


def test_what_baselines_were_fitted_with_is_recorded_also_of_those_ranked_before_an_interruption(
    data: PreparedData, tmp_path: Path
) -> None:
    config = replace(CONFIG, ease_items=39)
    scorers = {**baseline_scorers(data, config), "student": lambda: Oracle(data, [1] * 24)}
    result = evaluate(data, config, scorers, 0, RunContext("cpu", Profiler(), tmp_path))
    assert list(result["models"]) == ["popularity", "cooccurrence", "item_knn", "student"]
    latest = result["baselines"]["item_knn"].pop("latest_events")
    assert latest in (None, 20, 10, 5, 3)
    assert result["baselines"] == {
        "popularity": {},
        "cooccurrence": {"window": 10},
        "item_knn": {"neighbours": 100, "shrinkage": 10.0},
        "ease": {"left_out": {"items": 40, "most": 39}},
    }
    nothing_fitted_again = dict.fromkeys(scorers, lambda: pytest.fail("ranked twice"))
    again = evaluate(data, config, nothing_fitted_again, 0, RunContext("cpu", Profiler(), tmp_path), going_on=True)
    assert again["baselines"]["item_knn"] == {"neighbours": 100, "shrinkage": 10.0, "latest_events": latest}
    assert json.loads((tmp_path / "metrics.json").read_text())["baselines"] == again["baselines"]
