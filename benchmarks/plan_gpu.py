"""Peak memory and time of a teacher's training step on a GPU against `recdistill plan`; one JSON line a configuration.

    python benchmarks/plan_gpu.py --folder path/to/write/weights --tokenizer path/to/a/tokenizer > plan-gpu.jsonl

Llama-2-7B by its shapes, with random weights: neither memory nor time asks what a weight says. They are written once
into `--folder` (13 GB), from where the package loads them as it would the real ones. The teacher around them is the
package's: gated experts, soft tokens and item head, its optimiser, on made-up prompts of one length (`prompt: item`).
Each configuration has a process of its own: two steps to warm up, then `--steps` steps, each timed from one end of the
device's work to the next, and the most bytes that torch's allocator had given out since the warm-up. All configurations
begin with the same weights and, at one size, the same prompts. That they compute the same is for `pytest -m gpu` to
say; `loss_at_start`, with dropout off, is of a head without a correction yet, and hardly sees the language model.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from recdistill.errors import UserError
from recdistill.plan.llm_shapes import PRESETS
from recdistill.plan.plan import GIB, make_plan
from recdistill.plan.plan_config import PlanConfig

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LLM = "llama2-7b"
BASE = PlanConfig(llm=LLM, precision="bf16", batch_size=32, tokens=128, items=1682, device="cuda")
WHOLE = replace(BASE, batch_size=64)
CONFIGS = {
    "bf16": BASE,
    "bf16 again": BASE,
    "bf16, compiled": BASE,
    "bf16, all linear layers": replace(BASE, adapter_layers=ALL_LINEAR),
    "bf16, 256 tokens, 50 targets": replace(BASE, tokens=256, targets_per_prompt=50, batch_size=16),
    "bf16, 64 prompts": WHOLE,
    "nf4, 64 prompts": replace(WHOLE, quantization="nf4"),
    "checkpointing, 64 prompts": replace(WHOLE, gradient_checkpointing=True),
    "nf4 and checkpointing, 64 prompts": replace(WHOLE, quantization="nf4", gradient_checkpointing=True),
    "int8": replace(BASE, quantization="int8"),
    "fp32, 16 prompts": replace(BASE, precision="fp32", batch_size=16),
}
SHOWN = (
    "layers",
    "precision",
    "quantization",
    "gradient_checkpointing",
    "batch_size",
    "tokens",
    "targets_per_prompt",
    "adapter_layers",
)
WARM_UP = 2


def write_random_llm(folder: Path, tokenizer: Path, layers: int | None) -> None:
    """A folder that transformers loads: the shapes of :data:`LLM`, random bf16 weights, somebody else's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaModel

    shapes = PRESETS[LLM]
    config = LlamaConfig(
        vocab_size=shapes.vocabulary,
        hidden_size=shapes.hidden_dim,
        intermediate_size=shapes.intermediate_dim,
        num_hidden_layers=layers or shapes.layers,
        num_attention_heads=shapes.heads,
        num_key_value_heads=shapes.kv_heads,
        max_position_embeddings=4096,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaModel(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    words: Any = AutoTokenizer.from_pretrained(tokenizer)
    words.eos_token = words.eos_token or words.sep_token
    words.save_pretrained(folder)


def measure(name: str, llm: str, layers: int | None, steps: int) -> dict[str, Any]:
    """What the steps of one configuration took, in this process."""
    import torch

    from recdistill.language_models.backbone import DTYPES
    from recdistill.measure.environment import environment
    from recdistill.measure.peak import matmul_peak
    from recdistill.students.losses import cross_entropy
    from recdistill.teacher.compiling import graphs_made
    from teacher_step import made_up_batch, make_ranker, make_step

    config = replace(CONFIGS[name], layers=layers)
    began = time.perf_counter()
    ranker = make_ranker(config, llm, Path(llm), compiled=name.endswith("compiled")).to("cuda")
    loading = time.perf_counter() - began
    torch.manual_seed(1)
    batch = made_up_batch(config).to("cuda")
    with torch.no_grad():
        scores = ranker.eval()(batch), ranker.item_vectors(), batch.target_items
        loss = float(cross_entropy(*scores)) / len(batch.target_items)
    step = make_step(ranker, batch)
    began = time.perf_counter()
    for _ in range(WARM_UP):
        step()
    torch.cuda.synchronize()
    warm_up = time.perf_counter() - began
    loaded, graphs = torch.cuda.memory_allocated(), graphs_made()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated()
    del ranker, step
    torch.cuda.empty_cache()
    return {
        "loading_seconds": loading,
        "warm_up_seconds": warm_up,
        "graphs": graphs,
        "graphs_after_warm_up": graphs_made() - graphs,
        "held_gib": loaded / GIB,
        "measured_gib": peak / GIB,
        "step_seconds": median(seconds),
        "steps_seconds": seconds,
        "loss_at_start": loss,
        "matmul_peak_flops": matmul_peak(DTYPES[config.precision], "cuda", ((8192, 8192, 8192),)),
        "environment": environment("cuda"),
    }


def beside_plan(name: str, config: PlanConfig, found: dict[str, Any]) -> dict[str, Any]:
    """Settings, what was measured, what the plan says."""
    plan = make_plan(config)
    settings = {key: value for key, value in asdict(config).items() if key in SHOWN}
    figures = {
        "plan_gib": plan.peak_gib,
        "plan_over_measured": plan.peak_gib / found["measured_gib"],
        "executed_flops_of_peak": plan.executed_flops_per_step / found["step_seconds"] / found["matmul_peak_flops"],
    }
    return {"name": name} | settings | found | figures


def main() -> None:
    """Measure every configuration in its own process and print each beside its plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the random weights are, or go")
    parser.add_argument("--tokenizer", type=Path, help="a folder with a tokenizer of at most 32,000 tokens")
    parser.add_argument("--layers", type=int, help="the first blocks alone, for a trial")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed")
    parser.add_argument("--only", nargs="+", choices=CONFIGS, default=list(CONFIGS), metavar="NAME")
    parser.add_argument("--one", choices=CONFIGS, metavar="NAME", help="measure this configuration here")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, str(arguments.folder), arguments.layers, arguments.steps)))
        return
    if not (arguments.folder / "config.json").is_file():
        if arguments.tokenizer is None:
            raise UserError("--tokenizer: needed to write the random weights")
        write_random_llm(arguments.folder, arguments.tokenizer, arguments.layers)
    for name in arguments.only:
        command = [sys.executable, __file__, "--one", name, "--folder", str(arguments.folder)]
        command += ["--steps", str(arguments.steps), *(["--layers", str(arguments.layers)] if arguments.layers else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            line = {"name": name, "failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
            print(json.dumps(line), flush=True)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps(beside_plan(name, replace(CONFIGS[name], layers=arguments.layers), found)), flush=True)


if __name__ == "__main__":
    main()
