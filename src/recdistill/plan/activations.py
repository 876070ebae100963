"""Bytes that autograd keeps for the backward pass, tensor by tensor, of a frozen language model with adapters.

A frozen linear layer keeps nothing: the gradient of its input needs its weight alone. So what is kept is what norms,
attention, the MLP's products and the adapters need. n = B · T tokens; letters of widths: H the residual stream, A all
queries, K all keys, I the MLP, R the adapters' rank. Widths in bytes: c of what linear layers compute, s of the
residual stream, a of what adapters compute.

| tensor | bytes a token |
|---|---|
| RMS norm, transformers': its input widened to fp32 (in fp32: the stream itself), 1/rms | 4 H + 4, twice |
| RMS norm, this program's (with `lora_saves: input`): its input, 1/rms | s H + 4, twice |
| layer norm: its input, mean, 1/deviation | s H + 8, twice |
| attention, sdpa or flash: q, k, v, output; log-sum-exp | c (2 A + 2 K) + 4 heads |
| sdpa with windows that slide: W keys and values for each block of 64 queries | c (2 A + 2 K W / 64) + 4 heads |
| the same, once for all blocks: the mask | c W |
| attention, eager: q, k and v repeated for every head; softmax in fp32, its copy in c | c 3 A + heads T (4 + c) |
| gated MLP: gate, silu(gate), up | 3 c I |
| plain MLP: relu's output, or gelu's input; gelu_new, of single operations | c I; 4 c I |
| the model's own dropout, where it has one: masks behind attention and MLP | m H, twice |
| experts as in `teacher.gated_lora` (input): the layer's input as it is, once for all that read it | c in |
| the same, of a wider stream (mixed precision): one copy a layer | c in |
| the same: dropout's mask, of bytes on every device; A's output | in; a R |
| PEFT's LoRA and others (fp32_copy): input after dropout (without dropout: widened), and dropout's mask | (a + m) in |
| the same: A's output; with a gate also after it | a R; 2 a R |
| the same, per expert: A's output, and each expert's output | a R + c E out |
| a mixture's experts: gate, silu(gate), up and the input's copy, for each that a token goes through | c (3 I + H) k |
| int8: the input of every linear layer, once for all that read it | c in |

m is 1 on CUDA, whose dropout keeps a mask of bytes; on the CPU dropout keeps a factor in its input's own type.
An input that attention (sdpa, flash) or relu keeps as its output is counted there alone.
Mixed precision keeps one thing more: half-precision copies of the fp32 weights. (Autocast caches the copies of trained
weights alone; a frozen weight is copied at every use, and each copy is kept for the backward pass. `teacher.gated_lora`
keeps no copy of its own.)
"""

from dataclasses import dataclass
from typing import assert_never

from recdistill.plan.llm_shapes import LlmShapes
from recdistill.plan.plan_config import STREAM_BLOCK, PlanConfig

FP32 = 4
MASK = 1
"""Bytes of one bool."""
NORMED = ("attention_norm", "mlp_norm")
"""The inputs of linear layers that come in the residual stream's type."""


@dataclass(frozen=True)
class Widths:
    """Bytes of one number."""

    weights: int
    """Frozen weights that are not quantised."""
    compute: int
    """What linear layers and attention compute."""
    stream: int
    """The residual stream."""
    adapter: int
    """What adapters compute; their weights are fp32 always."""


def widths(config: PlanConfig) -> Widths:
    """Bytes of numbers under a precision, see `teacher.precision`."""
    if config.precision == "fp32" or config.kbit_preparation:
        # A 4-bit layer gives back the type it was given; after PEFT's preparation that is fp32, from the embedding on.
        return Widths(FP32, FP32, FP32, FP32)
    if config.precision.endswith("-mixed"):
        return Widths(FP32, 2, FP32, 2)
    return Widths(2, 2, 2, FP32)  # PEFT makes the adapters of a half-precision model in fp32


