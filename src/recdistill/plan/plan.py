"""Memory, FLOPs, batch and time of a teacher on a card that is not here: `recdistill plan`.

The arithmetic is in `activations`, `plan_memory` and `flops`; docs/planning.md sets it against measurements.
"""

from dataclasses import dataclass, replace

from recdistill.errors import UserError
from recdistill.plan.activations import block_activations
from recdistill.plan.flops import adapter_parameters, forward_flops, head_flops, train_flops
from recdistill.plan.llm_shapes import LlmShapes
from recdistill.plan.named_shapes import llm_shapes
from recdistill.plan.plan_config import PlanConfig
from recdistill.plan.plan_memory import export_bytes, memory_parts

GIB = 1024**3
TERA = 1e12


@dataclass(frozen=True)
class Plan:
    """What a training step and an export cost. None where it takes a card to say and none was given."""

    parts_gib: dict[str, float]
    """Peak memory of a training step by part, GiB."""
    peak_gib: float
    """Their sum."""
    export_peak_gib: float
    """Peak memory of the export, GiB."""
    activations_gib_per_prompt: float
    """What all blocks of one more prompt in the batch keep, GiB, without checkpointing."""
    parameters: int
    """Of the language model, as loaded."""
    tokens_per_step: int
    """Tokens of a micro-batch."""
    model_flops_per_step: float
    """FLOPs that the model asks for, forward and backward: what model-FLOPs utilisation counts."""
    executed_flops_per_step: float
    """The same, and checkpointing's second forward pass."""
    export_flops_per_batch: float
    """FLOPs of one batch of the export."""
    fits: bool | None
    """Whether the batch fits in the card."""
    largest_batch: int | None
    """The most prompts a micro-batch that fits can have; 0: not one."""
    step_seconds: float | None
    """Time of a step at the assumed utilisation."""
    epoch_seconds: float | None
    """Time of an epoch of `rows` prompts."""
    export_seconds: float | None
    """Time of an export of `rows` prompts."""
    tokens_per_second: float | None
    """While training."""
    assumed: tuple[str, ...]
    """What the figures rest on."""


def make_plan(config: PlanConfig) -> Plan:
    """Work a plan out.

    Raises:
        UserError: the language model, one of its layers or the card is not known.
    """
    shapes = llm_shapes(config.llm, config.layers)
    config = replace(config, adapter_layers=shapes.full_names(config.adapter_layers))
    _refuse_unknown_layers(shapes, config)
    if shapes.routed and config.quantization != "none":
        raise UserError(
            f"plan.quantization: the experts of {config.llm} are no linear layers, so {config.quantization} would "
            "not reach most of its weights; use none"
        )
    parts = memory_parts(shapes, config)
    tokens = round(config.prompts * config.tokens)
    model, executed = (_step_flops(shapes, config, recompute) for recompute in (False, True))
    export = _export_flops(shapes, config)
    speed = config.card_peak() * TERA * config.utilisation
    budget = config.card_memory() - config.reserve_gib
    step = executed / speed if speed else None
    epoch = step * config.rows / config.prompts if step else None
    return Plan(
        parts_gib={name: size / GIB for name, size in parts.items() if size},
        peak_gib=sum(parts.values()) / GIB,
        export_peak_gib=export_bytes(shapes, config) / GIB,
        activations_gib_per_prompt=prompt_activations(shapes, config) / GIB,
        parameters=shapes.parameters(config.vocabulary_head),
        tokens_per_step=tokens,
        model_flops_per_step=model,
        executed_flops_per_step=executed,
        export_flops_per_batch=export,
        fits=sum(parts.values()) / GIB <= budget if config.card_memory() else None,
        largest_batch=largest_batch(shapes, config, budget) if config.card_memory() else None,
        step_seconds=step,
        epoch_seconds=epoch,
        export_seconds=export / speed * config.rows / config.export_prompts if speed else None,
        tokens_per_second=tokens / step if step else None,
        assumed=_assumptions(config),
    )


def prompt_activations(shapes: LlmShapes, config: PlanConfig) -> float:
    """Bytes that all blocks keep for one more prompt in the batch, without checkpointing."""
    few, many = (replace(config, batch_size=size) for size in (1, 1 + 2 * config.targets_per_prompt))
    kept = [shapes.layers * sum(block_activations(shapes, one).values()) for one in (few, many)]
    return (kept[1] - kept[0]) / (many.prompts - few.prompts)


def largest_batch(shapes: LlmShapes, config: PlanConfig, budget_gib: float) -> int:
    """The most prompts in a micro-batch whose step fits in `budget_gib`; 0 when not one does."""

    def fits(size: int) -> bool:
        return sum(memory_parts(shapes, replace(config, batch_size=size)).values()) <= budget_gib * GIB

    if not fits(1):
        return 0
    low, high = 1, 2
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _step_flops(shapes: LlmShapes, config: PlanConfig, recompute: bool) -> float:
    """FLOPs of one micro-batch, forward and backward: blocks, adapters, soft tokens, head."""
    tokens = config.prompts * config.tokens
    again = recompute and config.gradient_checkpointing
    blocks = train_flops(shapes, tokens, config.attended, config.adapter_layers, config.rank, again)
    head = head_flops(config.prompts * config.targets_per_prompt, config.items, config.state_dim, train=True)
    return blocks + head + 3 * _soft_token_flops(shapes, config, tokens) + _vocabulary_flops(shapes, config, tokens)


def _export_flops(shapes: LlmShapes, config: PlanConfig) -> float:
    """FLOPs of one batch of the export, forward alone: blocks, adapters, soft tokens, head."""
    tokens = config.export_prompts * config.tokens
    head = head_flops(config.export_prompts * config.targets_per_prompt, config.items, config.state_dim, train=False)
    rest = _soft_token_flops(shapes, config, tokens) + _vocabulary_flops(shapes, config, tokens)
    adapters = 2.0 * adapter_parameters(shapes, config.adapter_layers, config.rank) * tokens
    return forward_flops(shapes, tokens, config.attended) + adapters + head + rest


def _soft_token_flops(shapes: LlmShapes, config: PlanConfig, tokens: float) -> float:
    width = config.embedding_dim + config.title_dim + shapes.hidden_dim
    return 2.0 * tokens * width * shapes.hidden_dim if config.soft_tokens else 0.0


def _vocabulary_flops(shapes: LlmShapes, config: PlanConfig, tokens: float) -> float:
    return 2.0 * tokens * shapes.vocabulary * shapes.hidden_dim if config.vocabulary_head else 0.0


def _refuse_unknown_layers(shapes: LlmShapes, config: PlanConfig) -> None:
    known = shapes.linear_layers()
    for name in config.adapter_layers:
        if name not in known:
            raise UserError(
                f"plan.adapter_layers: {config.llm} has no linear layer {name!r}; it has {', '.join(known)}"
            )


def _assumptions(config: PlanConfig) -> tuple[str, ...]:
    alike = (
        "every sequence as long as the mean" if config.windows == "sliding" else "every prompt as long as tokens says"
    )
    assumed = ["one device", alike, "GiB of tensors, as the allocator counts them"]
    if config.device == "cpu":
        assumed[-1] = "GiB of the resident set"
    if config.card_memory():
        assumed.append(f"{config.reserve_gib:g} GiB left free")
    if config.card_peak():
        assumed.append(f"{config.utilisation:.0%} of a peak of {config.card_peak():g} TFLOP/s is reached")
    if config.quantization != "none":
        assumed.append("unpacking quantised weights costs no time (it does)")
    return tuple(assumed)
