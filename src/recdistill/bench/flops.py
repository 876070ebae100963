"""Floating-point operations of the teacher on paper, and of this machine in fact: what utilisation is a share of.

Counted is what the computation needs: real tokens, no padding, nothing that is computed twice. A product of (a, b)
with (b, c) is 2abc operations. The frozen layers' weights get no gradient, so their backward pass costs one forward.
"""

import time
from dataclasses import dataclass

import torch
from torch import nn

from recdistill.teacher.experts import decoder_blocks
from recdistill.teacher.ranker import Ranker

SIDES = {"cpu": (256, 512, 1024), "cuda": (4096, 8192)}
"""Rows and columns of the square matrices that are multiplied."""


@dataclass(frozen=True)
class Work:
    """What was gone through: prompts, their real tokens, and the predictions made."""

    prompts: int
    tokens: int
    targets: int


def matmul_peak(dtype: torch.dtype, device: str, seconds: float = 1.0) -> float:
    """The fastest matrix product, laid out as a linear layer's, seen within `seconds`; in operations a second."""
    sides = SIDES["cuda" if device.startswith("cuda") else "cpu"]
    pairs = [tuple(torch.randn(side, side, device=device).to(dtype) for _ in range(2)) for side in sides]
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds or best == 0:
        for side, (left, right) in zip(sides, pairs, strict=True):
            _wait(device)
            start = time.perf_counter()
            nn.functional.linear(left, right)
            _wait(device)
            best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def forward_flops(ranker: Ranker, work: Work) -> float:
    """One reading of these prompts."""
    frozen, experts = _per_token(ranker)
    return work.tokens * (frozen + experts) + _attention(ranker, work) + _head(ranker, work)


def train_flops(ranker: Ranker, work: Work) -> float:
    """One pass forward and backward over these prompts; recomputation is not counted."""
    frozen, experts = _per_token(ranker)
    return work.tokens * (2 * frozen + 3 * experts) + 3 * (_attention(ranker, work) + _head(ranker, work))


def _per_token(ranker: Ranker) -> tuple[float, float]:
    """Operations a token of the blocks' frozen linear layers and of the experts beside them."""
    frozen = experts = 0
    for block in decoder_blocks(ranker.llm):
        for name, module in block.named_modules():
            if isinstance(module, nn.Linear):
                cost = 2 * module.in_features * module.out_features
                if "lora_" in name:
                    experts += cost
                else:
                    frozen += cost
    return frozen, experts


def _attention(ranker: Ranker, work: Work) -> float:
    """Both products of causal attention, at the prompts' mean length."""
    config = ranker.llm.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    length = work.tokens / max(1, work.prompts)
    layers = len(decoder_blocks(ranker.llm))
    return float(2 * layers * config.num_attention_heads * width * work.tokens * (length + 1))


def _head(ranker: Ranker, work: Work) -> float:
    """Scores of all items for each prediction."""
    items, state = ranker.item_vectors().shape
    return float(2 * work.targets * items * state)
