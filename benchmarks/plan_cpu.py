"""Peak resident set of a teacher's training step on the CPU against `recdistill plan`; one JSON line a configuration.

    recdistill fetch smollm2
    python benchmarks/plan_cpu.py > docs/benchmarks/plan-cpu.jsonl

The teacher is the real one: SmolLM2 with gated experts, soft tokens and item head, its optimiser, on made-up prompts of
one length, all soft tokens (`prompt: item`). Each configuration has a process of its own, which takes two steps (the
optimiser's moments are there from the second on) and reads the kernel's high-water mark of the resident set (Linux:
VmHWM, reset after loading). So that the resident set is what is held and not what malloc keeps for later, blocks of 64
KiB and more are given back to the system at once (MALLOC_MMAP_THRESHOLD_), and there is one arena.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

from recdistill.plan.plan import make_plan
from recdistill.plan.plan_config import PlanConfig
from resident import forget_peak, resident_gib

BASE = PlanConfig(llm="smollm2", layers=6, batch_size=16, tokens=128, items=1682, device="cpu")
CONFIGS = (
    BASE,
    replace(BASE, batch_size=32, targets_per_prompt=100),
    replace(BASE, layers=12, tokens=256),
    replace(BASE, batch_size=8, tokens=512, attention="eager"),
    replace(BASE, layers=30, batch_size=8),
    replace(BASE, layers=30, gradient_checkpointing=True),
)
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
SHOWN = ("layers", "batch_size", "tokens", "targets_per_prompt", "attention", "gradient_checkpointing", "lora_saves")


def measure(config: PlanConfig) -> dict[str, float]:
    """Resident sets of this process: before the model is loaded, and at most in two training steps."""
    import torch

    from recdistill.data.fetch import cache_folder
    from teacher_step import made_up_batch, make_ranker, make_step

    torch.set_num_threads(1)
    (torch.randn(64, 64) @ torch.randn(64, 64)).sum()
    import lightning_fabric  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401
    from transformers.models.llama import modeling_llama  # noqa: F401

    before = resident_gib()
    ranker = make_ranker(config, config.llm, cache_folder())
    loaded = resident_gib()
    step = make_step(ranker, made_up_batch(config))
    forget_peak()
    for _ in range(2):
        step()
    return {"before_loading_gib": before, "loaded_gib": loaded, "measured_gib": resident_gib("VmHWM")}


def main() -> None:
    """Measure every configuration in its own process and print each beside its plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, help="measure this configuration here and print it")
    one = parser.parse_args().one
    if one is not None:
        print(json.dumps(measure(CONFIGS[one])))
        return
    for number, config in enumerate(CONFIGS):
        command = [sys.executable, __file__, "--one", str(number)]
        done = subprocess.run(command, env=os.environ | MALLOC, capture_output=True, text=True, check=True)
        print(beside_plan(config, json.loads(done.stdout.splitlines()[-1])), flush=True)


def beside_plan(config: PlanConfig, found: dict[str, float]) -> str:
    """One JSON line: settings, what was measured, what the plan says."""
    peak = make_plan(config).peak_gib
    settings = {name: value for name, value in asdict(config).items() if name in SHOWN}
    figures = found | {"plan_gib": peak, "plan_over_measured": peak / found["measured_gib"]}
    return json.dumps(settings | {name: round(value, 4) for name, value in figures.items()})


if __name__ == "__main__":
    main()
