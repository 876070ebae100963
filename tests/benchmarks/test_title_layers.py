"""Hidden states of layers as title embeddings: the last layer's mean is what the package reads."""

import json
from pathlib import Path

import pytest
import torch

import title_layers
from chain import options, write_interactions
from recdistill.cli import main
from recdistill.config import TeacherConfig
from recdistill.data.fetch import cache_folder
from recdistill.language_models.titles import title_embeddings

TEXTS = ["", "red shoe", "", "blue shoe with a long name", "red shoe"]


def test_layers() -> None:
    assert title_layers.layers_of(30, 4) == [0, 4, 8, 12, 16, 20, 24, 28, 30]
    assert title_layers.layers_of(2, 4) == [0, 2]


def test_the_last_layers_mean_is_what_the_package_reads(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path))
    config = TeacherConfig(title_encoder="llm", llm=str(tiny_llm))
    found = title_layers.readings(config, TEXTS, 1)
    wanted = title_embeddings(config, TEXTS, cache_folder(), "cpu")
    last = max(layer for layer, _ in found)
    assert torch.allclose(found[last, "mean"], wanted, atol=1e-5)
    assert not torch.allclose(found[0, "mean"], wanted, atol=1e-2)
    assert not torch.allclose(found[last, "last"], wanted, atol=1e-2)


def test_a_line_for_each_reading(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    assert main(["prepare", *options(tmp_path / "run", tiny_llm, write_interactions(tmp_path / "data"))]) == 0
    capsys.readouterr()
    title_layers.main(
        [str(tmp_path / "run"), "--llm", str(tiny_llm), "--step", "9", "--dims", "2", "4", "--users", "5"]
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    asked = {(line["layer"], line["pooling"], line["dims"]) for line in lines}
    assert len(asked) == len(lines) == 2 * len(title_layers.POOLINGS) * 2
    assert {line["targets"] for line in lines} == {5}
    assert all(0 <= line["ndcg@10"] <= 1 for line in lines)
