"""The comparison's clock, its best weights and its turns; our own variant is trained for an epoch."""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from other_libraries.arguments import NEVER, settings_of
from other_libraries.curve import BestWeights, Curve, first_at, quality, write_result
from other_libraries.events import refuse_what_recbole_cannot_split, train_events
from other_libraries.ours import StopAt, WatchedTraining
from recdistill.config import EvaluateConfig, StudentConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.training.fit import fit
from recdistill.training.student import student_sequence_scorer, student_training
from students import command, finished, refuse_other_data, summary, turns, variant


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
    best = BestWeights(module, patience=2, until=0.9)
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
    watched = WatchedTraining(student_training(config, data, 1, "cpu", EvaluateConfig()), curve)
    curve.start()
    result = fit(watched, train, RunContext("cpu", Profiler(), tmp_path / "run"), 1, "x", "x")  # type: ignore[arg-type]
    assert [row["epoch"] for row in curve.rows] == [0, 1, 2]
    assert curve.best["ndcg@10"] == pytest.approx(result.metrics["ndcg@10"], abs=1e-5)
    test = quality(data, "test", student_sequence_scorer(watched.training.module, data, "cpu"))
    out = tmp_path / "out.jsonl"
    write_result(out, "ours", curve, test, asdict(config) | {"seed": 1}, ("recdistill",))
    line = json.loads(out.read_text())
    assert [line[key] for key in ("variant", "data", "split", "epochs", "test")] == ["ours", "data", "split", 2, test]
    threads, patience = line["threads"], train.patience
    assert finished(out, threads, 2, patience, NEVER) == {("ours", 1)}
    assert finished(out, threads + 1, 2, patience, NEVER) == set()
    assert finished(out, threads, 3, patience, NEVER) == set()
    assert finished(out, threads, None, patience, NEVER) == set()
    assert finished(out, threads, 2, patience + 1, NEVER) == set()


def test_without_epochs_an_arms_own_count(tmp_path: Path) -> None:
    lines = [
        {"variant": variant, "threads": 2, "settings": {"seed": 1, "max_epochs": epochs, "patience": 10}}
        for variant, epochs in (("rectools", 100), ("recbole", 100))
    ]
    (tmp_path / "out").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert finished(tmp_path / "out", 2, None, 10, NEVER) == {("rectools", 1)}
    assert finished(tmp_path / "out", 2, 100, 10, NEVER) == {("rectools", 1), ("recbole", 1)}


