"""Profiles of users as a second target: what they are made of, their loss, and the variants trained once each."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import profiles
from chain import options, write_interactions
from profile_training import ProfileTraining
from profiles import Arm
from recdistill.cli import main
from recdistill.config import EvaluateConfig, LossConfig, StudentConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import training_windows
from recdistill.students.make import make_student
from recdistill.teacher.whitening import whiten
from recdistill.training.student import StudentTraining

STUDENT = StudentConfig(embedding_dim=8, num_layers=1, num_heads=2, max_length=4, dropout=0.0)
Make = Callable[..., ProfileTraining]


@pytest.fixture
def make(data: PreparedData) -> Make:
    """A student's training with these profiles, always with the same first weights."""

    def training(wanted: torch.Tensor, weight: float = 1.0, last: bool = False) -> ProfileTraining:
        torch.manual_seed(1)
        student = make_student(STUDENT, data.num_items)
        windows = training_windows(data, STUDENT.max_length, "all")
        rest = (student, data, windows, LossConfig(), TrainConfig(), 1, "cpu", EvaluateConfig())
        return ProfileTraining(wanted, weight, last, *rest)

    return training


def test_a_text_holds_the_latest_training_titles_and_nothing_later(data: PreparedData) -> None:
    titles = ["", *(f"<{item}>" for item in range(1, data.num_items + 1))]
    titles[int(data.items[0])] = ""
    data = replace(data, titles=titles, trained_users=np.arange(data.num_users) != 1)
    texts = profiles.profile_texts(data, 3)
    assert len(texts) == data.num_users
    for user, text in enumerate(texts):
        end = int(data.train_ends[user])
        latest = [titles[item] for item in data.history(user, end)[-3:]]
        expected = "; ".join(title for title in latest if title)
        assert text == (profiles.INSTRUCTION + expected if expected and user != 1 else ""), "user 1 is not trained on"
    assert profiles.latest_trained(data, 3)[1] == []


def test_profiles_are_dealt_to_others_and_only_among_those_who_have_one() -> None:
    found = torch.arange(1.0, 9.0).reshape(8, 1)
    found[3] = 0
    others = profiles.dealt(found)
    assert others[3] == 0
    assert not (others == found)[[0, 1, 2, 4, 5, 6, 7]].any()
    assert sorted(others.flatten().tolist()) == sorted(found.flatten().tolist())


