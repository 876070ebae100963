"""What the experts add to a frozen layer, as one function with a backward pass of its own.

    y = base + s · ((drop(x) Aᵀ) ⊙ g) Bᵀ

Written with ordinary modules (as PEFT does), the same line keeps for the backward pass a copy of x in the adapters'
precision, another behind the dropout, and passes over y three times. Here x is kept once, as it is (bf16 under bf16
layers; the very tensor that the neighbouring layer keeps too), with one byte an entry for the dropout's mask, and the
sum is made in the product itself.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

DRAWS = 1 << 16
"""Dropout's probability is rounded to a multiple of 1 / DRAWS: a mask is made of 16-bit random numbers."""


def add_experts(
    base: Tensor, x: Tensor, down: Tensor, up: Tensor, gate: Tensor | None, scale: float, dropout: float = 0.0
) -> Tensor:
    """Add the experts' output to that of the frozen layer.

    Args:
        base: (B, T, out), the frozen layer's output.
        x: (B, T, in), the layer's input.
        down: A, (R, in), in the adapters' precision.
        up: B, (out, R).
        gate: (B or 1, T or 1, R), each rank's factor; None for plain LoRA.
        scale: alpha / R.
        dropout: share of x's entries set to zero; 0 outside training.

    Returns:
        (B, T, out), in the type of `base`. The products run in the adapters' type, or in autocast's where that is on.
    """
    mask = draw_mask(x, dropout) if dropout > 0 else None
    scale = scale / (1 - dropout)
    delta: Tensor = _Experts.apply(base, x, down, up, gate, mask, scale)  # type: ignore[no-untyped-call]
    return delta


def draw_mask(x: Tensor, dropout: float) -> Tensor:
    """True where an entry of `x` is kept: bool, of the shape of `x`."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return torch.rand_like(x, dtype=torch.float32) >= dropout
    # On a CPU drawing is serial and costs more than the product it is for; four entries share one draw of 64 bits.
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: x.numel()] >= round(dropout * DRAWS) - DRAWS // 2
    return kept.view(x.shape)


WITHOUT_AUTOCAST = "meta"
"""Asked by its name: torch's own question, `is_autocast_available`, cannot be traced before torch 2.13, and a compiled
block would break in two at each of its experts."""


def compute_type(x: Tensor, adapters: torch.dtype) -> torch.dtype:
    """The type that the experts' products run in: autocast's where that is on, else the adapters' own."""
    device = x.device.type
    on = device != WITHOUT_AUTOCAST and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else adapters


def _types_as_written(device: str) -> AbstractContextManager[object]:
    """No autocast inside; the meta device has none to begin with."""
    return nullcontext() if device == WITHOUT_AUTOCAST else torch.autocast(device, enabled=False)


class _Experts(torch.autograd.Function):
    """See :func:`add_experts`; rows (B·T) are flat inside."""

    @staticmethod
    def forward(
        ctx: Any,
        base: Tensor,
        x: Tensor,
        down: Tensor,
        up: Tensor,
        gate: Tensor | None,
        mask: Tensor | None,
        scale: float,
    ) -> Tensor:
        kind = compute_type(x, down.dtype)
        with _types_as_written(x.device.type):
            kept = x if x.element_size() <= kind.itemsize else x.to(kind)
            inputs = _rows(_masked(kept, mask)).to(kind)
            narrow = inputs @ down.to(kind).T  # (B·T, R)
            weighed = narrow if gate is None else _weigh(narrow, gate, x.shape)
            if base.dtype == kind:
                total = torch.addmm(_rows(base), weighed, up.to(kind).T, alpha=scale)
            else:
                # As PEFT does: the sum is made in the wider type and rounded once.
                total = (_rows(base) + (weighed @ up.to(kind).T) * scale).to(base.dtype)
        ctx.save_for_backward(kept, down, up, gate, mask, narrow)
        ctx.scale, ctx.kind, ctx.input_type = scale, kind, x.dtype
        # Not a view: some models (Falcon) add to what a layer gave them in place.
        return torch.ops.aten._unsafe_view(total, base.shape)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0]
        x, down, up, gate, mask, narrow = ctx.saved_tensors
        kind, shape = ctx.kind, x.shape
        # As numbers of x's type once: a product with a mask of bytes takes six times as long on a CPU.
        factor = None if mask is None else mask.to(x.dtype)
        inputs = _rows(x if factor is None else x * factor).to(kind)
        wide = _rows(grad).to(kind)
        weighed = narrow if gate is None else _weigh(narrow, gate, shape)
        grad_up = (wide.T @ weighed).mul_(ctx.scale).to(up.dtype)
        grad_weighed = (wide @ up.to(kind)).mul_(ctx.scale)
        grad_gate = None
        if gate is not None and ctx.needs_input_grad[4]:
            # (B·T, R) to (B, T, R), or as the gate has it; then summed over what the gate is one for
            each = (grad_weighed * narrow).view(*(shape if len(shape) == gate.dim() else gate.shape)[:-1], -1)
            grad_gate = each.sum_to_size(gate.shape).to(gate.dtype)
        grad_narrow = grad_weighed if gate is None else _weigh(grad_weighed, gate, shape)
        grad_down = (grad_narrow.T @ inputs).to(down.dtype)
        grad_x = None
        if ctx.needs_input_grad[1]:
            grad_x = (grad_narrow @ down.to(kind)).view(shape)  # (B·T, in) to (B, T, in)
            grad_x = (grad_x if factor is None else grad_x.mul_(factor)).to(ctx.input_type)
        return grad, grad_x, grad_down, grad_up, grad_gate, None, None


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zeros where the mask is False."""
    return x if mask is None else x * mask.to(x.dtype)


def _rows(tensor: Tensor) -> Tensor:
    """(B, T, D) to (B·T, D)."""
    return tensor.reshape(-1, tensor.shape[-1])


def _weigh(narrow: Tensor, gate: Tensor, shape: torch.Size) -> Tensor:
    """(B·T, R) times a gate that may be one for all tokens of a prompt, or one for all prompts.

    Some layers are given flat rows, (B·T, in) (OPT's fc1): the gate must then have an entry for each token.
    """
    if len(shape) != gate.dim():
        return narrow * _rows(gate).to(narrow.dtype)
    return _rows(narrow.view(*shape[:-1], -1) * gate.to(narrow.dtype))  # (B, T, R) and back to (B·T, R)
