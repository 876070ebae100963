"""Do two variants compute the same? Loss, user states and every gradient, compared in fp32 with dropout off."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recdistill.data.windows import Windows
from recdistill.training.checkpoint import trained_parameters

RENAMED = (
    ("llm.base_model.model.", "llm."),
    ("llm.model.", "llm."),
    (".base_layer.", "."),
    (".lora_A.default.weight", ".down"),
    (".lora_B.default.weight", ".up"),
)
"""From the package's names of trained parameters, or transformers', to one name for both."""


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """The gradients of what is trained, by names that all variants share; what got none is left out."""
    found = {}
    for name, parameter in trained_parameters(module).items():
        for old, new in RENAMED:
            name = name.replace(old, new)
        if parameter.grad is not None:
            found[name] = parameter.grad.detach().clone()
    return found


def computed(training: Any, batch: Any) -> dict[str, Tensor]:
    """What a variant computes on a batch: `loss` (mean), `states` (M, S), and gradients by name."""
    training.module.eval()
    training.module.zero_grad()
    with torch.no_grad():
        states = training.module(batch)
    loss = training.loss(batch) / training.num_targets(batch)
    loss.backward()
    result = {"loss": loss.detach(), "states": states} | gradients(training.module)
    training.module.zero_grad()
    return result


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of any tensor, as a share of that tensor's largest value.

    Raises:
        AssertionError: the two do not hold the same tensors, or all of one are 0.
    """
    assert set(one) == set(other), f"only one variant has {sorted(set(one) ^ set(other))}"
    shares = []
    for name, tensor in one.items():
        largest = float(tensor.abs().max())
        assert largest > 0, f"{name} is all 0, so comparing it shows nothing"
        shares.append(float((tensor - other[name]).abs().max()) / largest)
    return float(np.max(shares))  # NaN where one is, unlike max()


def single_targets(windows: Windows, rows: np.ndarray) -> Windows:
    """Each target of some windows in a window of its own, which starts where the other one does."""
    chosen = windows.take(rows)
    counts = chosen.num_targets
    of = np.repeat(np.arange(len(chosen)), counts)
    ends = np.concatenate([np.arange(a, b + 1) for a, b in zip(chosen.first_targets, chosen.ends, strict=True)])
    return Windows(chosen.users[of], chosen.starts[of], ends.astype(np.int32), ends.astype(np.int32))


def excite(module: nn.Module) -> None:
    """Give experts and head weights that have an effect, the same in every variant: both start at 0."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in trained_parameters(module).items():
            if "lora_B" in name or name.startswith("head.query"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
