"""A training step of the real teacher on made-up prompts: what `recdistill plan` works out on paper."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from recdistill.config import AdapterConfig, StudentConfig, TeacherConfig
from recdistill.plan.plan_config import PlanConfig
from recdistill.students.losses import cross_entropy
from recdistill.students.make import make_student
from recdistill.teacher.prompts import PromptBatch

if TYPE_CHECKING:
    from recdistill.teacher.ranker import Ranker

HISTORY = 50


def make_ranker(config: PlanConfig, llm: str, cache: Path, compiled: bool = False) -> "Ranker":
    """The teacher that a plan is about: gated experts, soft tokens and item head around a loaded language model.

    Args:
        config: the plan's.
        llm: as `teacher.llm`; it must have the shapes of the plan's.
        cache: the user's cache, where fetched models are.
        compiled: as `teacher.compile`.
    """
    from recdistill.language_models.backbone import load_backbone
    from recdistill.teacher.ranker import Ranker

    torch.manual_seed(0)
    teacher = TeacherConfig(
        llm=llm,
        layers=config.layers,
        precision=config.precision,
        quantization=config.quantization,
        double_quantization=config.double_quantization,
        attention=config.attention,
        gradient_checkpointing=config.gradient_checkpointing,
        compile=compiled,
        adapter=AdapterConfig(config.rank, config.experts, dropout=config.dropout, layers=config.adapter_layers),
        head_dim=config.head_dim,
        title_dim=config.title_dim,
        history_length=HISTORY,
        title_decay=config.title_decay,
    )
    student = make_student(StudentConfig(embedding_dim=config.embedding_dim), config.items)
    titles = torch.randn(config.items + 1, config.title_dim)
    return Ranker(teacher, load_backbone(teacher, cache, config.device, config.layers), student, titles)


def made_up_batch(config: PlanConfig) -> PromptBatch:
    """Prompts of one length, all soft tokens (`prompt: item`), with the plan's number of targets each."""
    rows, length, targets = config.batch_size, config.tokens, config.targets_per_prompt
    places = torch.arange(length).expand(rows, length)
    columns = torch.linspace(0, length - 1, targets).long() if targets > 1 else torch.tensor([length - 1])
    prompts = torch.arange(rows).unsqueeze(1).expand(rows, length)
    return PromptBatch(
        token_ids=torch.zeros(rows, length, dtype=torch.int64),
        soft_items=torch.randint(1, config.items + 1, (rows, length)),
        soft_rows=prompts.flatten(),
        soft_columns=places.flatten(),
        steps=places * HISTORY // length,
        token_prompts=prompts,
        token_positions=places,
        mask=torch.ones(rows, length, dtype=torch.bool),
        prompt_tokens=torch.full((rows,), length),
        items=torch.randint(1, config.items + 1, (rows, HISTORY)),
        lengths=torch.full((rows,), HISTORY),
        target_prompts=torch.arange(rows).repeat_interleave(targets),
        target_rows=torch.arange(rows).repeat_interleave(targets),
        target_columns=columns.repeat(rows),
        target_steps=(columns * HISTORY // length + 1).clamp_max(HISTORY).repeat(rows),
        target_items=torch.randint(1, config.items + 1, (rows * targets,)),
        users=torch.zeros(rows * targets),
        positions=torch.zeros(rows * targets),
    )


def make_step(ranker: "Ranker", batch: PromptBatch) -> Callable[[], float]:
    """A training step, optimiser and all, on the same prompts each time; it returns its mean loss."""
    optimizer = torch.optim.AdamW([one for one in ranker.parameters() if one.requires_grad], fused=True)
    ranker.train()

    def step() -> float:
        loss = cross_entropy(ranker(batch), ranker.item_vectors(), batch.target_items) / len(batch.target_items)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step
