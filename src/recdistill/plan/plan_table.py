"""A plan as a person reads it on the terminal."""

from recdistill.plan.plan import Plan
from recdistill.plan.plan_config import PlanConfig

MEANING = {
    "weights": "the frozen language model",
    "adapters": "experts and their gradients",
    "head": "item head, soft tokens, gradients",
    "optimiser": "AdamW's two moments",
    "activations": "kept for the backward pass",
    "transient": "scores, or gradients in flight",
    "process": "interpreter and libraries",
}


def plan_table(config: PlanConfig, plan: Plan) -> str:
    """Memory by part in GiB and per cent, then FLOPs, tokens, batch and times, then what was assumed."""
    shown = f"{config.llm}, {plan.parameters / 1e6:,.0f} M parameters, {config.precision}"
    if config.quantization != "none":
        shown += f", {config.quantization}"
    if config.gradient_checkpointing:
        shown += ", activation checkpointing"
    lines = [f"{shown}; {round(config.prompts, 1):g} prompts of {config.tokens} tokens", ""]
    lines.append(f"{'peak of a training step':<24}{'GiB':>9}{'%':>7}")
    for name, size in plan.parts_gib.items():
        lines.append(f"  {name:<22}{size:>9.3f}{100 * size / plan.peak_gib:>7.1f}  {MEANING[name]}")
    lines += [f"  {'total':<22}{plan.peak_gib:>9.3f}{100:>7.1f}", ""]
    rows = [
        ("peak of the export", f"{plan.export_peak_gib:.3f} GiB"),
        ("activations", f"{plan.activations_gib_per_prompt:.4f} GiB per prompt, without checkpointing"),
        ("tokens", f"{plan.tokens_per_step:,} per step"),
        ("FLOPs", _flops(plan)),
    ]
    if plan.largest_batch is not None:
        fits = "fits" if plan.fits else "does not fit"
        rows.append(("largest batch", f"{plan.largest_batch:,} in {config.card_memory():g} GiB; this one {fits}"))
    if plan.step_seconds and plan.epoch_seconds and plan.export_seconds:
        epoch, export = in_best_unit(plan.epoch_seconds), in_best_unit(plan.export_seconds)
        rows.append(("time", f"{in_best_unit(plan.step_seconds)} per step, {plan.tokens_per_second:,.0f} tokens/s"))
        rows.append(("", f"{epoch} per epoch, {export} the export, of {config.rows:,} prompts"))
    lines += [f"{name:<24}{value}" for name, value in rows]
    return "\n".join([*lines, f"{'assumed':<24}{'; '.join(plan.assumed)}"])


def in_best_unit(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _flops(plan: Plan) -> str:
    text = f"{plan.model_flops_per_step / 1e12:.2f} T per step"
    if plan.executed_flops_per_step > plan.model_flops_per_step:
        text += f", {plan.executed_flops_per_step / 1e12:.2f} T with what is computed twice"
    return text
