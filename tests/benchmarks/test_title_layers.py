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


def test_words_and_a_second_copy_behind_the_title(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path))
    config = TeacherConfig(title_encoder="llm", llm=str(tiny_llm))
    plain = title_layers.readings(config, TEXTS, 9)
    last = max(layer for layer, _ in plain)
    for asked, third in (
        (title_layers.Asked(" in one word:"), "word"),
        (title_layers.Asked(" again:", echo=True), "echo"),
    ):
        found = title_layers.readings(config, TEXTS, 9, asked)
        # What stands behind a title changes nothing of its own tokens.
        assert torch.allclose(found[last, "mean"], plain[last, "mean"], atol=1e-5)
        assert torch.allclose(found[last, "last"], plain[last, "last"], atol=1e-5)
        assert not torch.allclose(found[last, third][1], found[last, third][3], atol=1e-3)
        assert torch.equal(found[last, third][1], found[last, third][4])
    # At the token embeddings a copy is the title itself, and the last word is the same behind all titles.
    echo = title_layers.readings(config, TEXTS, 9, title_layers.Asked(" again:", echo=True))
    assert torch.allclose(echo[0, "echo"], echo[0, "mean"], atol=1e-6)
    word = title_layers.readings(config, TEXTS, 9, title_layers.Asked(" in one word:"))
    assert torch.equal(word[0, "word"][1], word[0, "word"][3])


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
