"""Histories in another order: what moves, what a model that sees no order loses, and what a run's lines hold."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import order
import parts
from chain import options, write_interactions
from gate import config_of
from recdistill.cli import main
from recdistill.config import RunConfig
from recdistill.data.prepared import IntArray, PreparedData
from recdistill.storage.files import read_json
from recdistill.teacher.teacher import load_teacher


def history(data: PreparedData, user: int) -> list[int]:
    """All items of a user, later ones too."""
    return [int(item) for item in data.items[data.offsets[user] : data.offsets[user + 1]]]


@pytest.mark.parametrize("name", order.ORDERS)
def test_only_what_is_read_before_the_target_moves(data: PreparedData, name: str) -> None:
    targets, window = data.targets("validation"), 4
    copies = [order.reordered(data, targets, window, name, seed) for seed in range(6)]
    rows = dict(zip(targets.users.tolist(), targets.positions.tolist(), strict=True))
    for user in range(data.num_users):
        whole, end = history(data, user), rows.get(user, 0)
        start = 0 if name == "whole" else max(end - window, 0)
        for copy in copies:
            found = history(copy, user)
            assert found[:start] == whole[:start]
            assert found[end:] == whole[end:]
            assert sorted(found[start:end]) == sorted(whole[start:end])
            if name == "reversed":
                assert found[start:end] == whole[start:end][::-1]
            if name == "but-latest" and end:
                assert found[end - 1] == whole[end - 1]
        if end - start > 3 and name != "reversed":
            assert len({tuple(history(copy, user)) for copy in copies}) > 1
    assert np.array_equal(copies[0].target_items(targets), data.target_items(targets))
    assert np.array_equal(order.reordered(data, targets, window, name, 3).items, copies[3].items)


class NextOnTheRing:
    """Knows that the item after item i is i + 1."""

    def __init__(self, data: PreparedData) -> None:
        self.data = data

    def score(self, users: IntArray, positions: IntArray) -> torch.Tensor:
        latest = self.data.items[self.data.offsets[users] + positions - 1]
        scores = torch.zeros(len(users), self.data.num_items + 1)
        scores[torch.arange(len(users)), torch.from_numpy(latest + 1).long() % (self.data.num_items + 1)] = 1
        return scores


@pytest.fixture
def ring(data: PreparedData) -> PreparedData:
    """Histories of 4 to 12 items that follow one another."""
    lengths = np.diff(data.offsets)
    items = np.concatenate([np.arange(1, length + 1) for length in lengths]).astype(np.int32)
    return replace(data, items=items)


def test_what_follows_the_latest_item_alone_is_lost_with_it(ring: PreparedData) -> None:
    orders = order.Orders(ring, RunConfig(), 50, 2, 1)
    line = orders.line(orders.measure(NextOnTheRing))
    assert line["ndcg@10"] == 1
    assert list(line["orders"]) == ["shuffled", "but-latest", "reversed"], "no history is longer than 50"
    assert line["orders"]["but-latest"]["lost"] == {"mean": 0.0, "interval": [0.0, 0.0], "p": 1.0}
    # Whoever has two items or more before the target has another one last.
    positions = ring.targets("validation").positions
    backwards = line["orders"]["reversed"]
    assert backwards["reordered"] == (positions > 1).sum()
    assert backwards["lost"]["mean"] == round(float((positions > 1).mean()), 5)
    assert backwards["lost"]["p"] < 0.01
    assert backwards["lost_percent"] == round(100 * float((positions > 1).mean()), 2)
    assert 0 < line["orders"]["shuffled"]["lost"]["mean"] < 1
    assert sum(part["targets"] for part in backwards["by_read"].values()) == line["targets"]
    for part in backwards["by_read"].values():
        assert (part["as it is"], part["reordered"]) == (1, 0)


def test_what_sees_no_order_loses_nothing(data: PreparedData) -> None:
    orders, config = order.Orders(data, RunConfig(), 3, 10, 1), RunConfig()
    assert set(orders.copies) == set(order.ORDERS), "some history is longer than 3"
    # Whole numbers, whose sums are the same in any order; the mean of three is rounded alike then.
    generator = np.random.default_rng(0)
    vectors = torch.from_numpy(generator.integers(-9, 10, size=(data.num_items + 1, 5))).float()
    blind = orders.measure(lambda histories: order.Similarity(vectors * 3, 1.0, histories, 3))
    for name in ("shuffled", "but-latest", "reversed"):
        assert np.array_equal(blind.orders[name], blind.as_is)
    seeing = orders.measure(lambda histories: order.Similarity(vectors * 3, 0.5, histories, 3))
    assert not np.array_equal(seeing.orders["reversed"], seeing.as_is)
    assert not np.array_equal(blind.orders["whole"], blind.as_is), "other items are read"
    popularity = orders.measure(order.baseline("popularity", data, config))
    latest = orders.measure(order.baseline("cooccurrence", data, config))
    assert all(np.array_equal(values, popularity.as_is) for values in popularity.orders.values())
    assert np.array_equal(latest.orders["but-latest"], latest.as_is)
    assert not np.array_equal(latest.orders["reversed"], latest.as_is)


def test_the_loss_beyond_the_first_models_is_a_difference_of_losses(ring: PreparedData) -> None:
    orders = order.Orders(ring, RunConfig(), 50, 1, 1)
    knowing = orders.line(orders.measure(NextOnTheRing))
    popularity = orders.line(orders.measure(order.baseline("popularity", ring, RunConfig())))
    for name, found in popularity["orders"].items():
        assert found["lost"]["mean"] == 0
        assert knowing["orders"][name]["beyond_first"]["mean"] == 0
        assert found["beyond_first"]["mean"] == -knowing["orders"][name]["lost"]["mean"]


def test_several_targets_of_a_user_are_refused(data: PreparedData) -> None:
    with pytest.raises(SystemExit, match="several validation targets"):
        order.Orders(replace(data, train_ends=data.train_ends - 1), RunConfig(), 50, 1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """A finished run, a student of histories in a random order, and a run of other data."""
    folder = tmp_path_factory.mktemp("order")
    events = write_interactions(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        assert main(["evaluate", *options(folder / "run", tiny_llm, events, "--evaluate.split=validation")]) == 0
        shuffled = options(folder / "shuffled", tiny_llm, events, "--data.history_order=shuffled")
        assert main(["student", *shuffled]) == 0
        other = options(folder / "other", tiny_llm, write_interactions(folder / "more", seed=1))
        assert main(["student", *other]) == 0
    return folder


def printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> list[dict[str, Any]]:
    monkeypatch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
    monkeypatch.setattr(sys, "argv", ["order.py", *arguments])
    capsys.readouterr()
    order.main()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_for_each_model_of_a_run_which_is_left_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    lines = {line["model"]: line for line in printed(folder, monkeypatch, capsys, str(folder / "run"))}
    models = ["student", "teacher", "distilled"]
    assert list(lines) == [*models, order.CORRECTION, *order.BASELINES, "similarity 0.9", "similarity 1"]
    data = PreparedData.load(folder / "run/prepare")
    teacher = load_teacher(config_of(folder / "run"), data, folder / "run/student", folder / "run/teacher", "cpu")
    assert lines[order.CORRECTION]["ndcg@10"] == parts.measure(teacher)["ndcg@10"]["correction"]
    metrics = read_json(folder / "run/evaluation/metrics.json")["models"]
    for name in (*models, *order.BASELINES):
        assert lines[name]["ndcg@10"] == round(metrics[name]["ndcg@10"], 5)
    assert lines["student"]["window"] == 10
    assert lines["popularity"]["orders"]["shuffled"]["lost"]["mean"] == 0
    assert lines["student"]["orders"]["reversed"]["lost"]["mean"] != 0
    assert {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()} == before


def test_a_correction_that_was_not_learned_is_no_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    data, config = PreparedData.load(run / "prepare"), order.settings(run)
    assert list(order.models_of(run, config, data)) == ["student", "teacher", "distilled", order.CORRECTION]
    path = run / "teacher/ranker.safetensors"
    weights = load_file(path)
    save_file(weights | {"head.query.weight": torch.zeros_like(weights["head.query.weight"])}, path)
    assert list(order.models_of(run, config, data)) == ["student", "teacher", "distilled"]


def test_a_run_of_shuffled_training_reads_the_first_runs_histories(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(folder / name) for name in ("run", "shuffled")]
    first, second = printed(folder, monkeypatch, capsys, *runs, "--models", "student", "--draws=1")
    (alone,) = printed(folder, monkeypatch, capsys, runs[1], "--models", "student", "--draws=1")
    assert second["ndcg@10"] != alone["ndcg@10"], "alone it reads its own, shuffled histories"
    assert "against_first" not in first
    assert second["against_first"]["mean"] == pytest.approx(second["ndcg@10"] - first["ndcg@10"], abs=2e-5)


def test_runs_of_other_targets_and_unknown_models_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="other targets than"):
        printed(folder, monkeypatch, capsys, *(str(folder / name) for name in ("run", "other")), "--models", "student")
    with pytest.raises(SystemExit, match="has no oracle; it has student"):
        printed(folder, monkeypatch, capsys, str(folder / "shuffled"), "--models", "oracle")
