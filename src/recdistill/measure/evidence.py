"""What really ran: kernels and types watched at work, tokens counted. :mod:`settings_check` draws the conclusions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from recdistill.measure.facts import TokenFacts, Watched

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::_int_mm")
"""Matrix products by their names in torch."""
ATTENTION = ("scaled_dot_product", "flash_attn", "flash_attention", "flex_attention")
"""Parts of the names of fused attention kernels."""
QUANTISED = "bitsandbytes::"
QUANTISED_KINDS = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}
TURNED_TO_FLOATS = ("aten::mul", "aten::_to_copy")


class KernelWatch(TorchDispatchMode):
    """Counts what torch is asked to run while the block runs; forward and backward alike.

    Attributes:
        products: matrix products by type (`float32`, `bfloat16`, …), those of more than `narrow` columns alone, so
            that a small adapter does not hide what the frozen layers ran in; where `weights` are given, those with a
            matrix of one of their shapes alone: what a model scans or mixes in fp32 by design, the head and the soft
            tokens say nothing of the frozen layers' precision.
        attention: fused attention kernels by name; those of a forward pass with gradients, so not the student's.
        quantised: bitsandbytes' kernels by name.
        softmax: softmaxes over four-dimensional scores: attention that is not fused.
    """

    supports_higher_order_operators = True

    def __init__(self, narrow: int = 0, weights: frozenset[tuple[int, int]] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.narrow, self.weights = narrow, weights
        self.products: Counter[str] = Counter()
        self.attention: Counter[str] = Counter()
        self.quantised: Counter[str] = Counter()
        self.softmax = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, object] | None = None
    ) -> Any:
        """Count, then run."""
        name = func.name().split(".")[0]
        if name in PRODUCTS:
            tensors = [one for one in args if isinstance(one, torch.Tensor)][-2:]
            if self._is_frozen_layers(tensors):
                self.products[str(tensors[-1].dtype).removeprefix("torch.")] += 1
        elif any(part in name for part in ATTENTION) and (torch.is_grad_enabled() or "scaled_dot" not in name):
            self.attention[name] += 1
        elif torch.is_grad_enabled() and name in ("aten::_softmax", "aten::_safe_softmax") and args[0].dim() == 4:
            self.softmax += 1
        # Without kernels of its own for a machine, bitsandbytes turns 8-bit weights into floats and multiplies those.
        if name.startswith(QUANTISED) or (name in TURNED_TO_FLOATS and _is_matrix_of_bytes(args[0])):
            self.quantised[name] += 1
        return func(*args, **(kwargs or {}))

    def _is_frozen_layers(self, tensors: list[torch.Tensor]) -> bool:
        """Whether these are the two factors of a product that is counted."""
        if min(size for one in tensors for size in one.shape[-2:]) <= self.narrow:
            return False
        shapes = [(one.shape[0], one.shape[1]) for one in tensors if one.dim() == 2]
        return self.weights is None or any(one in self.weights or one[::-1] in self.weights for one in shapes)

    def seen(self) -> Watched:
        """The counts as plain values."""
        return {
            "products": dict(self.products),
            "attention_kernels": dict(self.attention),
            "quantised_kernels": dict(self.quantised),
            "attention_softmaxes": self.softmax,
        }


def _is_matrix_of_bytes(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.int8 and value.dim() == 2


class TokenState(TypedDict):
    """A :class:`TokenCount` as JSON can hold it; `widths` by the width as text."""

    useful: int
    processed: int
    prompts: int
    targets: int
    micro_batches: int
    largest: int
    most_prompts: int
    packed: int
    widths: dict[str, int]
    reused: int


@dataclass
class TokenCount:
    """Tokens that went through the language model.

    Attributes:
        useful: tokens of prompts.
        processed: with padding.
        prompts: prompts read.
        targets: predictions made.
        micro_batches: forward passes.
        largest: tokens of the largest micro-batch, padding counted.
        most_prompts: prompts of the largest micro-batch.
        packed: micro-batches in which prompts stood end to end.
        widths: micro-batches by width.
        reused: tokens whose keys and values came from a cache and were not computed again.
    """

    useful: int = 0
    processed: int = 0
    prompts: int = 0
    targets: int = 0
    micro_batches: int = 0
    largest: int = 0
    most_prompts: int = 0
    packed: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    reused: int = 0

    def add(self, useful: int, rows: int, width: int, prompts: int, targets: int) -> None:
        """Count one micro-batch of `rows` x `width` tokens."""
        self.useful += useful
        self.processed += rows * width
        self.prompts += prompts
        self.targets += targets
        self.micro_batches += 1
        self.largest = max(self.largest, rows * width)
        self.most_prompts = max(self.most_prompts, prompts)
        self.packed += rows < prompts
        self.widths[width] += 1

    @property
    def padding(self) -> float:
        """Share of processed tokens that is padding; 0 before the first."""
        return 1 - self.useful / self.processed if self.processed else 0.0

    def state(self) -> TokenState:
        """All of it as JSON can hold it, for :meth:`restore`."""
        return {
            "useful": self.useful,
            "processed": self.processed,
            "prompts": self.prompts,
            "targets": self.targets,
            "micro_batches": self.micro_batches,
            "largest": self.largest,
            "most_prompts": self.most_prompts,
            "packed": self.packed,
            "widths": {str(width): number for width, number in self.widths.items()},
            "reused": self.reused,
        }

    def restore(self, state: TokenState) -> None:
        """Resume from where :meth:`state` was taken."""
        for name, value in state.items():
            setattr(self, name, value)
        self.widths = Counter({int(width): number for width, number in state["widths"].items()})

    def clear(self) -> None:
        """Begin anew."""
        self.restore(TokenCount().state())

    def merge(self, other: "TokenCount") -> None:
        """Add what was counted elsewhere."""
        for name in ("useful", "processed", "prompts", "targets", "micro_batches", "packed", "reused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.largest = max(self.largest, other.largest)
        self.most_prompts = max(self.most_prompts, other.most_prompts)
        self.widths.update(other.widths)

    def plain(self) -> TokenFacts:
        """As plain values; of the widths only their number."""
        return {**self.state(), "widths": len(self.widths), "padding": round(self.padding, 5)}