def mask_width(config: PlanConfig, width: int) -> int:
    """Bytes a number of the mask that torch's own dropout keeps, for an input of `width` bytes a number."""
    return MASK if config.device == "cuda" else width


def block_activations(shapes: LlmShapes, config: PlanConfig) -> dict[str, float]:
    """Bytes kept of one block for one micro-batch, by what keeps them."""
    tokens = config.prompts * config.tokens
    wide = widths(config)
    kept = {
        "norms": tokens * _norms(shapes, config, wide),
        "attention": tokens * _attention(shapes, config, wide.compute),
        "mlp": tokens * _mlp(shapes, wide.compute),
        "dropout": tokens * 2 * shapes.hidden_dim * mask_width(config, wide.compute) if shapes.dropout else 0,
        "adapters": tokens * (_experts if config.lora_saves == "input" else _copying_adapters)(shapes, config, wide),
        "int8 inputs": tokens * _lone_inputs(shapes, config, tuple(shapes.linear_layers())) * wide.compute
        if config.quantization == "int8"
        else 0,
        "weight copies": _weight_copies(shapes, config) * wide.compute if config.precision.endswith("-mixed") else 0,
    }
    return {name: float(size) for name, size in kept.items()}


def _norms(shapes: LlmShapes, config: PlanConfig, wide: Widths) -> float:
    """Bytes a token of all norms of one block."""
    kept = shapes.norms * norm_activations(shapes, config, wide)
    if shapes.head_norms:
        heads = shapes.heads + shapes.kv_heads
        own = wide.compute if lean_norms(shapes, config) else FP32
        kept += own * (shapes.attention_dim + shapes.kv_dim) + FP32 * heads
    return kept


PLAIN_COPIES = {"relu": 1, "gelu": 1, "gelu_new": 4}
"""Tensors of the MLP's width that a plain MLP's activation keeps."""


def _mlp(shapes: LlmShapes, compute: int) -> float:
    """Bytes a token of the MLP, or of the experts that a token goes through: their inputs are copies, one an expert."""
    copies = 3 if shapes.mlp == "gated" else PLAIN_COPIES[shapes.activation]
    routing = FP32 * 4 * (shapes.routed + shapes.chosen)
    return compute * (copies * shapes.mlp_dim + shapes.chosen * shapes.hidden_dim) + routing


def norm_activations(shapes: LlmShapes, config: PlanConfig, wide: Widths) -> float:
    """Bytes a token that one norm keeps."""
    if shapes.norm == "rms":
        return (wide.stream if lean_norms(shapes, config) else FP32) * shapes.hidden_dim + FP32
    return wide.stream * shapes.hidden_dim + 2 * FP32


def lean_norms(shapes: LlmShapes, config: PlanConfig) -> bool:
    """Whether RMS norms keep their input as it came: with this program's own experts come its own norms."""
    return config.lora_saves == "input" and shapes.usual_norms


def keeps_stream(shapes: LlmShapes, config: PlanConfig, wide: Widths) -> bool:
    """Whether a norm keeps its input as it came, and not a copy in fp32."""
    return shapes.norm == "layer" or wide.stream == FP32 or lean_norms(shapes, config)


def checkpoint_bytes(shapes: LlmShapes, config: PlanConfig) -> float:
    """Bytes kept of one block under checkpointing: its input."""
    return float(config.prompts * config.tokens * shapes.hidden_dim * widths(config).stream)


def stream_mask(config: PlanConfig) -> float:
    """Bytes of the mask that all blocks share where windows slide; 0 elsewhere."""
    if config.windows != "sliding":
        return 0.0
    return config.prompts * config.tokens * config.attended * widths(config).compute


def backward_transient(shapes: LlmShapes, config: PlanConfig) -> float:
    """Bytes of gradients that stand beside all that is kept, at the worst moment of the backward pass.

    It comes in the last block, of which nothing has been let go yet. A gated MLP's product gives gradients of both its
    factors while its own is still there: 3 c I a token; a plain one's relu, 2 c I. Beside them stands the stream's
    gradient, and its copy in c for the linear layer.
    """
    tokens, wide = config.prompts * config.tokens, widths(config)
    copies = 3 if shapes.mlp == "gated" else 2
    hidden = shapes.hidden_dim * (wide.stream + (wide.compute if wide.compute != wide.stream else 0))
    return float(tokens * (copies * wide.compute * shapes.mlp_dim + hidden))


