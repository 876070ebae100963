"""The comparison with TRL: its documents, its checks, its turns; with TRL itself where an environment has it."""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import trl_packing
from ablation import random_student
from recdistill.data.prepared import PreparedData
from recdistill.teacher.prompts import PromptBatch
from recdistill.teacher.teacher import Teacher
from recdistill.training.teacher import TeacherTraining
from trl_packing import (
    IGNORED,
    Document,
    Packed,
    Tokens,
    Trl,
    Variant,
    documents_of,
    expected,
    history_documents,
    once,
    prompt_documents,
    some_users,
    targets_of_ours,
    targets_of_rows,
    text,
)

HISTORY, END = 4, 0
TRL_PYTHON = os.environ.get("RECDISTILL_TRL_PYTHON")
"""Python of an environment made from benchmarks/requirements-trl.txt."""


@pytest.fixture
def training(data: PreparedData, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TeacherTraining:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    arguments = argparse.Namespace(llm=str(tiny_llm), history=HISTORY, modules=["q_proj", "v_proj"])
    config = trl_packing.settings(arguments, 2)
    (tmp_path / "student").mkdir()
    student = random_student(config, data, tmp_path / "student")
    return TeacherTraining(Teacher(config, data, student, "cpu"), seed=0)


def packed(rows: list[list[Tokens]]) -> Packed:
    """Rows of documents as TRL's process writes them."""
    documents = [one for row in rows for one in row]
    return {
        "ids": np.array([token for ids, _ in documents for token in ids]),
        "labels": np.array([label for _, labels in documents for label in labels]),
        "lengths": np.array([len(ids) for ids, _ in documents]),
        "documents": np.array([len(row) for row in rows]),
    }


def test_both_readings_teach_the_targets_that_ours_learns(data: PreparedData, training: TeacherTraining) -> None:
    wanted = {(user, place) for user in range(data.num_users) for place in range(1, data.train_ends[user])}
    assert once(targets_of_ours(training)) == wanted
    for reading in trl_packing.READINGS:
        found = [target for document in documents_of(reading, training, tokens=90) for target in document.targets]
        assert once(found) == wanted
    with pytest.raises(SystemExit, match="twice"):
        once([*found, found[0]])


def test_a_prompt_has_the_latest_items_and_a_history_is_cut_between_items(data: PreparedData) -> None:
    prompts = {(one.user, one.learned): one for one in prompt_documents(data, 3)}
    assert prompts[0, 1] == Document(0, 0, 2, 1, whole=False)
    user = int(np.argmax(data.train_ends))
    assert prompts[user, 8] == Document(user, 5, 9, 8, whole=False)
    own = [one for one in history_documents(data, np.full(31, 10), 6, 36) if one.user == user]
    assert data.train_ends[user] == 10
    assert [(one.start, one.end, one.learned) for one in own] == [(0, 3, 1), (3, 6, 3), (6, 9, 6), (9, 10, 9)]
    with pytest.raises(SystemExit, match="a title has more"):
        history_documents(data, np.full(31, 10), 6, 15)


def test_texts_have_the_tokens_of_our_prompts(data: PreparedData, training: TeacherTraining, tiny_llm: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer, builder = AutoTokenizer.from_pretrained(tiny_llm), training.teacher.prompts
    prompt, whole = Document(1, 0, 3, 2, whole=False), Document(1, 0, 3, 1, whole=True)
    instruction, titles = "Chosen by one person, oldest first:", [data.titles[item] for item in data.history(1, 3)]
    assert text(data, whole, instruction) == {"text": "\n".join([instruction, *titles])}
    parts = text(data, prompt, instruction)
    assert parts == {"prompt": "\n".join([instruction, *titles[:2]]), "completion": f"\n{titles[2]}"}
    before = tokenizer(parts["prompt"])["input_ids"]
    after = [*tokenizer(parts["completion"])["input_ids"], END]
    assert expected(data, prompt, builder, END) == ((*before, *after), (*[IGNORED] * len(before), *after))
    assert expected(data, whole, builder, END) == ((*before, *after), (*before, *after))


def test_packed_rows_are_compared_with_our_prompts(data: PreparedData, training: TeacherTraining) -> None:
    builder, documents = training.teacher.prompts, prompt_documents(data, HISTORY)[:3]
    tokens = [expected(data, one, builder, END) for one in documents]

    def rows(*given: list[Tokens]) -> list[list[tuple[int, int]]]:
        return targets_of_rows(data, documents, builder, END, packed(list(given)))

    assert rows([tokens[2], tokens[0]], [tokens[1]]) == [[(0, 3), (0, 1)], [(0, 2)]]
    with pytest.raises(SystemExit, match="left out 1 of 3"):
        rows([tokens[0], tokens[1]])
    ids, labels = tokens[2]
    for other in ((ids[:-1], labels[:-1]), (ids, (*labels[:-1], IGNORED)), (ids, ids), tokens[0]):
        with pytest.raises(SystemExit, match="other tokens than ours"):
            rows(tokens[:2], [other])


@pytest.mark.parametrize(("name", "message"), [("token_ids", "other tokens"), ("target_items", "other items")])
def test_our_prompts_are_compared_with_the_histories(
    name: str, message: str, training: TeacherTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    collate = training.collate

    def other(rows: NDArray[np.int64]) -> PromptBatch:
        batch = collate(rows)
        return replace(batch, **{name: getattr(batch, name) + 1})

    monkeypatch.setattr(training, "collate", other)
    with pytest.raises(SystemExit, match=f"{message} than the histories"):
        targets_of_ours(training)


def test_some_users_alone_are_trained_on(data: PreparedData) -> None:
    some = some_users(data, 5)
    assert (some.trained_ends > 0).sum() == 5
    assert set(some.targets("train").users.tolist()) == set(np.flatnonzero(some.trained_ends).tolist())
    assert (some_users(data, 100).trained_ends == data.trained_ends).all()


class InProcess(Trl):
    """A stand-in for TRL's process: two documents in a row, as transformers' tokenizer reads them; a step takes 2 s."""

    def __init__(self, python: Path, folder: Path, threads: int) -> None:
        from transformers import AutoModel, AutoTokenizer

        asked = json.loads((folder / "settings.json").read_text())
        tokenizer = AutoTokenizer.from_pretrained(asked["model"])
        documents = []
        for one in json.loads((folder / "documents.json").read_text()):
            before = tokenizer(one.get("prompt", ""))["input_ids"]
            after = [*tokenizer(one.get("completion", one.get("text")))["input_ids"], tokenizer.eos_token_id]
            documents.append(((*before, *after), (*[IGNORED] * len(before), *after)))
        self.packed = packed([documents[start : start + 2] for start in range(0, len(documents), 2)])
        model = AutoModel.from_pretrained(asked["model"], num_hidden_layers=asked["layers"])
        with torch.no_grad():
            self.hidden = model(torch.tensor([asked["probe"]])).last_hidden_state[0].numpy()
        shapes = [layer.weight.shape for name, layer in model.named_modules() if name.endswith(tuple(asked["modules"]))]
        own = sum(asked["rank"] * sum(shape) for shape in shapes)
        self.ready: dict[str, Any] = {"end": tokenizer.eos_token_id, "adapter_parameters": own, "packed_apart": 0.0}
        self.ready |= {"attention": "sdpa", "versions": {}}
        self.next_row = 0

    def answer(self) -> dict[str, Any]:
        raise NotImplementedError

    def turn(self, number: int, steps: int) -> tuple[int, float, float]:
        rows = [self.rows[(self.next_row + step) % len(self.rows)] for step in range(steps)]
        self.next_row += steps
        return sum(map(len, rows)), 4.0 * steps, 2.0 * steps

    def close(self) -> None:
        self.rows = []


def words(tiny_llm: Path, out: Path, trl: str) -> list[str]:
    return [
        "trl_packing.py",
        "--data=unused",
        f"--trl={trl}",
        f"--out={out}",
        f"--llm={tiny_llm}",
        "--layers=2",
        f"--history={HISTORY}",
        "--tokens=120",
        "--users=6",
        "--steps=2",
        "--rounds=2",
    ]


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture
def prepared(data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(PreparedData, "load", lambda folder: replace(data))


@pytest.mark.usefixtures("prepared")
def test_all_are_checked_and_take_turns(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl_packing, "Trl", InProcess)
    monkeypatch.setattr(sys, "argv", words(tiny_llm, tmp_path / "out", "none"))
    trl_packing.main()
    lines = lines_of(tmp_path / "out")
    settings, checked, variants, ratios = lines[0], lines[1:5], lines[5:10], lines[10]
    assert len({line["targets"] for line in checked}) == 1
    assert all(line["hidden_states_apart"] <= trl_packing.SAME for line in checked)
    by_name = {line["variant"]: line for line in variants}
    # Two documents in each of two rows, one target each, in two steps of 2 CPU seconds and 4 seconds.
    assert by_name["prompts, sft"]["targets_per_cpu_second"]["median"] == 1.0
    assert by_name["prompts, sft"]["targets_per_second"]["median"] == 0.5
    assert set(ratios["ours_against"]) == set(by_name) - {"ours"}
    assert settings["settings"]["users"] == 6


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("hidden", "hidden states by up to"),
        ("adapter_parameters", "the adapters differ"),
        ("labels", "reads or learns other tokens"),
    ],
)
def test_what_is_not_the_same_is_not_timed(
    what: str, message: str, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(InProcess):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            if what == "hidden":
                self.hidden = self.hidden + 1e-3
            elif what == "labels":
                self.packed["labels"] = self.packed["ids"] + 1
            else:
                self.ready[what] += 1

    monkeypatch.setattr(trl_packing, "Trl", Other)
    monkeypatch.setattr(sys, "argv", words(tiny_llm, tmp_path / "out", "none"))
    with pytest.raises(SystemExit, match=message):
        trl_packing.main()


def test_a_variant_tells_medians_over_its_rounds() -> None:
    variant = Variant("a")
    for targets, seconds in ((10, 4.0), (30, 4.0), (20, 4.0)):
        variant.add(targets, seconds, seconds / 2)
    assert variant.line()["targets_per_cpu_second"] == {"median": 10.0, "range": [5.0, 15.0]}
    assert variant.line()["targets_per_second"] == {"median": 5.0, "range": [2.5, 7.5]}


@pytest.mark.skipif(TRL_PYTHON is None, reason="RECDISTILL_TRL_PYTHON names no environment with TRL")
@pytest.mark.usefixtures("prepared")
def test_trl_itself(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", words(tiny_llm, tmp_path / "out", str(TRL_PYTHON)))
    trl_packing.main()
    lines = lines_of(tmp_path / "out")
    assert [line["packed_loss_apart"] < 1e-5 for line in lines[1:5]] == [True] * 4
    assert len(lines) == 11
