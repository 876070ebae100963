"""Both ends of the ablation trained on the tiny language model, and read back."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ablation_quality as benchmark
from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData

Compare = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def compare(
    config: RunConfig,
    data: PreparedData,
    student_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Compare:
    monkeypatch.setattr(PreparedData, "load", lambda folder: replace(data))

    def run(*more: str) -> list[dict[str, Any]]:
        command = [
            "ablation_quality.py",
            f"--run={student_folder.parent}",
            f"--llm={config.teacher.llm}",
            "--layers=2",
            "--history=4",
            "--window=10",
            "--batch=8",
            *more,
        ]
        monkeypatch.setattr(sys, "argv", command)
        benchmark.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_both_arms_see_every_target_once_an_epoch(compare: Compare, data: PreparedData) -> None:
    naive, ours, last = compare("--epochs=2")
    assert (naive["variant"], ours["variant"]) == ("naive", "ours")
    assert naive["targets"] == ours["targets"] == 2 * len(data.targets("train"))
    assert naive["steps"] > ours["steps"]
    kept = ours["ndcg@10_kept"] - naive["ndcg@10_kept"]
    assert last["ndcg@10_ours_minus_naive"] == pytest.approx(kept, abs=1e-3)
    assert last["interval_95"][0] <= last["ndcg@10_ours_minus_naive"] <= last["interval_95"][1]


def test_finished_arms_are_read_back_and_those_of_other_settings_refused(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare()
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "fit", lambda *arguments: pytest.fail("trained again"))
        assert compare() == first
    with pytest.raises(SystemExit, match="other settings or data"):
        compare("--learning-rate=0.5")
