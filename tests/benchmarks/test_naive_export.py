"""The naive export beside the package's, on the tiny language model."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import naive_export as benchmark
from naive.checks import excite
from naive.compose import load_tokenizer
from naive.export import naive_export, read_naive_export
from naive.options import NAIVE
from naive.training import NaiveTraining
from recdistill.config import ExportConfig, RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.teacher.teacher import Teacher
from there import there


@pytest.fixture
def teacher(config: RunConfig, data: PreparedData, student_folder: Path) -> Teacher:
    teacher = Teacher(config, data, student_folder, "cpu")
    excite(teacher.ranker)
    return teacher


@pytest.fixture
def training(teacher: Teacher, config: RunConfig) -> NaiveTraining:
    return NaiveTraining(teacher, load_tokenizer(config), NAIVE, length=96)


def test_naive_files_hold_every_target_with_all_scores(
    training: NaiveTraining, teacher: Teacher, tmp_path: Path
) -> None:
    windows = teacher.training_windows()
    size = naive_export(training, windows, tmp_path / "out", batch_size=7)
    written = read_naive_export(tmp_path / "out")
    assert written["scores"].shape == (len(windows), teacher.data.num_items + 1)
    assert written["user_states"].shape == (len(windows), 64)
    assert written["keys"].tolist() == np.stack([windows.users, windows.ends], axis=1).tolist()
    assert size > len(windows) * (4 * (teacher.data.num_items + 1) + 4 * 64 + 16)
    _, _, scores = teacher.predict(windows, np.arange(len(windows)))
    assert torch.allclose(torch.from_numpy(written["scores"])[:, 1:], scores[:, 1:], rtol=1e-4, atol=1e-4)


def bias_of(training: NaiveTraining) -> Tensor:
    """That of the layer behind the language model's states."""
    query = there(training.module.head).query
    assert isinstance(query, nn.Linear)
    return query.bias


def test_the_comparison_finds_equal_lists_equal_and_others_not(training: NaiveTraining, teacher: Teacher) -> None:
    windows, config = teacher.training_windows(), ExportConfig(batch_size=8, top_k=5, exclude_seen=True)
    assert benchmark.compare(training, teacher, windows, config) < 1e-4
    with torch.no_grad():
        bias_of(training).add_(0.1)
    assert benchmark.compare(training, teacher, windows, config) > 1e-3
    with torch.no_grad():
        bias_of(training).fill_(torch.nan)
    assert np.isnan(benchmark.compare(training, teacher, windows, config))


def test_what_is_no_number_stops_the_benchmark(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(benchmark, "compare", lambda *arguments: float("nan"))
    monkeypatch.setattr(benchmark, "measure", lambda *arguments: pytest.fail("measured all the same"))
    with pytest.raises(SystemExit, match="text_last: the package's scores are not those of the naive teacher"):
        benchmark.main()


@pytest.fixture
def command(data: PreparedData, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line of a small comparison."""
    monkeypatch.setattr(PreparedData, "load", lambda folder: replace(data))
    return [
        "naive_export.py",
        "--data=unused",
        f"--llm={config.teacher.llm}",
        f"--out={tmp_path / 'export.jsonl'}",
        "--layers=2",
        "--history=4",
        "--window=10",
        "--users=6",
        "--single-rows=8",
        "--batch=4",
        "--top-k=5",
        "--repeats=2",
    ]


def test_all_arms_are_checked_and_measured(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [json.loads(line) for line in (tmp_path / "export.jsonl").read_text().splitlines()] == lines
    assert {line["check"] for line in lines if "check" in line} == {"text_last", "text_every"}
    variants = {line["variant"]: line for line in lines if "variant" in line}
    assert variants["naive"]["rows"] == variants["text_last"]["rows"] == 8
    assert variants["text_every"]["rows"] == variants["item_every"]["rows"] > 8
    assert variants["naive"]["bytes_per_row"] > 4 * 31 + 4 * 64 + 16
    ratios = lines[-1]["ratios"]
    expected = variants["naive"]["bytes_per_row"] / variants["item_every"]["bytes_per_row"]
    assert ratios["item_every"]["naive_bytes_per_byte"] == pytest.approx(expected, rel=0.05)