def test_lines_of_other_data_are_refused(data: PreparedData, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prints = {"fingerprint": "data", "split_fingerprint": "split"}
    (tmp_path / "data.json").write_text(json.dumps(prints))
    refuse_other_data(out, tmp_path)  # nothing is there
    curve = Curve(data, rows=[{"epoch": 1, "seconds": 1.0, "cpu_seconds": 1.0, "ndcg@10": 0.1}])
    write_result(out, "ours", curve, {}, {"seed": 1}, ())
    refuse_other_data(out, tmp_path)
    for key in prints:
        (tmp_path / "data.json").write_text(json.dumps(prints | {key: "other"}))
        with pytest.raises(SystemExit, match="holds lines of other data"):
            refuse_other_data(out, tmp_path)


def test_the_others_are_given_the_events_that_ours_is_trained_on(data: PreparedData) -> None:
    trained = np.arange(data.num_users) % 3 == 0
    for part in (data, replace(data, trained_users=trained)):
        users, positions = train_events(part)
        wanted = [(user, place) for user in range(part.num_users) for place in range(part.trained_ends[user])]
        assert list(zip(users.tolist(), positions.tolist(), strict=True)) == wanted
        assert np.array_equal(
            np.bincount(part.items[part.offsets[users] + positions], minlength=31), part.train_item_counts()
        )


def test_recbole_is_refused_what_it_would_split_otherwise(data: PreparedData) -> None:
    refuse_what_recbole_cannot_split(data)
    with pytest.raises(SystemExit, match="all users"):
        refuse_what_recbole_cannot_split(replace(data, trained_users=np.arange(data.num_users) > 0))
    with pytest.raises(SystemExit, match="last two events"):
        refuse_what_recbole_cannot_split(replace(data, train_ends=data.train_ends - 1))


def test_arms_take_turns_and_another_one_is_first_with_each_seed() -> None:
    assert turns(["a", "b"], [1, 2]) == [("a", 1), ("b", 1), ("b", 2), ("a", 2)]


def test_an_arm_runs_in_its_own_python(tmp_path: Path) -> None:
    arguments = argparse.Namespace(
        others=tmp_path / "python", data=tmp_path, out=tmp_path / "out", patience=3, epochs=None, until=0.5
    )
    assert command("rectools", 7, arguments)[:3] == [str(tmp_path / "python"), "-m", "other_libraries.rectools_sasrec"]
    assert command("ours", 7, arguments)[0] != str(tmp_path / "python")
    assert "--epochs" not in command("ours", 7, arguments)
    words = command("rectools:loss=BCE", 7, arguments)
    assert words[2:5] == ["other_libraries.rectools_sasrec", "--variant", "rectools:loss=BCE"]
    assert words[words.index("--until") + 1] == "0.5"


def test_a_variant_has_a_library_and_settings() -> None:
    assert variant("rectools:loss=BCE") == "rectools:loss=BCE"
    with pytest.raises(ValueError, match="lightfm"):
        variant("lightfm:loss=warp")
    words = "ours:loss.name=auto,train.beta2=0.999,loss.shared=true"
    assert settings_of(words) == ("ours", {"loss.name": "auto", "train.beta2": 0.999, "loss.shared": True})
    with pytest.raises(ValueError, match="a setting is written KEY=VALUE"):
        settings_of("ours:loss.name")


def test_a_variant_that_stops_at_a_quality_is_there_where_a_longer_one_is(tmp_path: Path) -> None:
    out, at = tmp_path / "out", {"seed": 1, "max_epochs": 9, "patience": 10}
    lines = [
        {"variant": "rectools:lr=1", "threads": 2, "settings": at | {"until": 0.5}},
        {"variant": "rectools", "threads": 2, "settings": at},
    ]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert finished(out, 2, 9, 10, 0.4) == {("rectools:lr=1", 1), ("rectools", 1)}
    assert finished(out, 2, 9, 10, 0.6) == {("rectools", 1)}


def test_the_quality_that_is_asked_for_ends_a_training_and_is_told(data: PreparedData, tmp_path: Path) -> None:
    best = BestWeights(nn.Linear(1, 1), patience=9, until=0.3)
    assert [best.see(value) for value in (0.2, 0.3)] == [False, True]
    train = TrainConfig(max_epochs=3, batch_size=4)
    config = StudentConfig(embedding_dim=8, max_length=6, train=train)
    watched = WatchedTraining(student_training(config, data, 1, "cpu", EvaluateConfig()), curve := Curve(data))
    curve.start()
    context = RunContext("cpu", Profiler(), tmp_path)
    fit(watched, train, context, 1, "x", "x", callbacks=[StopAt(0.0)])  # type: ignore[arg-type]
    assert len(curve.rows) == 1, "the untrained weights have as much"
    rows = [{"epoch": 1, "ndcg@10": 0.1}, {"epoch": 2, "ndcg@10": 0.3}, {"epoch": 3, "ndcg@10": 0.4}]
    assert first_at(rows, 0.3) == rows[1]
    assert first_at(rows, 0.5) is None
    told = dict.fromkeys(("epochs", "seconds", "cpu_seconds", "best", "test"), 1.0)
    line = {"variant": "a", "settings": {"seed": 1}, "curve": rows, **told}
    assert summary(line, 0.3)["reached"] == rows[1]
    assert "reached" not in summary(line, NEVER)
