from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recdistill.config import (
    Attention,
    GateConfig,
    Padding,
    Precision,
    Quantization,
    RunConfig,
    StudentConfig,
    TeacherConfig,
)
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Windows, collate, history_windows, training_windows
from recdistill.errors import UserError
from recdistill.students.make import load_student
from recdistill.teacher.prompts import PromptBatch
from recdistill.teacher.teacher import Teacher
from there import there

KINDS = [
    {"prompt": "item"},
    {"prompt": "text"},
    {"prompt": "text", "targets": "last", "gate": GateConfig(kind="instance", router="mlp")},
    {"prompt": "text", "targets": "last", "candidates": 3},
    {"prompt": "item", "head": "plain"},
    {"prompt": "item", "gate": GateConfig(kind="none")},
    {"prompt": "item", "attention": "eager"},
    {"prompt": "text", "attention": "sdpa", "padding": "packed"},
    {"prompt": "item", "padding": "packed"},
    {"prompt": "text", "attention": "eager", "padding": "packed"},
    {"prompt": "text", "targets": "last", "candidates": 3, "padding": "packed"},
    {"prompt": "text", "padding": "fixed"},
]


def states_by_key(teacher: Teacher, batch: PromptBatch) -> Any:
    with torch.inference_mode():
        states = teacher.ranker(batch)
    keys = zip(batch.users.tolist(), batch.positions.tolist(), strict=True)
    return dict(zip(keys, states, strict=True))


def scores_by_key(teacher: Teacher, windows: Windows, rows: Any) -> dict[tuple[int, int], Tensor]:
    """Scores of all items for each target of some prompts, by user and position."""
    batch, _, scores = teacher.predict(windows, rows)
    places = zip(batch.users.tolist(), batch.positions.tolist(), strict=True)
    return {key: scores[row, 1:] for row, key in enumerate(places)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_does_not_depend_on_batch_padding_or_neighbours(
    make_teacher: Callable[..., Teacher], data: PreparedData, kind: dict[str, Any]
) -> None:
    teacher = make_teacher(data, **kind)
    windows = teacher.training_windows()
    raw = collate(data, windows, np.arange(len(windows)))
    together = states_by_key(teacher, teacher.prompts.build(raw))
    others = [states_by_key(teacher, teacher.batch(windows, np.arange(len(windows))[::-1].copy()))]
    others.append(states_by_key(teacher, teacher.prompts.build(raw, padding="packed")))
    if kind.get("padding") != "packed" or kind.get("attention", "auto") not in ("auto", "sdpa"):
        others.append(states_by_key(teacher, teacher.prompts.build(raw, padding="left")))
    assert len(together) == len(data.targets("train"))
    for row in range(len(windows)):
        for key, state in states_by_key(teacher, teacher.batch(windows, np.array([row]))).items():
            torch.testing.assert_close(together[key], state, rtol=1e-4, atol=1e-5)
            for other in others:
                torch.testing.assert_close(other[key], state, rtol=1e-4, atol=1e-5)
    assert torch.stack(list(together.values())).std(dim=0).min() > 1e-4


@pytest.fixture(scope="module")
def read_alone() -> dict[tuple[int, int], Tensor]:
    """Scores by user and position of every third prompt, each read alone; the first test that compares fills it."""
    return {}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-mixed"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padding", ["fixed", "longest", "bucketed", "packed"])
def test_scores_are_the_same_for_every_backend(
    make_teacher: Callable[..., Teacher],
    data: PreparedData,
    read_alone: dict[tuple[int, int], Tensor],
    precision: Precision,
    attention: Attention,
    padding: Padding,
) -> None:
    """Within what the type rounds, against fp32, eager attention and one prompt at a time."""
    teacher = make_teacher(data, prompt="text", precision=precision, attention=attention, padding=padding)
    windows = teacher.training_windows()
    if not read_alone:
        expected = make_teacher(data, prompt="text", attention="eager")
        for window in range(0, len(windows), 3):
            read_alone |= scores_by_key(expected, windows, np.array([window]))
    found = scores_by_key(teacher, windows, np.arange(len(windows)))
    assert len(read_alone) > len(found) / 5
    tolerance = 1e-3 if precision == "fp32" else 0.25
    for key, other in read_alone.items():
        assert float((found[key] - other).abs().max()) < tolerance * float(other.abs().max())