def dequantised_weight(shapes: LlmShapes, config: PlanConfig) -> float:
    """Bytes of the one weight that a quantised layer unpacks for its backward pass, the largest of a block."""
    if config.quantization == "none":
        return 0.0
    return float(max(wide * out for wide, out in shapes.linear_layers().values()) * 2)


def _attention(shapes: LlmShapes, config: PlanConfig, compute: int) -> float:
    queries, keys = shapes.attention_dim, shapes.kv_dim
    match config.attention:
        case "sdpa" | "flash_attention_2":
            if config.windows == "sliding":
                padded, copies = config.padded_queries, config.attended / STREAM_BLOCK
                return padded * (compute * 2 * queries + FP32 * shapes.heads) + compute * 2 * keys * copies
            return compute * (2 * queries + 2 * keys) + FP32 * shapes.heads
        case "eager":
            copy = compute if compute < FP32 else 0
            caps = compute if shapes.capped else 0
            return compute * 3 * queries + shapes.heads * config.tokens * (FP32 + copy + caps)
        case _:
            assert_never(config.attention)


def _experts(shapes: LlmShapes, config: PlanConfig, wide: Widths) -> float:
    """Bytes a token of all experts of one block, as `teacher.gated_lora` keeps them."""
    layers, inputs, names = shapes.linear_layers(), shapes.layer_inputs(), config.adapter_layers
    masks = MASK * sum(layers[name][0] for name in names) if config.dropout else 0
    narrowed = tuple(name for name in names if wide.stream > wide.compute and inputs[name] in NORMED)
    own = sum(layers[name][0] for name in narrowed)
    if config.quantization != "int8":  # whose layers keep the same tensors
        own += _lone_inputs(shapes, config, tuple(name for name in names if name not in narrowed))
    return masks + wide.compute * own + wide.adapter * config.rank * len(names)


def _copying_adapters(shapes: LlmShapes, config: PlanConfig, wide: Widths) -> float:
    """Bytes a token of all adapters of one block, of PEFT's kind: each layer has a copy of its input."""
    layers, names = shapes.linear_layers(), config.adapter_layers
    copied = bool(config.dropout) or wide.compute < FP32
    total = 0.0 if copied else float(wide.compute * _lone_inputs(shapes, config, names))
    for name in names:
        width, out = layers[name]
        total += wide.adapter * width if copied else 0
        total += mask_width(config, FP32) * width if config.dropout else 0
        total += wide.adapter * config.rank * (2 if config.gate and config.expert_form == "fused" else 1)
        total += wide.compute * config.experts * out if config.expert_form == "per_expert" else 0
    return total


def _weight_copies(shapes: LlmShapes, config: PlanConfig) -> int:
    """Weights of one block of which a copy is kept, those of copying adapters included."""
    layers = shapes.linear_layers()
    adapters = sum(config.rank * sum(layers[name]) for name in config.adapter_layers)
    return (
        shapes.linear_parameters() + shapes.expert_parameters() + (adapters if config.lora_saves == "fp32_copy" else 0)
    )


def _lone_inputs(shapes: LlmShapes, config: PlanConfig, names: tuple[str, ...]) -> int:
    """Widths, added up, of the distinct tensors that these layers read and that nothing else keeps."""
    inputs, layers = shapes.layer_inputs(), shapes.linear_layers()
    elsewhere = {"attended"} if config.attention != "eager" else set()
    elsewhere |= {"product"} if shapes.mlp == "plain" and shapes.activation == "relu" else set()
    return sum({inputs[name]: layers[name][0] for name in names if inputs[name] not in elsewhere}.values())
