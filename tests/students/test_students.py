"""What holds for every student."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recdistill.config import StudentConfig
from recdistill.errors import UserError
from recdistill.students.base import Student
from recdistill.students.hstu import HSTUBlock
from recdistill.students.ligr import LiGRBlock
from recdistill.students.make import load_student, make_student, save_student

ITEMS, LENGTH = 20, 8
MODELS = ["sasrec", "ligr", "hstu", "gru4rec"]
"""Kinds of students: a model, or a block of SASRec."""


def student_of(model: str, seed: int = 0, titles: Tensor | None = None, weight: float = 0.0) -> Student:
    torch.manual_seed(seed)
    kind = {"model": "gru4rec"} if model == "gru4rec" else {"block": model}
    config = StudentConfig(embedding_dim=16, max_length=LENGTH, dropout=0.5, **kind)  # type: ignore[arg-type]
    student = make_student(config, ITEMS, titles, weight)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(3)  # far from the small start, where everything is nearly linear
    return student.eval()


def histories(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(1, ITEMS + 1, (length,), generator=generator) for length in (1, 3, LENGTH, 5)]


def padded(rows: list[Tensor], side: str, length: int = LENGTH) -> Tensor:
    fills = [torch.zeros(length - len(row), dtype=torch.int64) for row in rows]
    return torch.stack([torch.cat([r, f] if side == "right" else [f, r]) for r, f in zip(rows, fills, strict=True)])


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_no_future_item_changes_a_past_state(model: str) -> None:
    student = student_of(model)
    items = histories()[2].unsqueeze(0)
    before = student.states(items)
    for position in range(LENGTH):
        changed = items.clone()
        changed[0, position] = changed[0, position] % ITEMS + 1
        after = student.states(changed)
        torch.testing.assert_close(after[0, :position], before[0, :position], rtol=0, atol=0)
        assert (after[0, position] != before[0, position]).any(), "a state sees its own item"
        assert position == LENGTH - 1 or (after[0, -1] != before[0, -1]).any(), "and those before it"


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_states_do_not_depend_on_padding_side_or_neighbours(model: str) -> None:
    student, rows = student_of(model), histories()
    right, left = student.states(padded(rows, "right")), student.states(padded(rows, "left"))
    mixed = student.states(torch.cat([padded(rows[:2], "right"), padded(rows[2:], "left")]))
    for number, row in enumerate(rows):
        alone = student.states(row.unsqueeze(0))[0]
        length = len(row)
        torch.testing.assert_close(right[number, :length], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(left[number, LENGTH - length :], alone, rtol=1e-4, atol=1e-5)
        start = 0 if number < 2 else LENGTH - length
        torch.testing.assert_close(mixed[number, start : start + length], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("side", ["right", "left"])
@torch.no_grad()
def test_last_state_is_that_of_the_last_real_item(model: str, side: str) -> None:
    student, rows = student_of(model), histories()
    expected = torch.stack([student.states(row.unsqueeze(0))[0, -1] for row in rows])
    torch.testing.assert_close(student.last_states(padded(rows, side)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("similar", [False, True])
@torch.no_grad()
def test_a_state_at_one_position_is_that_of_all_positions(model: str, similar: bool) -> None:
    student, rows = student_of(model), histories()
    if similar:
        student.see_similarity(torch.randn(ITEMS + 1, 4), decay=0.8, weight=0.5)
    items = torch.stack([row.repeat(LENGTH)[:LENGTH] for row in rows])
    whole = student.states(items)
    for length in range(1, LENGTH + 1):
        cut = items.masked_fill(torch.arange(LENGTH) >= length, 0)
        torch.testing.assert_close(student.last_states(cut), whole[:, length - 1], rtol=1e-4, atol=1e-5)
    if similar:
        return
    places = torch.tensor([0, 3, LENGTH - 1, 5])  # later items stand behind them
    at_places = student.encode_at(student.item_vectors()[items], places)
    torch.testing.assert_close(at_places, whole[torch.arange(4), places], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", ["sasrec", "ligr", "hstu"])
@torch.no_grad()
def test_sasrec_uses_positions(block: str) -> None:
    student = student_of(block)
    assert not torch.allclose(
        student.states(torch.tensor([[3, 3]]))[0, 0], student.states(torch.tensor([[3, 3]]))[0, 1]
    )


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_scores_are_products_with_item_vectors(model: str) -> None:
    student = student_of(model)
    items = padded(histories(), "right")
    scores = student.last_scores(items)
    assert scores.shape == (4, ITEMS + 1)
    assert (scores[:, 0] == -torch.inf).all()
    expected = student.last_states(items) @ student.item_vectors()[1:].T
    torch.testing.assert_close(scores[:, 1:], expected)


@pytest.mark.parametrize("model", MODELS)
def test_padding_row_stays_zero_in_training(model: str) -> None:
    student = student_of(model).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.1)
    items = padded(histories(), "right")
    for _ in range(3):
        loss = student.scores(student.states(items))[..., 1:].logsumexp(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (student.item_vectors()[0] == 0).all()
    assert (student.item_vectors()[1:] != 0).all()


def test_gradients_reach_every_parameter() -> None:
    titles = torch.randn(ITEMS + 1, 6)
    for model in MODELS:
        student = student_of(model, titles=titles, weight=0.3).train()
        student.last_scores(padded(histories(), "left"))[:, 1:].square().sum().backward()
        for name, parameter in student.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_title_embeddings_enter_the_item_vectors() -> None:
    titles = torch.randn(ITEMS + 1, 6)
    student = student_of("sasrec", titles=titles, weight=0.3)
    projection = student.items.projection
    assert projection is not None
    expected = student.items.ids[7] + 0.3 * (projection.weight @ titles[7])
    torch.testing.assert_close(student.item_vectors()[7], expected)
    assert (student.item_vectors()[0] == 0).all(), "whatever row 0 of the titles holds"
    with pytest.raises(ValueError, match="20 items"):
        make_student(StudentConfig(), ITEMS, titles[:-1], 0.3)


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_save_and_load_give_equal_scores(model: str, tmp_path: Path) -> None:
    student = student_of(model, titles=torch.randn(ITEMS + 1, 6), weight=0.3)
    items = padded(histories(), "right")
    save_student(student, tmp_path)
    loaded = load_student(tmp_path)
    assert not loaded.training
    assert loaded.items.projection is None
    torch.testing.assert_close(loaded.last_scores(items), student.last_scores(items), rtol=0, atol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student.json", "student.safetensors"]


def test_loading_is_strict(tmp_path: Path) -> None:
    save_student(student_of("sasrec"), tmp_path / "sasrec")
    save_student(student_of("gru4rec"), tmp_path / "gru4rec")
    (tmp_path / "sasrec/student.safetensors").rename(tmp_path / "gru4rec/student.safetensors")
    with pytest.raises(UserError, match="do not fit the shape"):
        load_student(tmp_path / "gru4rec")
    with pytest.raises(UserError, match="no such file"):
        load_student(tmp_path / "sasrec")
    (tmp_path / "gru4rec/student.safetensors").write_bytes(b"half a fi")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_student(tmp_path / "gru4rec")
    (tmp_path / "gru4rec/student.json").write_text("{}")
    with pytest.raises(UserError, match="num_items: missing"):
        load_student(tmp_path / "gru4rec")


def test_same_seed_same_weights() -> None:
    first, second, other = student_of("sasrec", 1), student_of("sasrec", 1), student_of("sasrec", 2)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
    assert not torch.equal(first.items.ids, other.items.ids)


def test_a_file_from_before_the_kinds_of_blocks_is_read_as_what_it_was(tmp_path: Path) -> None:
    student = student_of("sasrec")
    save_student(student, tmp_path)
    shape = json.loads((tmp_path / "student.json").read_text())
    for key in ("block", "ffn_multiplier", "attention_dropout"):
        del shape[key]
    (tmp_path / "student.json").write_text(json.dumps(shape))
    items = padded(histories(), "right")
    torch.testing.assert_close(load_student(tmp_path).last_scores(items), student.last_scores(items), rtol=0, atol=0)


@pytest.mark.parametrize("changed", [{"block": "ligr"}, {"block": "hstu"}, {"ffn_multiplier": 2}, {"embedding_dim": 8}])
def test_weights_of_another_shape_are_refused(changed: dict[str, object], tmp_path: Path) -> None:
    save_student(student_of("sasrec"), tmp_path)
    shape = json.loads((tmp_path / "student.json").read_text())
    (tmp_path / "student.json").write_text(json.dumps(shape | changed))
    with pytest.raises(UserError, match="do not fit the shape"):
        load_student(tmp_path)


@pytest.mark.parametrize("block", ["sasrec", "ligr"])
def test_the_perceptron_is_as_wide_as_said(block: str) -> None:
    def parameters(factor: int) -> int:
        config = StudentConfig(block=block, embedding_dim=8, num_layers=1, ffn_multiplier=factor)  # type: ignore[arg-type]
        return sum(parameter.numel() for parameter in make_student(config, ITEMS).parameters())

    # Two matrices and a bias for each hidden unit; three matrices and no bias in SwiGLU.
    assert parameters(3) - parameters(1) == (2 * 8 * 16 + 16 if block == "sasrec" else 3 * 8 * 16)


@pytest.mark.parametrize("block", ["sasrec", "ligr"])
def test_attention_dropout_acts_in_training_alone(block: str) -> None:
    torch.manual_seed(0)
    config = StudentConfig(block=block, embedding_dim=8, dropout=0.0, attention_dropout=0.5)  # type: ignore[arg-type]
    student = make_student(config, ITEMS)
    items = padded(histories(), "right")
    assert not torch.equal(student.states(items), student.states(items))
    student.eval()
    assert torch.equal(student.states(items), student.states(items))


@torch.no_grad()
def test_hstu_attention_is_that_of_the_paper_written_out() -> None:
    block = HSTUBlock(StudentConfig(block="hstu", embedding_dim=4, num_heads=2, max_length=5)).eval()
    torch.nn.init.normal_(block.distance_bias)
    x = torch.randn(1, 3, 4)
    silu = torch.nn.functional.silu
    u, v, q, k = silu(block.projection(block.norm(x)))[0].split(4, dim=-1)
    mixed = torch.zeros(3, 4)
    for i in range(3):
        for j in range(i + 1):
            for head in (slice(0, 2), slice(2, 4)):
                mixed[i, head] += silu(q[i, head] @ k[j, head] + block.distance_bias[i - j]) / 5 * v[j, head]
    expected = x[0] + block.output(u * block.mixed_norm(mixed))
    torch.testing.assert_close(block(x)[0], expected)


@torch.no_grad()
def test_a_closed_gate_lets_nothing_into_a_ligr_block() -> None:
    block = LiGRBlock(StudentConfig(block="ligr", embedding_dim=8)).eval()
    x = torch.randn(2, 5, 8)
    assert not torch.allclose(block(x), x)
    for gate in (block.attention_gate, block.mlp_gate):
        torch.nn.init.constant_(gate.bias, -1e9)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "gru4rec", "block": "hstu"}, "student.block: hstu is a block of student.model sasrec"),
        (
            {"model": "gru4rec", "ffn_multiplier": 4},
            "student.ffn_multiplier: 4 is out of range; it must be 1: gru4rec has no",
        ),
        (
            {"block": "hstu", "ffn_multiplier": 4},
            "student.ffn_multiplier: 4 is out of range; it must be 1: hstu has no",
        ),
        ({"block": "hstu", "attention_dropout": 0.1}, "student.attention_dropout: 0.1 is out of range; it must be 0"),
        ({"ffn_multiplier": 0}, "student.ffn_multiplier: 0 is out of range; it must be above 0"),
        (
            {"attention_dropout": 1.0},
            "student.attention_dropout: 1.0 is out of range; it must be at least 0 and below 1",
        ),
    ],
)
def test_shapes_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StudentConfig(**settings)


TITLES = torch.cat([torch.zeros(1, 3), torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(5))])
UNTITLED = 4


def dropping(share: float) -> Student:
    titles = TITLES.clone()
    titles[UNTITLED] = 0
    student = student_of("sasrec", titles=titles, weight=1.0)
    student.items.drop_ids(share)
    return student


def titles_alone(student: Student) -> Tensor:
    projection, titles = student.items.projection, student.items.titles
    assert projection is not None
    assert titles is not None
    return projection(titles)  # type: ignore[no-any-return]


def test_a_training_step_leaves_out_the_ids_of_a_share_of_the_titled_items() -> None:
    student = dropping(0.5).train()
    items, alone = student.items, titles_alone(student)
    torch.manual_seed(1)
    dropped = torch.stack([(items() == alone).all(dim=1) for _ in range(400)])[:, 1:]
    shares = dropped.float().mean(dim=0)
    assert not dropped[:, UNTITLED - 1].any()
    titled = torch.arange(1, ITEMS + 1) != UNTITLED
    assert (shares[titled] - 0.5).abs().max() < 4 * 0.5 / 400**0.5
    assert len({tuple(row.tolist()) for row in dropped}) > 300, "each step draws anew"
    kept = items()[1:][~(items() == alone).all(dim=1)[1:]]
    assert len(kept)


def test_chosen_rows_are_dropped_alike_and_in_use_nothing_is() -> None:
    student = dropping(0.5)
    whole, some = student.items(), torch.tensor([0, 2, UNTITLED, 9])
    assert torch.equal(student.items(), whole), "a trained student has all its ids"
    torch.testing.assert_close(student.items.rows(some), whole[some])
    student.train()
    alone = titles_alone(student)[some]
    torch.manual_seed(1)
    drawn = torch.stack([student.items.rows(some) for _ in range(50)])
    for place, item in enumerate(some.tolist()):
        with_id, without = (torch.isclose(drawn[:, place], one).all(dim=1) for one in (whole[item], alone[place]))
        assert (with_id | without).all()
        assert without.any() == (item != UNTITLED)


def test_tied_item_vectors_are_titles_alone_and_stay_so() -> None:
    student = dropping(1.0).train()
    ids = student.items.ids
    assert (ids != 0).any(dim=1).nonzero().flatten().tolist() == [UNTITLED]
    student.items().square().sum().backward()
    assert ids.grad is not None
    assert (ids.grad != 0).any(dim=1).nonzero().flatten().tolist() == [UNTITLED]


def test_ids_alone_cannot_be_dropped() -> None:
    with pytest.raises(ValueError, match="without titles"):
        student_of("sasrec").items.drop_ids(0.5)
