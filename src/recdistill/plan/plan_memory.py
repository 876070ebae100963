"""Peak memory of a training step and of the export, part by part, on paper. Bytes throughout.

What is held all the time: frozen weights, trained weights and their gradients, AdamW's two moments. What a step adds:
the activations kept for the backward pass (`activations`), and at its worst moment either the head's scores, at the end
of the forward pass, or the gradients inside the last block, at the beginning of the backward pass. The two never meet.
"""

from typing import assert_never

from recdistill.plan.activations import (
    FP32,
    backward_transient,
    block_activations,
    checkpoint_bytes,
    dequantised_weight,
    keeps_stream,
    norm_activations,
    stream_mask,
    widths,
)
from recdistill.plan.flops import adapter_parameters
from recdistill.plan.llm_shapes import LlmShapes
from recdistill.plan.plan_config import PlanConfig

CHUNK_SCORES = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Scores that the cross-entropy holds at once (`students.losses.CHUNK_SCORES`)."""
NF4_BLOCK, NF4_OUTER_BLOCK = 64, 256
"""Weights that share one constant, and constants that share one of their own with double quantisation."""
CPU_BASELINE = int(0.49 * 1024**3)
"""Resident set of a process that has imported torch, transformers and PEFT, before any model: not arithmetic but a
measurement, with torch 2.13 and transformers 5.23 on x86-64 Linux (benchmarks/plan_cpu.py prints it)."""


def bits_per_weight(config: PlanConfig, width: int) -> float:
    """Bits of one weight of a linear layer in the blocks, `width` being the layer's width in.

    nf4: 4 bits and an fp32 constant for 64 weights, 4.5 in all; with double quantisation the constant takes 8 bits and
    a 256th of another fp32, 4.127 in all. int8: 8 bits and an fp32 constant a row.
    """
    if config.quantization == "none":
        return 8.0 * widths(config).weights
    if config.quantization == "int8":
        return 8.0 + 32.0 / width
    if config.quantization != "nf4":
        assert_never(config.quantization)
    if config.double_quantization:
        return 4.0 + 8.0 / NF4_BLOCK + 32.0 / (NF4_BLOCK * NF4_OUTER_BLOCK)
    return 4.0 + 32.0 / NF4_BLOCK


def weight_bytes(shapes: LlmShapes, config: PlanConfig) -> float:
    """The frozen language model."""
    layers = shapes.linear_layers().values()
    linear = shapes.layers * sum(wide * out * bits_per_weight(config, wide) / 8 for wide, out in layers)
    rest = shapes.layers * shapes.other_block_parameters() + shapes.embedding_parameters()
    if config.vocabulary_head:
        rest += shapes.head_parameters()
    return linear + rest * widths(config).weights


def head_parameters(shapes: LlmShapes, config: PlanConfig) -> int:
    """Trained weights beside the experts: head (learned vectors, projections), router, soft tokens' projections."""
    hidden, student, title, width = shapes.hidden_dim, config.embedding_dim, config.title_dim, config.head_dim
    head = (config.items + 1) * width + title * width + hidden * width + width + 2 * hidden
    router = (student + 1) * config.experts if config.gate else 0
    soft = student * hidden + hidden + hidden * hidden + hidden + title * hidden if config.soft_tokens else 0
    return head + router + soft


def soft_token_activations(shapes: LlmShapes, config: PlanConfig) -> float:
    """What the projections from items to tokens keep, for prompts of soft tokens alone; with words in them it is less.

    fp32: both projections' inputs D and W, GELU's input and output, the RMS norm's input and output, 1/rms; one byte of
    mask.
    """
    if not config.soft_tokens:
        return 0.0
    tokens = config.prompts * config.tokens
    numbers = config.embedding_dim + config.title_dim + 4 * shapes.hidden_dim + 1
    return float(tokens * (numbers * FP32 + 1))


