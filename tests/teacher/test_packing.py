"""Packed prompts: the same states and the same gradients as side by side."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.modeling_utils import AttentionInterface

from recdistill.config import Attention
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import collate
from recdistill.errors import UserError
from recdistill.language_models.packing import PACKED_SDPA, Packing, packed_sdpa, register_packed_sdpa
from recdistill.teacher.compiling import compiled, graphs_made
from recdistill.teacher.padding import Shape
from recdistill.teacher.prompts import PromptBatch
from recdistill.teacher.teacher import Teacher


def gradients(teacher: Teacher, batch: PromptBatch) -> dict[str, Tensor]:
    teacher.ranker.train()
    teacher.ranker.zero_grad()
    states = teacher.ranker(batch)
    # By key, so that the order of predictions does not matter.
    order = np.lexsort((batch.positions.numpy(), batch.users.numpy()))
    weights = torch.randn(len(states), states.shape[1], generator=torch.Generator().manual_seed(0))
    (states[order] * weights).sum().backward()
    named = teacher.ranker.named_parameters()
    return {name: one.grad.clone() for name, one in named if one.requires_grad and one.grad is not None}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("spare", [0, 9])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_padded_prompts(
    make_teacher: Callable[..., Teacher], data: PreparedData, attention: Attention, spare: int, checkpointing: bool
) -> None:
    if spare and attention == "eager":
        pytest.skip("only compiled rows are filled up, and those run sdpa here")
    settings = {
        "prompt": "text",
        "attention": attention,
        "student_dropout": 0.0,
        "gradient_checkpointing": checkpointing,
    }
    packed = make_teacher(data, padding="packed", **settings)
    padded = make_teacher(data, padding="bucketed", **settings)
    windows = packed.training_windows()
    raw = collate(data, windows, np.array([3, 0, 7, 5]))
    tokens = int(packed.prompts.build(raw).prompt_tokens.sum())
    ours = gradients(packed, packed.prompts.build(raw, "packed", Shape(width=tokens + spare)))
    theirs = gradients(padded, padded.prompts.build(raw))
    assert set(ours) == set(theirs)
    assert len(ours) > 12
    for name, gradient in theirs.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-6, msg=name)


def test_packing_by_hand() -> None:
    packing = Packing.of(torch.tensor([2, 3]), 6, torch.float32)
    assert packing.sources.tolist() == [0, 1, 0, 2, 3, 4]
    assert packing.real.flatten().tolist() == [1, 1, 0, 1, 1, 1]
    assert packing.places.tolist() == [0, 1, 3, 4, 5, 0]
    assert (packing.prompts, packing.spare) == (2, 1)


class Block(torch.nn.Module):
    """As much of a decoder block as packing passes through."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)
        register_packed_sdpa()
        self.attention = AttentionInterface()[PACKED_SDPA]

    def forward(self, row: Any, **options: Any) -> Tensor:
        side = self.layer(row).view(1, row.shape[1], 2, 4).transpose(1, 2)
        out: Tensor = row + self.attention(self, side, side, side, None, 0.5, **options)[0].reshape(row.shape)
        return out


@pytest.mark.usefixtures("graphs_alone")
def test_one_compiled_form_serves_all_prompts_that_fill_a_row() -> None:
    torch.manual_seed(0)
    block, made = Block(), []
    run = compiled(block.forward, cuda_graphs=False)
    for lengths in ([5, 6, 7], [9, 9], [3, 3, 3, 3], [18]):
        packing = Packing.of(torch.tensor(lengths), 20, torch.float32)
        row = torch.randn(1, 20, 8, requires_grad=True)
        torch.testing.assert_close(run(row, packing=packing), block(row, packing=packing))
        made.append(graphs_made())
    assert made[0] > 0
    assert made[-1] == made[0]


def test_a_model_with_sliding_windows_is_refused() -> None:
    packing = Packing.of(torch.tensor([2]), 2, torch.float32)
    one = torch.zeros(1, 1, 2, 4)
    with pytest.raises(UserError, match=r"teacher\.padding: packed with attention sdpa cannot do .* sliding_window"):
        packed_sdpa(torch.nn.Module(), one, one, one, None, 1.0, packing=packing, sliding_window=1)
    # A window that no prompt fills is no window.
    packed_sdpa(torch.nn.Module(), one, one, one, None, 1.0, packing=packing, sliding_window=2)


def test_a_packed_teacher_has_no_mask_for_the_left(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    teacher = make_teacher(data, padding="packed")
    raw = collate(data, teacher.training_windows(), np.array([0, 1]))
    with pytest.raises(ValueError, match="no mask for padding to the left"):
        teacher.ranker(teacher.prompts.build(raw, "left"))


def test_a_packed_row_has_no_padding(make_teacher: Callable[..., Teacher], data: PreparedData) -> None:
    teacher = make_teacher(data, padding="packed", prompt="text")
    windows = teacher.training_windows()
    batch = teacher.batch(windows, np.arange(len(windows)))
    assert batch.token_ids.shape == (1, int(batch.prompt_tokens.sum()))
    assert batch.mask.all()