def test_the_mean_is_of_the_latest_training_titles(data: PreparedData) -> None:
    titles = torch.randn(data.num_items + 1, 5, generator=torch.Generator().manual_seed(0))
    titles[0] = 0
    arguments = argparse.Namespace(titles=3, dims=2)
    found = profiles.profiles(Arm.of("mean@1"), data, titles, arguments)
    white = whiten(titles, 2)
    means = torch.stack([white[items].mean(dim=0) for items in profiles.latest_trained(data, 3)])
    assert found is not None
    # Whitened once more: the same but for a turn, so inner products about the mean are those of the whitened means.
    centred = (means - means.mean(dim=0)).double()
    inverse = torch.linalg.inv(centred.T @ centred / len(centred))
    torch.testing.assert_close((found @ found.T).double(), centred @ inverse @ centred.T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("last", [False, True])
def test_a_perfect_map_has_no_loss_and_a_reversed_one_two_for_each_target(
    make: Make, data: PreparedData, last: bool
) -> None:
    training = make(torch.ones(data.num_users, 8), last=last)
    batch = training.collate(np.arange(4))
    count = training.num_targets(batch)
    with torch.no_grad():
        training.map.weight.copy_(torch.eye(8))
    # A state that is its user's profile, of whatever length; padding is never asked.
    states = torch.where((batch.items > 0).unsqueeze(-1), 3.0, torch.nan).expand(-1, -1, 8)
    assert training.profile_loss(states, batch).item() == pytest.approx(0, abs=1e-5)
    assert training.profile_loss(-states, batch).item() == pytest.approx(2 * count, rel=1e-5)


def test_last_asks_the_state_behind_the_window_alone(make: Make, data: PreparedData) -> None:
    wanted = torch.eye(8)[torch.arange(data.num_users) % 8]
    training = make(wanted, last=True)
    batch = training.collate(np.arange(3))
    with torch.no_grad():
        training.map.weight.copy_(torch.eye(8))
    states = torch.ones(*batch.items.shape, 8, requires_grad=True)
    training.profile_loss(states, batch).backward()
    assert states.grad is not None
    asked = states.grad.abs().sum(dim=-1) > 0
    ends = (batch.items > 0).sum(dim=1) - 1
    assert torch.equal(asked, torch.arange(asked.shape[1]) == ends.unsqueeze(1))


def test_the_loss_is_the_students_and_the_weighted_part(make: Make, data: PreparedData) -> None:
    wanted = torch.randn(data.num_users, 6, generator=torch.Generator().manual_seed(2))
    training, batch = make(wanted, weight=0.5), make(wanted).collate(np.arange(5))
    states = training.module.states(batch.items)
    own = StudentTraining.loss(training, batch)
    torch.testing.assert_close(training.loss(batch), own + 0.5 * training.profile_loss(states, batch))
    torch.testing.assert_close(make(wanted, weight=0.0).loss(batch), own)
    real = batch.targets > 0
    by_hand = sum(
        1 - torch.nn.functional.cosine_similarity(training.map(states[row, place]), wanted[batch.users[row]], dim=0)
        for row, place in torch.nonzero(real).tolist()
    )
    torch.testing.assert_close(training.profile_loss(states, batch), by_hand)


def test_the_gradient_reaches_student_and_map_but_not_of_users_without_a_profile(
    make: Make, data: PreparedData
) -> None:
    wanted = torch.randn(data.num_users, 6, generator=torch.Generator().manual_seed(2))
    training = make(wanted)
    batch = training.collate(np.arange(5))
    training.profile_loss(training.module.states(batch.items), batch).backward()
    assert {id(training.map.weight)} < {id(one) for group in training.parameter_groups() for one in group["params"]}
    for parameter in (training.map.weight, training.module.items.ids):
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0
    nobody = make(torch.zeros(data.num_users, 6))
    loss = nobody.profile_loss(nobody.module.states(batch.items), batch)
    loss.backward()
    assert float(loss) == 0
    assert nobody.module.items.ids.grad is not None
    assert not nobody.module.items.ids.grad.any()


def test_the_cosine_is_that_of_each_users_last_window(make: Make, data: PreparedData) -> None:
    wanted = torch.randn(data.num_users, 6, generator=torch.Generator().manual_seed(2))
    wanted[2] = 0
    training = make(wanted)
    windows = training.windows
    last = {
        int(user): (int(start), int(end))
        for user, start, end in zip(windows.users, windows.starts, windows.ends, strict=True)
    }
    found = []
    for user, (start, end) in last.items():
        state = training.module.last_states(torch.from_numpy(data.history(user, end)[start:].astype(np.int64))[None])
        found += [torch.nn.functional.cosine_similarity(training.map(state), wanted[[user]]).item()] * (user != 2)
    assert len(last) - 1 == len(found) < len(windows)
    assert training.cosine() == pytest.approx(np.mean(found), abs=1e-5)


def test_a_variants_name_says_kind_and_weight() -> None:
    assert Arm.of("titles") == Arm("titles")
    assert Arm.of("profile@0.3") == Arm("profile", 0.3)
    for unknown in ("titles@1", "profile", "portrait@1"):
        with pytest.raises(SystemExit, match="no such variant"):
            Arm.of(unknown)
    names = ["titles", "profile@1", "profile@3", "shuffled@1", "mean@3", "permuted@3"]
    beside = {name: {other for other in names if Arm.of(name).beside(Arm.of(other))} for name in names}
    assert beside == {
        "titles": set(),
        "profile@1": {"titles", "shuffled@1"},
        "profile@3": {"titles", "mean@3", "permuted@3"},
        "shuffled@1": {"titles"},
        "mean@3": {"titles"},
        "permuted@3": {"titles"},
    }


def test_variants_are_trained_once_and_compared(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    events = write_interactions(tmp_path / "data")
    assert main(["prepare", *options(tmp_path / "run", tiny_llm, events)]) == 0
    encoder = tmp_path / "encoder"
    encoder.symlink_to(tiny_llm)
    variants = ["titles", "profile@0", "profile@1", "shuffled@1", "mean@1", "permuted@1"]
    call = [str(tmp_path / "run"), f"--out={tmp_path / 'out'}", "--epochs=6", "--variants", *variants]
    call += [f"--encoder={encoder}", f"--reader={encoder}"]
    capsys.readouterr()
    profiles.main(call)
    table = capsys.readouterr().out
    lines = {line["variant"]: line for line in map(json.loads, (tmp_path / "out/profiles.jsonl").open())}
    assert list(lines) == variants
    ranks = {name: np.load(tmp_path / f"out/{name}-1/ranks.npy").tolist() for name in variants}
    assert ranks["profile@0"] == ranks["titles"], "the map alone changes nothing"
    assert len({tuple(found) for found in ranks.values()}) == len(variants) - 1
    assert lines["titles"]["profile_cosine"] is None
    assert lines["profile@1"]["profile_cosine"] > lines["profile@0"]["profile_cosine"]
    assert {name: line["profiles"] for name, line in lines.items()} == dict.fromkeys(variants, 40) | {"titles": 0}
    for told in ("profile@1 - titles: ", "profile@1 - permuted@1: ", "permuted@1 - titles: "):
        assert told in table
    monkeypatch.setattr(profiles, "train_arm", lambda *_: pytest.fail("trained again"))
    profiles.main(call)
    assert capsys.readouterr().out == table