def head_kept(shapes: LlmShapes, config: PlanConfig) -> float:
    """What the head keeps: each prediction's state (norm's input and output, user state), and the loss's gradients."""
    state = config.state_dim
    predictions = config.prompts * config.targets_per_prompt
    vectors = 2 * (config.items + 1) * state  # item vectors and their gradient
    return float(FP32 * (predictions * (2 * shapes.hidden_dim + 2 * state) + vectors))


def head_transient(shapes: LlmShapes, config: PlanConfig) -> float:
    """Scores at the end of the forward pass: two copies of a chunk; or the vocabulary's, of all tokens, kept till then.

    Under mixed precision the vocabulary head's weight is copied to half precision for its use.
    """
    predictions = config.prompts * config.targets_per_prompt
    chunk = min(predictions * config.items, max(CHUNK_SCORES[config.device], config.items))
    scores = 2 * FP32 * chunk
    if not config.vocabulary_head:
        return float(scores)
    wide = widths(config)
    copy = shapes.vocabulary * shapes.hidden_dim * wide.compute if config.precision.endswith("-mixed") else 0
    return float(scores + config.prompts * config.tokens * shapes.vocabulary * wide.compute + copy)


def memory_parts(shapes: LlmShapes, config: PlanConfig) -> dict[str, float]:
    """Peak memory of a training step by part, in bytes; the sum is the peak."""
    experts = adapter_parameters(shapes, config.adapter_layers, config.rank)
    others = head_parameters(shapes, config)
    block = sum(block_activations(shapes, config).values())
    tokens = config.prompts * config.tokens
    last = tokens * norm_activations(shapes, config, widths(config))
    way_back = backward_transient(shapes, config) + dequantised_weight(shapes, config)
    if config.gradient_checkpointing:
        activations = shapes.layers * checkpoint_bytes(shapes, config) + last
        # When the last block is run again, the norm behind it has been let go; and where its own first norm keeps its
        # input as it came, that is the checkpoint itself.
        shared = checkpoint_bytes(shapes, config) if keeps_stream(shapes, config, widths(config)) else 0.0
        way_back += block - shared - last
    else:
        activations = shapes.layers * block + last
    buffers = (config.items + 1) * (config.embedding_dim + config.title_dim) * (2 if config.soft_tokens else 1)
    return {
        "weights": weight_bytes(shapes, config),
        "adapters": 2.0 * FP32 * experts,
        "head": FP32 * (2.0 * others + buffers) + head_kept(shapes, config),
        "optimiser": 2.0 * FP32 * (experts + others),
        "activations": activations + soft_token_activations(shapes, config) + stream_mask(config),
        "transient": max(head_transient(shapes, config), way_back),
        "process": float(CPU_BASELINE) if config.device == "cpu" else 0.0,
    }


def export_bytes(shapes: LlmShapes, config: PlanConfig) -> float:
    """Peak memory of the export, in bytes: weights, one block's tensors going forward, all scores, the best K.

    Without gradients a block holds at once the stream, its norm, and three tensors of the MLP's width. The scores of a
    batch are fp32 (M, N + 1), and twice that while the best are picked; states and lists are small beside them.
    """
    wide = widths(config)
    tokens = config.export_prompts * config.tokens
    predictions = config.export_prompts * config.targets_per_prompt
    trained = adapter_parameters(shapes, config.adapter_layers, config.rank) + head_parameters(shapes, config)
    buffers = (config.items + 1) * (config.embedding_dim + config.title_dim)
    block = tokens * (shapes.hidden_dim * (wide.stream + 2 * FP32) + 3 * shapes.mlp_dim * wide.compute)
    if config.attention == "eager":
        block = max(block, tokens * (shapes.hidden_dim * wide.stream + shapes.heads * config.tokens * 2 * FP32))
    state = config.state_dim
    scores = predictions * (2 * FP32 * (config.items + 1) + FP32 * state + config.top_k * (8 + FP32))
    process = float(CPU_BASELINE) if config.device == "cpu" else 0.0
    return weight_bytes(shapes, config) + FP32 * (trained + buffers) + max(block, scores) + process
