"""The fastest matrix product this machine is seen to make: what model-FLOPs utilisation is a share of."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

SQUARE = ((2048, 2048, 2048),)
GROUP_SECONDS = 0.005
"""Products timed together, so that neither the clock nor the launch of a kernel weighs; other work falls between."""


def matmul_peak(
    dtype: torch.dtype,
    device: torch.device | str,
    shapes: Sequence[tuple[int, int, int]] | None = None,
    seconds: float = 1.0,
) -> float:
    """Floating-point operations a second of the fastest products of dense matrices.

    A shape (M, I, O) is the product a linear layer makes of M rows, (M, I) · (O, I)ᵀ: 2·M·I·O operations. Products run
    in groups of at least 5 ms, and the fastest group of any shape counts: a peak is what the machine can do, not what
    it does beside other work. The threads, and what the device may round (TF32), are those set in torch at the time.

    Args:
        dtype: of both matrices and the product.
        device: `cpu` or `cuda`.
        shapes: (M, I, O) of each product; a square one of 2,048 if left out.
        seconds: time spent on each shape, at least.

    Returns:
        FLOP/s.

    Raises:
        ValueError: there is no shape, or one holds a number below 1.
    """
    shapes = SQUARE if shapes is None else shapes
    if not shapes or any(min(shape) < 1 for shape in shapes):
        raise ValueError(f"shapes: {shapes!r}; each must be three numbers above 0, and there must be one at least")
    return max(_fastest(dtype, torch.device(device), shape, seconds) for shape in shapes)


@torch.inference_mode()
def _fastest(dtype: torch.dtype, device: torch.device, shape: tuple[int, int, int], seconds: float) -> float:
    """The fastest group of products of one shape, in FLOP/s."""
    rows, inputs, outputs = shape
    left = torch.randn(rows, inputs, dtype=torch.float32).to(device, dtype)
    right = torch.randn(outputs, inputs, dtype=torch.float32).to(device, dtype)
    _seconds(left, right, 1)  # the first product allocates and picks a kernel
    products = 1
    while (took := _seconds(left, right, products)) < GROUP_SECONDS:
        products *= 2
    best, spent = took, took
    while spent < seconds:
        took = _seconds(left, right, products)
        best, spent = min(best, took), spent + took
    return 2 * rows * inputs * outputs * products / best


def _seconds(left: Tensor, right: Tensor, products: int) -> float:
    """Wall time of some products, one after another."""
    _finish(left.device)
    began = time.perf_counter()
    for _ in range(products):
        linear(left, right)
    _finish(left.device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    """Wait for what the device still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
