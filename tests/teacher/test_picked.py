"""The last block where something is predicted: the same states and gradients, by less work."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recdistill.config import AdapterConfig
from recdistill.data.prepared import PreparedData
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.sliding import PICKED_BLOCK, Sliding
from recdistill.teacher import ranker
from recdistill.teacher.experts import GatedForward
from recdistill.teacher.picked import pick_in
from recdistill.teacher.prompts import PromptBatch
from recdistill.teacher.teacher import Teacher
from user_histories import with_lengths

SLIDING: dict[str, Any] = {"windows": "sliding", "padding": "packed", "history_length": 4}
KINDS: dict[str, dict[str, Any]] = {
    "streams, dropout": SLIDING | {"adapter": AdapterConfig()},
    "streams, checkpointing": SLIDING | {"gradient_checkpointing": True},
    "streams, one block": SLIDING | {"layers": 1},
    "windows, dropout": {"adapter": AdapterConfig()},
    "windows end to end": {"padding": "packed"},
    "one target": {"targets": "last"},
    "all linear layers": SLIDING | {"adapter": AdapterConfig(dropout=0.0, layers=("q_proj", "o_proj", "down_proj"))},
}


@pytest.fixture
def histories(data: PreparedData) -> PreparedData:
    """Users with up to 30 interactions."""
    return with_lengths(data, [3, 30, 17, 5, 24])


def results(teacher: Teacher, batch: PromptBatch) -> dict[str, Tensor]:
    """States, their scores' gradients, and what the export would write."""
    teacher.ranker.eval()
    with torch.inference_mode():
        exported = teacher.ranker(batch)
    teacher.ranker.train()
    teacher.ranker.zero_grad()
    torch.manual_seed(3)  # of dropout
    states = teacher.ranker(batch)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    (states * weights).sum().backward()
    named = teacher.ranker.named_parameters()
    gradients = {name: one.grad.clone() for name, one in named if one.grad is not None}
    return gradients | {"states": states.detach(), "exported": exported.clone()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_states_and_gradients_are_those_of_the_whole_block(
    make_teacher: Callable[..., Teacher],
    histories: PreparedData,
    monkeypatch: pytest.MonkeyPatch,
    kind: dict[str, Any],
) -> None:
    teacher = make_teacher(histories, prompt="text", student_dropout=0.0, **kind)
    windows = teacher.training_windows()
    batch = teacher.batch(windows, np.arange(len(windows)))
    assert 2 * len(batch.target_rows) < batch.token_ids.numel()
    ours = results(teacher, batch)
    monkeypatch.setattr(ranker, "picked_tokens", lambda *_: None)
    whole = results(teacher, batch)
    assert set(ours) == set(whole)
    for name, found in whole.items():
        # A gradient is a sum over all tokens: its rounding goes by the terms, which may be larger than it is.
        torch.testing.assert_close(
            ours[name], found, rtol=1e-5, atol=2e-5 * max(1.0, float(found.abs().max())), msg=name
        )


def tokens_seen(teacher: Teacher, batch: PromptBatch) -> list[tuple[int, int]]:
    """How many tokens each block's MLP and the projection behind its attention were given."""
    counts: list[list[int]] = []
    blocks: list[Any] = list(decoder_blocks(teacher.ranker.llm))
    for block in blocks:
        own: list[int] = []
        counts.append(own)
        for part in (block.self_attn.o_proj, block.mlp):
            forward = part.forward
            inside = getattr(forward, "module_forward", forward)

            def counted(x: Tensor, inside: Any = inside, own: list[int] = own) -> Any:
                own.append(x.shape[:-1].numel())
                return inside(x)

            if hasattr(forward, "module_forward"):
                forward.module_forward = counted
            else:
                part.forward = counted
    with torch.inference_mode():
        teacher.ranker(batch)
    return [(own[0], own[1]) for own in counts]


@pytest.mark.parametrize("kind", [SLIDING, {}], ids=["streams", "windows"])
def test_the_last_block_runs_where_something_is_predicted(
    make_teacher: Callable[..., Teacher], histories: PreparedData, kind: dict[str, Any]
) -> None:
    teacher = make_teacher(histories, prompt="text", **kind)
    batch = teacher.batch(teacher.training_windows(), np.arange(3))
    tokens, targets = batch.token_ids.numel(), len(batch.target_items)
    assert tokens_seen(teacher, batch) == [(tokens, tokens), (targets, targets)]


def test_item_prompts_predict_nearly_everywhere_and_run_as_before(
    make_teacher: Callable[..., Teacher], histories: PreparedData
) -> None:
    teacher = make_teacher(histories, prompt="item", **SLIDING)
    batch = teacher.batch(teacher.training_windows(), np.arange(3))
    tokens = batch.token_ids.numel()
    assert tokens_seen(teacher, batch) == [(tokens, tokens)] * 2


def test_a_part_with_experts_is_run_whole_for_they_go_by_all_tokens_gate(
    make_teacher: Callable[..., Teacher], histories: PreparedData
) -> None:
    adapter = AdapterConfig(dropout=0.0, layers=("q_proj", "down_proj"))
    forward = decoder_blocks(make_teacher(histories, prompt="text", adapter=adapter).ranker.llm)[-1].forward
    assert isinstance(forward, GatedForward)
    assert len(forward.parts) == 1, "the projection behind the attention alone"


class Shifted(nn.Linear):
    """Each token is given its neighbour's."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.roll(1, dims=1))


@pytest.mark.parametrize(
    ("part", "picked"),
    [
        (nn.Linear(8, 8), 1),
        (nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)), 1),
        (Shifted(8, 8), 0),
        (nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1)), 0),
        (nn.GELU(), 0),
        (nn.LSTM(8, 8), 0),
    ],
)
def test_only_what_treats_each_token_by_itself_is_picked(part: nn.Module, picked: int) -> None:
    block = nn.Module()
    block.mlp = part
    assert len(pick_in(block, lambda _: False)) == picked
    assert not pick_in(nn.ModuleDict({"other": nn.Linear(8, 8)}), lambda _: False)


@pytest.mark.parametrize("block", [1, 3, PICKED_BLOCK])
def test_picked_queries_get_what_they_get_among_all_and_the_others_nothing(block: int) -> None:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor([7, 30, 2])
    steps = torch.cat([torch.tensor([0, 0, 1, 1, 2, 3, 3]), torch.arange(30) // 2, torch.tensor([0, 1])])
    picked = torch.tensor([4, 6, 9, 11, 12, 20, 36])  # none in the last stream
    query, key, value = (torch.randn(1, heads, 39, 8, generator=generator) for heads in (4, 2, 2))
    found = Sliding.of(lengths, steps, 3, torch.float32, block, picked).attend(query, key, value, 0.3, 0.0)
    whole = Sliding.of(lengths, steps, 3, torch.float32).attend(query, key, value, 0.3, 0.0)
    torch.testing.assert_close(found[:, picked], whole[:, picked])
    others = torch.ones(39, dtype=torch.bool).index_fill(0, picked, value=False)
    assert not found[:, others].any()