@pytest.mark.parametrize(
    "kind", [{"prompt": "item"}, {"prompt": "text"}, {"prompt": "item", "gate": GateConfig(kind="none")}]
)
def test_one_pass_equals_step_by_step(
    make_teacher: Callable[..., Teacher], data: PreparedData, kind: dict[str, Any]
) -> None:
    teacher = make_teacher(data, **kind)
    windows = training_windows(data, 10, "last")
    rows = np.flatnonzero(data.train_ends <= 11)
    every = states_by_key(teacher, teacher.batch(windows, rows))
    wanted = data.targets("train")
    keep = np.isin(wanted.users, rows)
    one_by_one = history_windows(data, Targets(wanted.users[keep], wanted.positions[keep]), 10)
    stepwise = states_by_key(teacher, teacher.batch(one_by_one, np.arange(len(one_by_one))))
    assert set(every) == set(stepwise)
    for key, state in stepwise.items():
        torch.testing.assert_close(every[key], state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_no_later_item_changes_an_earlier_prediction(
    make_teacher: Callable[..., Teacher], data: PreparedData, kind: dict[str, Any]
) -> None:
    teacher = make_teacher(data, **kind)
    user = int(np.argmax(data.train_ends))
    cut = int(data.train_ends[user]) // 2
    changed_items = data.items.copy()
    start = int(data.offsets[user])
    for position in range(cut + 1, int(data.offsets[user + 1]) - start):
        changed_items[start + position] = changed_items[start + position] % data.num_items + 1
    changed = replace(data, items=changed_items)
    before: dict[tuple[int, int], Tensor] = {}
    after: dict[tuple[int, int], Tensor] = {}
    for where, source in ((before, data), (after, changed)):
        teacher.data = source
        windows = teacher.training_windows()
        where.update(states_by_key(teacher, teacher.batch(windows, np.arange(len(windows)))))
    # With a candidate list the target itself decides what may be listed, so only targets before the change compare.
    limit = cut if kind.get("candidates") else cut + 1
    for position in range(1, limit + 1):
        torch.testing.assert_close(before[user, position], after[user, position], rtol=1e-5, atol=1e-6)
    assert (before[user, cut + 2] - after[user, cut + 2]).abs().max() > 1e-4


def test_an_untrained_residual_teacher_scores_as_its_student(
    make_teacher: Callable[..., Teacher], data: PreparedData, student_folder: Path, tiny_llm: Path
) -> None:
    settings = TeacherConfig(llm=str(tiny_llm), title_encoder="llm", layers=2, history_length=10)
    config = RunConfig(student=StudentConfig(max_length=10), teacher=settings)
    make_teacher(data)  # sets the cache folder
    teacher = Teacher(config, data, student_folder, "cpu")
    windows = teacher.export_windows()
    batch, _, scores = teacher.predict(windows, np.arange(len(windows)))
    student = load_student(student_folder)
    for row in range(0, len(batch.users), 7):
        history = torch.tensor(data.history(int(batch.users[row]), int(batch.positions[row]))[None].astype(np.int64))
        torch.testing.assert_close(scores[row], student.last_scores(history)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_saved_and_loaded_teachers_score_alike(
    make_teacher: Callable[..., Teacher], data: PreparedData, tmp_path: Path, quantization: Quantization
) -> None:
    teacher = make_teacher(data, quantization=quantization)
    folder = tmp_path / "saved"
    folder.mkdir()
    teacher.ranker.save(folder)
    names = sorted(path.name for path in folder.rglob("*.safetensors"))
    assert names == ["adapter_model.safetensors", "ranker.safetensors"]
    trained = sum(p.numel() for p in teacher.ranker.parameters() if p.requires_grad)
    assert sum(path.stat().st_size for path in folder.rglob("*.safetensors")) < 4 * trained + 16384
    windows = teacher.export_windows()
    rows = np.arange(len(windows))
    expected = teacher.predict(windows, rows)[2]
    fresh = make_teacher(data, quantization=quantization)
    with torch.no_grad():
        for parameter in fresh.ranker.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    fresh.ranker.load(folder)
    torch.testing.assert_close(fresh.predict(windows, rows)[2], expected, rtol=0, atol=0)
    with pytest.raises(UserError, match="does not fit this teacher"):
        make_teacher(data, head_dim=9).ranker.load(folder)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_everything_that_should_learn_gets_a_gradient(
    make_teacher: Callable[..., Teacher], data: PreparedData, checkpointing: bool
) -> None:
    teacher = make_teacher(data, gradient_checkpointing=checkpointing)
    teacher.ranker.train()
    windows = teacher.training_windows()
    teacher.ranker(teacher.batch(windows, np.arange(4))).square().sum().backward()
    # The head's item vectors are reached by the scores, not by the states that are summed here; the weight of the
    # correction is chosen on validation.
    reached = [(name, p) for name, p in teacher.ranker.named_parameters() if p.requires_grad]
    reached = [(name, p) for name, p in reached if not name.startswith(("head.learned", "head.title", "head.corr"))]
    silent = [name for name, p in reached if p.grad is None or p.grad.abs().max() == 0]
    assert silent == []
    assert not teacher.ranker.student.training
    assert all(p.grad is None for p in teacher.ranker.student.parameters())


def test_instance_gate_with_every_target_is_refused() -> None:
    with pytest.raises(UserError, match=r"teacher\.gate\.kind: instance .* leak the future"):
        TeacherConfig(gate=GateConfig(kind="instance"), targets="every")


def test_prompts_longer_than_the_language_model_are_refused(
    make_teacher: Callable[..., Teacher], data: PreparedData
) -> None:
    long = replace(data, titles=["", *("x" * 60 for _ in data.titles[1:])])  # about 10 x 62 tokens; the model has 512
    with pytest.raises(UserError, match=r"teacher\.history_length: prompts of up to \d{3} tokens do not fit .* 512"):
        make_teacher(long, prompt="text")


def test_a_broken_weight_file_is_told_in_one_line(
    make_teacher: Callable[..., Teacher], data: PreparedData, tmp_path: Path
) -> None:
    teacher = make_teacher(data)
    teacher.ranker.save(tmp_path)
    (tmp_path / "ranker.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        teacher.ranker.load(tmp_path)


def test_gradients_pass_four_bit_layers_that_were_read_before(
    make_teacher: Callable[..., Teacher], data: PreparedData
) -> None:
    teacher = make_teacher(data, quantization="nf4")
    windows = teacher.training_windows()
    teacher.predict(windows, np.arange(4))  # Here bitsandbytes lays weights out anew on some CPUs.
    teacher.ranker.train()

    def loss() -> Tensor:
        squares: Tensor = teacher.ranker(teacher.batch(windows, np.arange(4))).double().square()
        return squares.sum()

    loss().backward()
    weight = next(p for name, p in teacher.ranker.named_parameters() if name.startswith("soft_tokens") and p.dim() == 2)
    gradient = there(weight.grad)
    way = gradient / gradient.norm()
    expected = float(gradient.norm())
    ends = []
    with torch.no_grad():
        for step in (1e-3, -2e-3):
            weight.add_(step * way)
            ends.append(float(loss()))
    assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(expected, rel=0.02)
