"""What a teacher really is, read off its modules, and what its gate does with some users."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from recdistill.data.batches import (
    collate,
    history_windows,
    sorted_batches,
)
from recdistill.teacher.experts import base_decoder, decoder_blocks, expert_layers
from recdistill.training.checkpoint import trained_parameters
from recdistill.training.reading import Teacher

EXAMPLE_USERS = 12
"""Users whose expert weights are kept for the report."""
GATE_BATCH = 256


def evidence(teacher: Teacher) -> dict[str, Any]:
    """What the teacher really is: kernels, types and counts, read off the modules rather than off the configuration."""
    ranker = teacher.ranker
    layers = [type(module).__name__ for module in ranker.llm.modules()]
    decoder = base_decoder(ranker.llm)
    return teacher.choices | {
        "attention_in_use": decoder.config._attn_implementation,  # type: ignore[union-attr]
        "blocks": len(decoder_blocks(ranker.llm)),
        "frozen_dtypes": sorted({str(p.dtype) for p in ranker.llm.parameters() if not p.requires_grad}),
        "trained_dtypes": sorted({str(p.dtype) for p in trained_parameters(ranker).values()}),
        "quantised_layers": sum(name in ("Linear4bit", "Linear8bitLt") for name in layers),
        "adapted_layers": len(expert_layers(ranker.llm)),
        "frozen_parameters": sum(p.numel() for p in ranker.parameters() if not p.requires_grad),
        "trained_parameters": sum(p.numel() for p in trained_parameters(ranker).values()),
    }


@torch.inference_mode()
def gate_examples(teacher: Teacher, user_ids: Sequence[str]) -> dict[str, Any]:
    """Expert weights after the whole train history: some users', their mean entropy (nats), their spread over users."""
    data, ranker = teacher.data, teacher.ranker
    if ranker.gate is None:
        return {"users": [], "entropy": None, "between_user_std": None}
    targets = data.targets("validation")
    windows = history_windows(data, targets, teacher.window_length)
    weights = torch.zeros(len(windows), teacher.config.adapter.experts)
    for rows in sorted_batches(windows.lengths, GATE_BATCH):
        items = collate(data, windows, rows).items.to(teacher.device)
        weights[torch.from_numpy(rows)] = ranker.gate(ranker.student.last_states(items)).cpu()
    chosen = np.linspace(0, len(windows) - 1, min(EXAMPLE_USERS, len(windows))).astype(int)
    return {
        "users": [
            {"user": user_ids[targets.users[row]], "weights": [round(float(w), 4) for w in weights[row]]}
            for row in chosen
        ],
        "entropy": float(-(weights * weights.clamp_min(1e-12).log()).sum(dim=1).mean()),
        "between_user_std": float(weights.std(dim=0, correction=0).mean()),
    }
