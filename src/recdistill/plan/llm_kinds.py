"""Which shapes transformers' configurations describe: one function a family of language models."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recdistill.errors import UserError
from recdistill.plan.llm_shapes import LlmShapes


def shapes_from_config(config: Any, llm: str) -> LlmShapes:
    """Shapes out of a transformers configuration; of a model that reads images too, those of its text decoder.

    Raises:
        UserError: a kind of model whose shapes are not known here.
    """
    config = config.get_text_config(decoder=True)
    if config.model_type not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise UserError(
            f"plan.llm: {llm} is a {config.model_type} model, whose shapes are not known here; known are {known}"
        )
    shapes = KINDS[config.model_type](config)
    if shapes is None:
        raise UserError(f"plan.llm: {llm} has biases, norms or blocks in places that are not known here")
    return shapes


def _llama(config: Any) -> LlmShapes | None:
    """RMS norms, gated MLP, no biases (Qwen2: on q, k and v)."""
    heads = config.num_attention_heads
    if getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False):
        return None
    return LlmShapes(
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
        heads,
        config.num_key_value_heads,
        getattr(config, "head_dim", None) or config.hidden_size // heads,
        config.vocab_size,
        config.tie_word_embeddings,
        qkv_bias=config.model_type == "qwen2",
        head_norms=config.model_type in ("qwen3", "qwen3_moe", "gemma3_text"),
        usual_norms=not config.model_type.startswith("gemma"),
        capped=bool(getattr(config, "attn_logit_softcapping", None)),
        norms=4 if config.model_type in ("gemma2", "gemma3_text") else 2,
    )


def _mixture(config: Any) -> LlmShapes | None:
    """Llama's kind with a mixture of experts in every block."""
    shapes = _llama(config)
    if shapes is None or getattr(config, "mlp_only_layers", None) or getattr(config, "decoder_sparse_step", 1) != 1:
        return None
    inner = getattr(config, "moe_intermediate_size", None) or config.intermediate_size
    return replace(shapes, intermediate_dim=inner, routed=config.num_local_experts, chosen=config.num_experts_per_tok)


def _opt(config: Any) -> LlmShapes | None:
    if not config.do_layer_norm_before or config.word_embed_proj_dim != config.hidden_size:
        return None
    return replace(
        _plain(config, config.ffn_dim),
        qkv_bias=config.enable_bias,
        linear_bias=config.enable_bias,
        positions=config.max_position_embeddings + 2,
        dropout=config.dropout,
        activation="relu",
    )


def _phi(config: Any) -> LlmShapes | None:
    if config.qk_layernorm:
        return None
    shapes = replace(_plain(config, config.intermediate_size), names="phi", norms=1, head_bias=True)
    return replace(shapes, kv_heads=config.num_key_value_heads or shapes.heads, dropout=config.resid_pdrop)


def _gpt2(config: Any) -> LlmShapes | None:
    if config.add_cross_attention:
        return None
    inner = config.n_inner or 4 * config.hidden_size
    shapes = replace(_plain(config, inner), names="gpt2", positions=config.max_position_embeddings)
    return replace(shapes, dropout=config.resid_pdrop)


def _gpt_neox(config: Any) -> LlmShapes | None:
    shapes = replace(_plain(config, config.intermediate_size), names="gpt_neox", dropout=config.hidden_dropout)
    return replace(shapes, qkv_bias=config.attention_bias)


def _plain(config: Any, inner: int) -> LlmShapes:
    """Layer norms, a plain MLP, biases everywhere."""
    heads, hidden = config.num_attention_heads, config.hidden_size
    kind = getattr(config, "hidden_act", None) or getattr(config, "activation_function", "relu")
    return LlmShapes(
        hidden,
        inner,
        config.num_hidden_layers,
        heads,
        heads,
        hidden // heads,
        config.vocab_size,
        config.tie_word_embeddings,
        mlp="plain",
        norm="layer",
        qkv_bias=True,
        linear_bias=True,
        activation=kind if kind in ("relu", "gelu_new") else "gelu",
    )


KINDS: dict[str, Callable[[Any], LlmShapes | None]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _llama),
    **dict.fromkeys(("mixtral", "qwen3_moe"), _mixture),
    "opt": _opt,
    "phi": _phi,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
}
"""Kind of model (`model_type`) → its shapes, None where they are not known."""
