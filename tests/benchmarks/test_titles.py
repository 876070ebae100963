"""The variants of benchmarks/titles.py on tiny data: trained once each, and told of one another."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import titles
from chain import options, write_interactions
from recdistill.cli import main
from recdistill.data.prepared import IntArray
from title_variants import Variant, without_plus


def test_arms_are_trained_once_and_compared(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    events = write_interactions(tmp_path / "data")
    assert main(["prepare", *options(tmp_path / "run", tiny_llm, events)]) == 0
    encoder = tmp_path / "encoder"
    encoder.symlink_to(tiny_llm)
    variants = ["plain", "titles", "shuffled", "tuned", "titles@similarity", "titles@plus"]
    call = [str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--epochs=1", "--steps=2", "--encoder", str(encoder)]
    capsys.readouterr()
    titles.main([*call, "--variants", *variants])
    table = capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "out" / "titles.jsonl").read_text().splitlines()]
    assert [line["variant"] for line in lines] == variants
    assert len({line["ndcg@10"] for line in lines}) > 1
    assert [line["steps"] for line in lines] == [0, 0, 0, 2, 0, 0]
    assert [line["epochs"] for line in lines] == [1, 1, 1, 1, 0, 1]
    assert [line["similarity"] is not None for line in lines] == [False] * 5 + [True]
    if lines[-1]["similarity"] == 0:
        assert lines[-1]["ndcg@10"] == lines[1]["ndcg@10"]
    for told in ("titles - plain: ", "titles - shuffled: ", "tuned - titles: ", "titles@similarity - titles: "):
        assert told in table
    monkeypatch.setattr(titles, "train_arm", lambda *_: pytest.fail("trained again"))
    titles.main([*call, "--variants", *variants])
    assert capsys.readouterr().out == table


def test_title_similarity_is_added_to_the_student_of_the_arm_without_it() -> None:
    assert without_plus("titles@plus") == "titles"
    assert without_plus("llm:tuned@ids0.5,plus") == "llm:tuned@ids0.5"

    class Fixed:
        def __init__(self, *scores: float) -> None:
            self.scores = torch.tensor([scores])

        def score(self, users: IntArray, positions: IntArray) -> torch.Tensor:
            return self.scores

    nobody = np.zeros(1, np.int32)
    assert titles.Sum(Fixed(1, 2), Fixed(10, -4), 0.5).score(nobody, nobody).tolist() == [[6.0, 0.0]]


def test_an_arms_name_says_encoder_reading_and_use() -> None:
    variant = Variant.of("minilm+llm:tuned@ids0.5,dim64", "other")
    assert variant == Variant("tuned", "minilm+llm", "ids0.5,dim64")
    settings = variant.config(3, argparse.Namespace(epochs=2, beta2=0.9, loss="auto"))
    assert (settings.seed, settings.distill.id_dropout, settings.teacher.title_dim) == (3, 0.5, 64)
    assert (settings.distill.embedding_weight, settings.student.loss.name) == (1.0, "auto")
    started = Variant.of("titles@start", "minilm").config(1, argparse.Namespace(epochs=1, beta2=0.9, loss="auto"))
    assert (started.distill.start, started.distill.embedding_weight) == ("titles", 0.0)
    assert Variant.of("shuffled", "minilm") == Variant("shuffled", "minilm", "")
    for unknown in ("tilted", "minilm:plane"):
        with pytest.raises(SystemExit, match="no such variant"):
            Variant.of(unknown, "minilm")
    with pytest.raises(SystemExit, match="no way to take titles in"):
        Variant.of("titles@by-hand", "minilm").config(1, argparse.Namespace(epochs=1, beta2=0.9, loss="auto"))


@pytest.mark.parametrize(
    ("one", "beside"),
    [
        ("titles", {"plain", "shuffled"}),
        ("shuffled", {"plain"}),
        ("tuned", {"plain", "tuned-shuffled", "titles"}),
        ("tuned-shuffled", {"plain", "shuffled"}),
        ("titles@ids0.5", {"plain", "titles"}),
        ("llm:titles", {"plain", "titles"}),
        ("plain", set()),
    ],
)
def test_an_arm_stands_beside_those_that_differ_in_one_thing(one: str, beside: set[str]) -> None:
    names = ["plain", "titles", "shuffled", "tuned", "tuned-shuffled", "titles@ids0.5", "llm:titles"]
    variant = Variant.of(one, "minilm")
    others = {name for name in names if name != one and variant.controls(Variant.of(name, "minilm"))}
    assert others - {"llm:titles"} == beside
    assert ("llm:titles" in others) == (one == "titles")
