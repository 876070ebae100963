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
from pathlib import Path

from recdistill.profiling.plan import GIB, make_plan
from recdistill.profiling.plan_config import PlanConfig

BASE = PlanConfig(llm="smollm2", layers=6, batch_size=16, tokens=128, items=1682, device="cpu")
CONFIGS = (
    BASE,
    replace(BASE, batch_size=32, targets_per_prompt=100),
    replace(BASE, layers=12, tokens=256),
    replace(BASE, batch_size=8, tokens=512, attention="eager"),
    replace(BASE, layers=30, batch_size=8),
    replace(BASE, layers=30, activation_checkpointing=True),
)
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
SHOWN = (
    "layers", "batch_size", "tokens", "targets_per_prompt", "attention", "activation_checkpointing", "lora_saves"
)  # fmt: skip


def resident_gib(name: str = "VmRSS") -> float:
    """This process's resident set now (VmRSS) or at most (VmHWM), GiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 / GIB


def measure(config: PlanConfig) -> dict[str, float]:
    """Resident sets of this process: before the model is loaded, and at most in two training steps."""
    import torch

    from recdistill.config import AdapterConfig, StudentConfig, TeacherConfig
    from recdistill.data.fetch import cache_folder
    from recdistill.students.losses import cross_entropy
    from recdistill.students.make import make_student
    from recdistill.teacher.backbone import load_backbone
    from recdistill.teacher.prompts import PromptBatch
    from recdistill.teacher.ranker import Ranker

    torch.set_num_threads(1)
    torch.manual_seed(0)
    teacher = TeacherConfig(
        layers=config.layers, attention=config.attention, activation_checkpointing=config.activation_checkpointing,
        adapter=AdapterConfig(config.rank, config.experts, dropout=config.dropout, layers=config.adapter_layers),
        head_dim=config.head_dim, title_dim=config.title_dim, history_length=50,
    )  # fmt: skip
    student = make_student(StudentConfig(embedding_dim=config.embedding_dim), config.items)
    titles = torch.randn(config.items + 1, config.title_dim)
    (torch.randn(64, 64) @ torch.randn(64, 64)).sum()
    import lightning_fabric  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401
    from transformers.models.llama import modeling_llama  # noqa: F401

    before = resident_gib()
    ranker = Ranker(teacher, load_backbone(teacher, cache_folder(), "cpu", config.layers), student, titles)
    loaded = resident_gib()
    optimizer = torch.optim.AdamW([one for one in ranker.parameters() if one.requires_grad], fused=True)
    rows, length, targets = config.batch_size, config.tokens, config.targets_per_prompt
    places = torch.arange(length).expand(rows, length)
    columns = torch.linspace(0, length - 1, targets).long() if targets > 1 else torch.tensor([length - 1])
    prompts = torch.arange(rows).unsqueeze(1).expand(rows, length)
    targeted = torch.arange(rows).repeat_interleave(targets)
    batch = PromptBatch(
        token_ids=torch.zeros(rows, length, dtype=torch.int64),
        soft_items=torch.randint(1, config.items + 1, (rows, length)), soft_rows=prompts.flatten(),
        soft_columns=places.flatten(), steps=places * 50 // length, token_prompts=prompts, token_positions=places,
        mask=torch.ones(rows, length, dtype=torch.bool), prompt_tokens=torch.full((rows,), length),
        items=torch.randint(1, config.items + 1, (rows, 50)), lengths=torch.full((rows,), 50),
        target_prompts=targeted, target_rows=targeted, target_columns=columns.repeat(rows),
        target_steps=(columns * 50 // length + 1).clamp_max(50).repeat(rows),
        target_items=torch.randint(1, config.items + 1, (rows * targets,)),
        users=torch.zeros(rows * targets), positions=torch.zeros(rows * targets),
    )  # fmt: skip
    ranker.train()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    for _ in range(2):
        loss = cross_entropy(ranker(batch), ranker.item_vectors(), batch.target_items)
        (loss / len(batch.target_items)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
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
