"""The arms of benchmarks/titles.py on tiny data: trained once each, and told of one another."""

import json
from pathlib import Path

import pytest

import titles
from chain import options, write_interactions
from recdistill.cli import main


def test_arms_are_trained_once_and_compared(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    events = write_interactions(tmp_path / "data")
    assert main(["prepare", *options(tmp_path / "run", tiny_llm, events)]) == 0
    encoder = tmp_path / "encoder"
    encoder.symlink_to(tiny_llm)
    arms = ["plain", "titles", "shuffled", "tuned"]
    call = [str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--epochs=1", "--steps=2", "--encoder", str(encoder)]
    capsys.readouterr()
    titles.main([*call, "--arms", *arms])
    table = capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "out" / "titles.jsonl").read_text().splitlines()]
    assert [line["arm"] for line in lines] == arms
    assert len({line["ndcg@10"] for line in lines}) > 1
    assert [line["steps"] for line in lines] == [0, 0, 0, 2]
    for told in ("titles - plain: ", "titles - shuffled: ", "tuned - titles: "):
        assert told in table
    monkeypatch.setattr(titles, "train_arm", lambda *_: pytest.fail("trained again"))
    titles.main([*call, "--arms", *arms])
    assert capsys.readouterr().out == table
