"""RMS norms whose backward pass is written out: a fifth of the passes over memory, and only the input is kept.

Language models write the norm as `weight * (x * rsqrt(mean(x²) + ε))` with single operations in fp32. Going back,
autograd then passes over x some fifteen times and keeps a copy of it in fp32. The values here are the same operation by
operation; the gradient is

    dx = r · (g·w - x̂ · mean(g·w · x̂)),    x̂ = x · r,    r = 1 / sqrt(mean(x²) + ε)
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


class _RmsNorm(torch.autograd.Function):
    """(…, H), a frozen weight (H,): normalised in fp32, in the input's type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight, scale)
        return weight * (wide * scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        unit = x.float() * scale
        inner = grads[0].float() * weight.float()
        along = (inner * unit).mean(-1, keepdim=True)
        return inner.sub_(unit.mul_(along)).mul_(scale).to(x.dtype), None, None


class LeanNorm:
    """The forward of a frozen RMS norm."""

    weight: nn.Parameter
    variance_epsilon: float

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(…, H) to (…, H)."""
        normed: Tensor = _RmsNorm.apply(hidden_states, self.weight, self.variance_epsilon)  # type: ignore[no-untyped-call]
        return normed


@cache
def _lean_class(kind: Any) -> type[nn.Module]:
    """The class of norms like `kind` with the lean forward."""
    return type(f"Lean{kind.__name__}", (LeanNorm, kind), {})


def use_lean_norms(llm: nn.Module) -> int:
    """Give the frozen RMS norms of a language model the lean backward pass, where theirs is the usual formula.

    Each kind of norm is tried on numbers first: one that computes anything else (Gemma's adds 1 to the weight) is left
    as it is.

    Returns:
        How many norms it was given to.
    """
    found = [
        module
        for module in llm.modules()
        if type(module).__name__.endswith("RMSNorm")
        and hasattr(module, "variance_epsilon")
        and not module.weight.requires_grad
        and not isinstance(module, LeanNorm)
    ]
    usual = {
        kind: _is_the_usual(next(one for one in found if type(one) is kind)) for kind in {type(one) for one in found}
    }
    lean = [module for module in found if usual[type(module)]]
    for module in lean:
        module.__class__ = _lean_class(type(module))  # type: ignore[arg-type]
    return len(lean)


@torch.no_grad()
def _is_the_usual(norm: Any) -> bool:
    """Whether a norm computes what :class:`LeanNorm` does, bit by bit."""
    weight = norm.weight
    if weight.is_meta:
        return True
    numbers = torch.linspace(-3, 5, 2 * len(weight), device=weight.device).view(2, -1)
    for x in {dtype: numbers.to(dtype) for dtype in (weight.dtype, torch.float32, torch.bfloat16)}.values():
        one, other = norm(x), _RmsNorm.apply(x, weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
        if one.dtype != other.dtype or not torch.equal(one, other):
            return False
    return True
