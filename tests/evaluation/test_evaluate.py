import json
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from recdistill.config import EvaluateConfig
from recdistill.errors import UserError
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.metrics import means
from recdistill.profiling.profiler import Profiler

CONFIG = EvaluateConfig(batch_size=4, bootstrap_samples=200, permutations=500)


def evaluated(data, config, scorers, seed, folder):
    makers = {name: lambda scorer=scorer: scorer for name, scorer in scorers.items()}
    return evaluate(data, config, makers, seed, folder, Profiler())


class Oracle:
    """Puts the target of each row at a given rank."""

    def __init__(self, data, ranks):
        self.data, self.ranks = data, ranks

    def score(self, users, positions):
        scores = torch.zeros(len(users), self.data.num_items + 1)
        for row, (user, position) in enumerate(zip(users, positions, strict=True)):
            target = int(self.data.history(user, position + 1)[-1])
            unseen = [i for i in range(1, self.data.num_items + 1) if i not in self.data.history(user, position + 1)]
            ahead = unseen[: self.ranks[user] - 1]
            scores[row, target] = 1
            scores[row, ahead] = 2
        return scores


@pytest.fixture
def data(make_data):
    rng = np.random.default_rng(0)
    histories = [(rng.permutation(40) + 1)[: rng.integers(3, 12)].tolist() for _ in range(24)]
    return make_data(*histories, num_items=40)


def test_the_json_of_hand_worked_ranks(make_data, tmp_path):
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


def test_intervals_hold_the_means_and_slices_cover_the_rows(data, tmp_path):
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


def test_holm_over_the_pairs_of_one_metric(data, tmp_path):
    scorers = {"a": Oracle(data, [1] * 24), "b": Oracle(data, [30] * 24), "c": Oracle(data, [30] * 24)}
    tests = [test for test in evaluated(data, CONFIG, scorers, 0, tmp_path)["tests"] if test["metric"] == "ndcg@10"]
    smallest = 1 / 501
    assert [test["p"] for test in tests] == pytest.approx([smallest, smallest, 1])
    assert [test["p_holm"] for test in tests] == pytest.approx([3 * smallest, 3 * smallest, 1])


def test_same_seed_same_json(data, tmp_path):
    scorers = {
        name: Oracle(data, np.random.default_rng(seed).integers(1, 25, size=24)) for name, seed in [("a", 1), ("b", 2)]
    }
    first, second = (json.dumps(evaluated(data, CONFIG, scorers, 7, tmp_path)) for _ in range(2))
    assert first == second
    assert json.dumps(evaluated(data, CONFIG, scorers, 8, tmp_path)) != first


def test_written_ranks_are_keyed_and_give_the_same_metrics(data, tmp_path):
    scorers = {"student": Oracle(data, np.arange(1, 25))}
    result = evaluated(data, CONFIG, scorers, 0, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
    ranks = np.load(tmp_path / "ranks" / "student.npy")
    assert ranks.tolist() == list(range(1, 25))
    assert means(ranks)["ndcg@10"] == result["models"]["student"]["ndcg@10"]
    targets = data.targets("test")
    assert np.load(tmp_path / "users.npy").tolist() == targets.users.tolist()
    assert np.load(tmp_path / "positions.npy").tolist() == targets.positions.tolist()


def test_validation_split_and_unfiltered_are_said(data, tmp_path):
    config = replace(CONFIG, split="validation", filter_seen=False)
    result = evaluated(data, config, {"a": Oracle(data, [1] * 24)}, 0, tmp_path)
    assert (result["split"], result["filter_seen"], result["tests"]) == ("validation", False, [])
    assert result["models"]["a"]["hit_rate@5"] == 1


def test_repeats_are_counted(make_data, tmp_path):
    data = make_data([1, 2, 1], [3, 4, 5], num_items=6)
    result = evaluated(data, CONFIG, {"a": Oracle(data, [1, 1])}, 0, tmp_path)
    assert result["repeats"] == 1
    assert math.isclose(result["models"]["a"]["hit_rate@10"], 0.5)


def test_a_split_without_rows_is_named(make_data, tmp_path):
    data = make_data([1, 2, 3], num_items=3)
    data = replace(data, validation_ends=np.array([3], dtype=np.int32))
    with pytest.raises(UserError, match=r"evaluate\.split: the data has no test rows"):
        evaluated(data, CONFIG, {}, 0, tmp_path)


def test_one_model_at_a_time_is_held_and_phases_are_told_apart(data, tmp_path):
    alive = weakref.WeakSet()

    def make():
        assert not alive
        scorer = Oracle(data, [1] * 24)
        alive.add(scorer)
        return scorer

    profiler = Profiler()
    evaluate(data, CONFIG, {"a": make, "b": make}, 0, tmp_path, profiler)
    assert list(profiler.seconds) == ["load a", "rank a", "load b", "rank b", "statistics", "write"]
