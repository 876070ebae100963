"""A training step with gated experts against plain LoRA of the same rank, alternating in one process; one JSON line.

    recdistill fetch smollm2
    python benchmarks/gated_experts.py

Both variants run the same frozen blocks on the same inputs, forward and backward. Checked first: with a uniform gate
the two give the same states, with another gate they do not. Memory is what autograd keeps for the backward pass, in
bytes.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.data.fetch import cache_folder
from recdistill.language_models.backbone import load_backbone
from recdistill.teacher.experts import attach_experts, base_decoder, expand_gate


def saved_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes of distinct tensors that one forward pass keeps for the backward pass, parameters left out."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(kept.values())


def main() -> None:
    """Check, then time both variants in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = TeacherConfig()
    backbone = load_backbone(config, cache_folder(), "cpu", arguments.layers)
    model = attach_experts(backbone.decoder, config.adapter)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    decoder = base_decoder(model)
    inputs = torch.randn(arguments.batch, arguments.tokens, backbone.hidden_dim).requires_grad_()
    logits = torch.randn(arguments.batch, arguments.tokens, config.adapter.experts).requires_grad_()

    def plain() -> Tensor:
        states: Tensor = decoder(inputs_embeds=inputs).last_hidden_state
        return states

    def gated(weights: Tensor | None = None) -> Tensor:
        weights = logits.softmax(-1) if weights is None else weights
        gate = expand_gate(weights, config.adapter.rank)
        states: Tensor = decoder(inputs_embeds=inputs, expert_gate=gate).last_hidden_state
        return states

    with torch.no_grad():
        decoder.eval()
        uniform = torch.full_like(logits, 1 / config.adapter.experts)
        torch.testing.assert_close(gated(uniform), plain(), rtol=1e-4, atol=1e-4)
        assert (gated() - plain()).abs().max() > 1e-3
    decoder.train()
    times: dict[str, list[float]] = {"plain": [], "gated": []}
    variants: dict[str, Callable[[], Tensor]] = {"plain": plain, "gated": gated}
    for turn in range(arguments.repeats + 2):
        # Each turn starts with the other variant, so that neither always runs on what the other left in the caches.
        for name, variant in list(variants.items())[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            variant().square().mean().backward()
            if turn >= 2:  # the first two warm up
                times[name].append(time.perf_counter() - began)
            model.zero_grad()
            inputs.grad = logits.grad = None
    medians = {name: statistics.median(values) for name, values in times.items()}
    kept = {name: saved_bytes(variant) for name, variant in variants.items()}
    ratios = [g / p for g, p in zip(times["gated"], times["plain"], strict=True)]
    line = {
        "seconds_plain": round(medians["plain"], 4),
        "seconds_gated": round(medians["gated"], 4),
        "time_ratio_median_of_pairs": round(statistics.median(ratios), 4),
        "saved_mib_plain": round(kept["plain"] / 2**20, 2),
        "saved_mib_gated": round(kept["gated"] / 2**20, 2),
        "memory_ratio": round(kept["gated"] / kept["plain"], 4),
        "settings": vars(arguments),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
