"""Training of the title encoder: which pairs there are, the loss by hand, exact gradients, and what is kept."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recdistill.config import TeacherConfig
from recdistill.config.title_tuning import TitleTuningConfig
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.language_models import title_tuning
from recdistill.language_models.title_lora import TitleTuning, linear_layers, load_tuning, new_lora
from recdistill.language_models.title_tuning import Follows, following_loss, schedule, train, tune_titles
from recdistill.language_models.titles import title_embeddings, title_facts, title_reader

FEW = TitleTuningConfig(steps=4, pairs=6, rank=2, learning_rate=0.01)


def data_of(*histories: list[int], texts: list[str], train_ends: list[int] | None = None) -> PreparedData:
    lengths = np.array([len(history) for history in histories])
    ends = np.array(train_ends or lengths, dtype=np.int32)
    return PreparedData(
        items=np.concatenate(histories).astype(np.int32),
        timestamps=np.zeros(lengths.sum(), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=ends,
        validation_ends=np.minimum(ends + 1, lengths).astype(np.int32),
        titles=texts,
        item_ids=["", *map(str, range(1, len(texts)))],
        fingerprint="data",
        split_fingerprint="split",
    )


TEXTS = ["", "heat", "big", "ran", "alien", "jaws", "up"]


@pytest.fixture
def data() -> PreparedData:
    return data_of([1, 2, 3, 4], [5, 6, 1], [2, 5, 6, 3], texts=TEXTS)


@pytest.fixture
def config(tiny_llm: Path) -> TeacherConfig:
    return TeacherConfig(llm=str(tiny_llm), title_encoder="llm", title_tuning=FEW)


def pairs_of(follows: Follows) -> set[tuple[int, int]]:
    return set(zip(follows.first.tolist(), follows.second.tolist(), strict=True))


def test_pairs_are_of_one_users_training_interactions_near_one_another() -> None:
    data = data_of([1, 2, 3, 4], [5, 6, 1], texts=TEXTS, train_ends=[3, 2])
    near = {(1, 2), (2, 3), (5, 6)}
    assert pairs_of(Follows.of(data, 1)) == near | {(b, a) for a, b in near}
    wider = near | {(1, 3)}
    assert pairs_of(Follows.of(data, 2)) == wider | {(b, a) for a, b in wider} == pairs_of(Follows.of(data, 50))


def test_users_who_are_not_trained_on_and_items_without_text_make_no_pairs() -> None:
    data = data_of([1, 2, 3], [4, 5, 5, 6], texts=["", "heat", "", "ran", "alien", "jaws", "up"])
    assert pairs_of(Follows.of(data, 1)) == {(4, 5), (5, 4), (5, 6), (6, 5)}
    some = replace(data, trained_users=np.array([True, False]))
    assert pairs_of(Follows.of(some, 2)) == {(1, 3), (3, 1)}


def test_the_loss_is_what_a_loop_says() -> None:
    torch.manual_seed(0)
    embeddings, log_popularity = torch.randn(5, 3), torch.log(torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15]))
    pairs = torch.tensor([[0, 1, 2, 0], [1, 3, 3, 4]])
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    total = 0.0
    for own, (one, other) in enumerate(pairs.T.tolist()):
        scores = []
        for place, second in enumerate(pairs[1].tolist()):
            if place != own and second in (other, one):
                continue
            scores.append(float(unit[one] @ unit[second]) / 0.1 - float(log_popularity[second]))
        mine = float(unit[one] @ unit[other]) / 0.1 - float(log_popularity[other])
        total += math.log(sum(map(math.exp, scores))) - mine
    assert float(following_loss(embeddings, pairs, log_popularity, 0.1)) == pytest.approx(total / 4, rel=1e-5)


def test_gradients_in_parts_are_those_of_all_titles_at_once(config: TeacherConfig, tmp_path: Path) -> None:
    def gradients(pass_tokens: int) -> dict[str, torch.Tensor]:
        reader = title_reader(config, tmp_path, "cpu")
        parameters = new_lora(reader.model, 2, torch.Generator().manual_seed(0))
        for name, value in parameters.items():
            if name.endswith("up"):
                nn.init.normal_(value, std=0.1, generator=torch.Generator().manual_seed(1))
        first, second = np.array([1, 2, 5], dtype=np.int32), np.array([2, 3, 6], dtype=np.int32)
        popularity = torch.zeros(len(TEXTS))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(title_tuning, "PASS_TOKENS", pass_tokens)
            title_tuning._step(reader, TEXTS, first, second, popularity, 0.5)
        return {name: value.grad for name, value in parameters.items() if value.grad is not None}

    whole, parts = gradients(10_000), gradients(12)
    assert len(whole) == 2 * 7 * 3  # two matrices around each of seven layers of three blocks
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-4)
        assert value.abs().max() > 0, name


def test_training_brings_together_what_follows_one_another(config: TeacherConfig, tmp_path: Path) -> None:
    data = data_of(*[[1, 2], [3, 4], [5, 6]] * 3, texts=TEXTS)
    plain = title_embeddings(config, TEXTS, tmp_path, "cpu")
    tuned = replace(config, title_tuning=replace(FEW, steps=40, temperature=0.2))
    tuning = tune_titles(tuned, data, 0, tmp_path, "cpu")
    assert tuning is not None
    found = title_embeddings(tuned, TEXTS, tmp_path, "cpu", tuning)

    def lead(embeddings: torch.Tensor) -> float:
        unit = nn.functional.normalize(embeddings[1:], dim=1)
        like = unit @ unit.T
        return float(like[[0, 2, 4], [1, 3, 5]].mean() - like[[0, 0, 2], [2, 4, 5]].mean())

    assert lead(found) > lead(plain) + 0.1
    assert tuning.facts["last_loss"] < tuning.facts["first_loss"]
    assert tuning.facts["distinct"] == 6
    assert title_facts(tuned, TEXTS, tmp_path, "cpu", tuning)["tuning"] == tuning.facts


def test_untrained_lora_changes_nothing(config: TeacherConfig, tmp_path: Path) -> None:
    reader = title_reader(config, tmp_path, "cpu")
    parameters = new_lora(reader.model, 2, torch.Generator().manual_seed(0))
    start = TitleTuning({name: value.detach() for name, value in parameters.items()}, {})  # type: ignore[typeddict-item]
    found = title_embeddings(config, TEXTS, tmp_path, "cpu", start)
    assert torch.equal(found, title_embeddings(config, TEXTS, tmp_path, "cpu"))


def test_it_is_trained_once_and_the_same_in_every_run(
    config: TeacherConfig, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tune_titles(config, data, 1, tmp_path / "a", "cpu")
    torch.manual_seed(99)
    again = tune_titles(config, data, 1, tmp_path / "b", "cpu")
    assert first is not None
    assert again is not None
    assert first.digest == again.digest
    other = tune_titles(config, data, 2, tmp_path / "a", "cpu")
    assert other is not None
    assert other.digest != first.digest
    monkeypatch.setattr(title_tuning, "train", lambda *_: pytest.fail("trained again"))
    kept = tune_titles(config, data, 1, tmp_path / "a", "cpu")
    assert kept is not None
    assert kept.digest == first.digest
    assert kept.facts == first.facts


def test_nothing_is_trained_unless_asked(data: PreparedData, config: TeacherConfig, tmp_path: Path) -> None:
    assert tune_titles(TeacherConfig(), data, 1, tmp_path, "cpu") is None
    assert tune_titles(config, replace(data, titles=[""] * len(TEXTS)), 1, tmp_path, "cpu") is None
    assert not list(tmp_path.iterdir())


def test_what_was_learned_is_saved_and_read_back(config: TeacherConfig, data: PreparedData, tmp_path: Path) -> None:
    assert load_tuning(tmp_path) is None
    tuning = tune_titles(config, data, 1, tmp_path / "cache", "cpu")
    assert tuning is not None
    tuning.save(tmp_path / "title_tuning.safetensors")
    again = load_tuning(tmp_path)
    assert again is not None
    assert (again.digest, again.facts) == (tuning.digest, tuning.facts)


def test_a_damaged_training_in_the_cache_is_told_and_done_again(
    config: TeacherConfig, data: PreparedData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = tune_titles(config, data, 1, tmp_path, "cpu")
    assert first is not None
    (path,) = (tmp_path / title_tuning.FOLDER).glob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = tune_titles(config, data, 1, tmp_path, "cpu")
    assert again is not None
    assert again.digest == first.digest
    assert f"made again, since {path}: damaged (its checksum is another)" in caplog.text


@pytest.mark.parametrize("spoil", ["missing", "narrow"])
def test_it_does_not_fit_another_encoder(config: TeacherConfig, tmp_path: Path, spoil: str) -> None:
    reader = title_reader(config, tmp_path, "cpu")
    tensors = {
        name: value.detach() for name, value in new_lora(reader.model, 2, torch.Generator().manual_seed(0)).items()
    }
    name = next(iter(tensors))
    if spoil == "missing":
        tensors = {key: value for key, value in tensors.items() if not key.startswith(name.rpartition(".")[0])}
    else:
        tensors[name] = tensors[name][:, :-1]
    with pytest.raises(UserError, match="made for another title encoder"):
        TitleTuning(tensors, {}).attach(title_reader(config, tmp_path, "cpu").model)  # type: ignore[typeddict-item]


def test_what_cannot_be_trained_is_refused_in_one_line(
    config: TeacherConfig, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = data_of([1], [2], texts=TEXTS)
    with pytest.raises(UserError, match=r"teacher\.title_tuning: no two items with titles follow one another"):
        tune_titles(config, alone, 1, tmp_path, "cpu")
    with pytest.raises(UserError, match=r"teacher\.title_tuning: the title encoder has no linear layers"):
        new_lora(nn.Sequential(nn.Embedding(3, 3)), 2, torch.Generator())
    monkeypatch.setattr(title_tuning, "_step", lambda *_: math.nan)
    with pytest.raises(UserError, match=r"the loss is nan at step 1; lower teacher\.title_tuning\.learning_rate"):
        train(title_reader(config, tmp_path, "cpu"), data.texts, Follows.of(data, 2), FEW, 0)


def test_the_learning_rate_climbs_and_falls() -> None:
    rates = [schedule(step, 20) for step in range(20)]
    assert rates[:2] == [0.5, 1.0]
    assert sorted(rates[1:], reverse=True) == rates[1:]
    assert 0 < rates[-1] < 0.1
    assert schedule(0, 1) == 1.0


def test_poolers_are_left_alone() -> None:
    model = nn.ModuleDict({"pooler": nn.ModuleDict({"dense": nn.Linear(2, 2)}), "dense": nn.Linear(2, 2)})
    assert list(linear_layers(model)) == ["dense"]
