"""The comparison's clock, its best weights and its turns; our own arm is trained for an epoch."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recdistill.config import StudentConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.profiling.profiler import Profiler
from recdistill.training.fit import fit
from recdistill.training.student import student_sequence_scorer, student_training
from rivals.curve import BestWeights, Curve, quality, write_result
from rivals.ours import WatchedTraining
from students import command, finished, turns


class SlowOracle:
    """Scores the target highest, after a while."""

    def __init__(self, data: PreparedData) -> None:
        self.data = data

    def score(self, users: np.ndarray, positions: np.ndarray) -> Tensor:
        time.sleep(0.2)
        scores = torch.zeros(len(users), self.data.num_items + 1)
        targets = self.data.items[self.data.offsets[users] + positions]
        scores[torch.arange(len(users)), torch.from_numpy(targets.astype(np.int64))] = 1
        return scores


def test_the_clock_stands_still_while_validation_is_ranked(data: PreparedData) -> None:
    curve = Curve(data)
    curve.start()
    assert curve.read(1, SlowOracle(data)) == {"ndcg@10": 1.0, "hit_rate@10": 1.0}
    time.sleep(0.05)
    curve.read(2, SlowOracle(data))
    assert 0.05 <= curve.rows[1]["seconds"] < 0.2
    assert curve.best["epoch"] == 1, "the first of equals"


def test_best_weights_are_kept_and_put_back() -> None:
    module = nn.Linear(1, 1)
    best = BestWeights(module, patience=2)
    stops = []
    for value in (0.1, 0.3, 0.2, 0.3):
        nn.init.constant_(module.weight, value)
        stops.append(best.see(value))
    nn.init.constant_(module.weight, 9.0)
    best.put_back()
    assert stops == [False, False, False, True]
    assert module.weight.item() == pytest.approx(0.3)


def test_our_arm_is_the_student_that_fit_trains(data: PreparedData, tmp_path: Path) -> None:
    train = TrainConfig(max_epochs=2, batch_size=4)
    config = StudentConfig(embedding_dim=8, max_length=6, train=train)
    curve = Curve(data)
    watched = WatchedTraining(student_training(config, data, 1, "cpu"), curve)
    curve.start()
    result = fit(watched, train, tmp_path / "run", Profiler(), 1, "x", "x")  # type: ignore[arg-type]
    assert [row["epoch"] for row in curve.rows] == [0, 1, 2]
    assert curve.best["ndcg@10"] == pytest.approx(result.metrics["ndcg@10"], abs=1e-5)
    test = quality(data, "test", student_sequence_scorer(watched.training.module, data, "cpu"))
    out = tmp_path / "out.jsonl"
    write_result(out, "ours", curve, test, {"seed": 1}, ("recdistill",))
    line = json.loads(out.read_text())
    assert (line["arm"], line["data"], line["epochs"], line["test"]) == ("ours", "split", 2, test)
    assert finished(out, line["threads"]) == {("ours", 1)}
    assert finished(out, line["threads"] + 1) == set()


def test_arms_take_turns_and_another_one_is_first_with_each_seed() -> None:
    assert turns(["a", "b"], [1, 2]) == [("a", 1), ("b", 1), ("b", 2), ("a", 2)]


def test_an_arm_runs_in_its_own_python(tmp_path: Path) -> None:
    arguments = argparse.Namespace(
        others=tmp_path / "python", data=tmp_path, out=tmp_path / "out", patience=3, epochs=None
    )
    assert command("rectools", 7, arguments)[:3] == [str(tmp_path / "python"), "-m", "rivals.rectools_sasrec"]
    assert command("ours", 7, arguments)[0] != str(tmp_path / "python")
    assert "--epochs" not in command("ours", 7, arguments)
