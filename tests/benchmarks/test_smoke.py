"""The benchmarks that nothing else runs, each once at a tiny size; each checks its own results before it prints."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import distilled_epoch
import evaluation
import gated_experts
import growing
import losses
import prepare
import several_processes
import streams
import student
import targets
from recdistill.config import GateConfig, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.teacher.growing import GrowingHistories
from user_histories import with_lengths

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(data: PreparedData, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call a benchmark's `main` on the small data set and read its one line."""
    monkeypatch.setattr(PreparedData, "load", lambda folder: replace(data))

    def main(benchmark: ModuleType, *options: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [f"{benchmark.__name__}.py", *options])
        benchmark.main()
        (line,) = capsys.readouterr().out.splitlines()
        return dict(json.loads(line))

    return main


@pytest.fixture
def small(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks' default configuration, around the tiny language model."""
    teacher = replace(config.teacher, gate=GateConfig(kind="causal"), history_length=10)
    train = TrainConfig(max_epochs=1, batch_size=4)
    own = RunConfig(student=StudentConfig(embedding_dim=16, max_length=50, train=train), teacher=teacher)
    for benchmark in (targets, growing):
        monkeypatch.setattr(benchmark, "RunConfig", lambda: own)
    every = replace(own, teacher=replace(teacher, targets="every"))
    monkeypatch.setattr(streams, "RunConfig", lambda: every)
    monkeypatch.setattr(student, "RunConfig", lambda **given: replace(own, **given))
    monkeypatch.setattr(gated_experts, "TeacherConfig", lambda: TeacherConfig(llm=teacher.llm))


@pytest.mark.usefixtures("small")
def test_targets_with_fewer_batches_than_steps(run: Run) -> None:
    line = run(targets, "--data=unused", "--prompt=text", "--layers=2", "--steps=8", "--repeats=1")
    assert line["ratio_range"][0] <= line["ratio_median_of_pairs"] <= line["ratio_range"][1]
    assert line["targets_per_second_every"] > 0


@pytest.mark.usefixtures("small")
def test_growing(run: Run) -> None:
    line = run(growing, "--data=unused", "--layers=2", "--events=6")
    assert line["events_timed"] == [4, 6]
    assert line["tokens_reused"] > 0


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("prompt", ["item", "text"])
def test_streams(run: Run, data: PreparedData, monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
    """What both have to have in common is checked before anything is timed."""
    histories = with_lengths(data, [3, 27, 9, 25, 7])
    monkeypatch.setattr(PreparedData, "load", lambda folder: histories)
    words = (f"--prompt={prompt}", "--layers=2", "--steps=2", "--batches=1", "--repeats=1")
    line = run(streams, "--data=unused", *words)
    for what in ("learned", "exported"):
        least, most = line[f"{what}_ratio_range"]
        assert 0 < least <= line[f"{what}_ratio_median_of_pairs"] <= most
    keys = streams.keys_of
    monkeypatch.setattr(streams, "keys_of", lambda windows: {(len(windows), 0)})
    with pytest.raises(SystemExit, match="not the same targets"):
        run(streams, "--data=unused", *words)
    monkeypatch.setattr(streams, "keys_of", keys)
    grown = GrowingHistories.extend
    monkeypatch.setattr(GrowingHistories, "extend", lambda self, items: 0 * grown(self, items))
    with pytest.raises(AssertionError):
        run(streams, "--data=unused", *words)


@pytest.mark.usefixtures("small")
def test_gated_experts(run: Run) -> None:
    line = run(gated_experts, "--layers=2", "--batch=2", "--tokens=8", "--repeats=2")
    assert line["saved_mib_gated"] > 0


@pytest.mark.usefixtures("small")
def test_student(run: Run) -> None:
    line = run(student, "--data=unused", "--seed=3")
    assert (line["seed"], line["epochs"]) == (3, 1)
    assert 0 <= line["test"]["ndcg@10"] <= 1


def test_evaluation(run: Run) -> None:
    line = run(evaluation, "--users=30", "--items=50", "--events=300")
    assert line["users"] == 30
    assert 0 < line["ndcg@10"] < 1


def test_prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare.make_csv(tmp_path / "ratings.csv", events=2000, users=50, items=40, seed=0)
    prepare.measure(tmp_path / "ratings.csv", tmp_path / "prepared")
    line = json.loads(capsys.readouterr().out)
    assert line["users"] == 50
    assert 0 < line["events_kept"] < 2000, "repeated events are dropped"


def test_a_distilled_epoch_has_plain_ones_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"USERS": 20, "ITEMS": 40, "EVENTS_PER_USER": 12, "HIDDEN": 8, "EPOCHS": 3}.items():
        monkeypatch.setattr(distilled_epoch, name, value)
    order = []

    def seconds(training: object, epoch: int) -> float:
        order.append((type(training).__name__, epoch))
        return float(len(order))

    with monkeypatch.context() as patch:
        patch.setattr(distilled_epoch, "epoch_seconds", seconds)
        line = run(distilled_epoch)
    plain, distilled = "StudentTraining", "DistilledTraining"
    assert order[:6] == [(plain, 0), (distilled, 0), (distilled, 1), (plain, 1), (plain, 2), (distilled, 2)]
    # The second pair of each method is (4, 3), the third (5, 6); and six calls later with each method.
    found = [line[f"{name}_plain_seconds"] for name in ("dllm2rec", "dllm2rec_without_consistency", "topk_kl")]
    assert found == [4, 10, 16]
    assert line["dllm2rec_seconds"] == 3
    assert line["dllm2rec_ratio"] == pytest.approx(np.median([3 / 4, 6 / 5]), abs=1e-3)


def test_distilled_epochs_are_trained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"USERS": 20, "ITEMS": 40, "EVENTS_PER_USER": 12, "HIDDEN": 8, "EPOCHS": 2}.items():
        monkeypatch.setattr(distilled_epoch, name, value)
    line = run(distilled_epoch)
    assert line["targets_per_epoch"] > 0
    assert all(value > 0 for value in line.values())


def test_losses_are_timed_at_each_size(run: Run) -> None:
    line = run(losses, "--items=40", "--targets=20", "--width=4", "--repeats=1")
    assert line["items"] == 40
    assert set(line["cpu_seconds"]) == set(losses.LOSSES)


def test_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The turns alternate, and other losses than one process's are an error."""
    asked: list[tuple[int, int]] = []
    losses = {"several": [2.0, 1.0]}

    def turn(run: Path, step: str, words: list[str], devices: int, threads: int) -> dict[str, Any]:
        asked.append((devices, threads))
        found = losses["several"] if devices > 1 else [2.0, 1.0]
        return {"losses": found, "targets_per_second": {(1, 1): 10.0, (1, 2): 12.0, (2, 1): 18.0}[devices, threads]}

    monkeypatch.setattr(several_processes, "turn", turn)
    monkeypatch.setattr(sys, "argv", ["several_processes.py", "run", "--processes=2", "--repeats=2"])
    several_processes.main()
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert asked == [(1, 1), (1, 2), (2, 1), (2, 1), (1, 2), (1, 1)]
    assert (summary["over_one_core"], summary["over_one_process"]) == (1.8, 1.5)
    losses["several"] = [2.0, 1.001]
    with pytest.raises(SystemExit, match="the losses are not the same"):
        several_processes.main()
