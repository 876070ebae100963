"""Tiny randomly initialised models of transformers' kinds, made from its own configuration classes.

A configuration gets whichever of `SIZES` it knows, and what `EXTRA` says for its kind. Windows are shorter than
prompts, and hybrids have blocks of each kind among their first four, so that both matter.
"""

from pathlib import Path
from typing import Any

from recdistill.language_models.libraries import MODEL_ERRORS

CANNOT = (*MODEL_ERRORS, ImportError)
"""What transformers' classes raise over such sizes."""
VOCABULARY = 257
SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "n_embed", "embed_dim", "lru_width"), 64),
    **dict.fromkeys(("word_embed_proj_dim", "embedding_size"), 64),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size"), 128),
    **dict.fromkeys(("intermediate_size_mlp", "decoder_ffn_dim", "encoder_ffn_dim", "mamba_d_ssm"), 128),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 32),
    **dict.fromkeys(("shared_intermediate_size", "moe_shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads", "linear_num_value_heads"), 4),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_key_value_heads", "linear_num_key_heads", "index_n_heads"), 2),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts", "num_experts_per_token"), 2),
    **dict.fromkeys(("head_dim", "global_head_dim", "v_head_dim", "qk_nope_head_dim", "index_head_dim"), 16),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "linear_key_head_dim", "linear_value_head_dim"), 16),
    **dict.fromkeys(("hidden_size_per_layer_input", "query_pre_attn_scalar", "mamba_d_head", "mamba_head_dim"), 16),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "laurel_rank", "qk_rope_head_dim", "time_step_rank"), 8),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size", "mamba_dt_rank", "mamba_headdim"), 8),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "moe_num_shared_experts", "n_groups"), 1),
    **dict.fromkeys(("mamba_n_groups", "mamba_ngroups", "first_k_dense_replace"), 1),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "index_topk"), 512),
    **dict.fromkeys(("sliding_window", "attention_window_size", "attention_chunk_size", "window_size"), 16),
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "num_kv_shared_layers"), 0),
    **dict.fromkeys(("image_size",), 32),
    **dict.fromkeys(("patch_size",), 16),
    "depth": 2,
    "initializer_range": 0.1,
    "init_std": 0.1,
}
LATENT = {"num_key_value_heads": 4}  # latent attention has as many heads of keys as of queries
HALF_LINEAR = ["linear_attention", "full_attention"] * 2
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
EXTRA: dict[str, dict[str, Any]] = {
    "axk1": LATENT,
    "bamba": {"attn_layer_indices": [1, 3]},
    "axk2": LATENT,
    "codegen": {"rotary_dim": 8},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "glm_moe_dsa": LATENT,
    "gptj": {"rotary_dim": 8},
    "glm4_moe_lite": LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 0},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "longcat_flash": LATENT,
    "minicpm3": LATENT,
    "olmo_hybrid": {"layer_types": HALF_LINEAR, "num_key_value_heads": 4},
    "qwen2_5_vl_text": {"rope_parameters": MROPE},
    "qwen2_vl_text": {"rope_parameters": MROPE},
    "qwen3_5_moe_text": {"layer_types": HALF_LINEAR},
    "qwen3_5_text": {"layer_types": HALF_LINEAR},
    "qwen3_next": {"layer_types": HALF_LINEAR},
    "youtu": LATENT,
    "zamba2": {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"], "num_key_value_heads": 4},
    "zaya": {"num_experts_per_tok": 1},
}
"""What a kind needs beside its sizes."""
LARGEST = 12_000_000
"""Parameters of a model that is still tiny."""


class NotTinyError(Exception):
    """A kind cannot be made tiny this way; says why."""


def tiny_config(kind: str, **more: Any) -> Any:
    """A tiny configuration of a kind (`model_type`), its parts tiny too.

    Raises:
        NotTinyError: its class refuses such sizes.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        return _tiny(CONFIG_MAPPING[kind], kind, more)
    except CANNOT as error:
        raise NotTinyError(_last_line(error)) from error


def _tiny(config_class: Any, kind: str, more: dict[str, Any]) -> Any:
    known = {name for parent in config_class.__mro__ for name in getattr(parent, "__annotations__", {})}
    values = {name: value for name, value in SIZES.items() if name in known} | EXTRA.get(kind, {}) | more
    for name, part in (getattr(config_class, "sub_configs", None) or {}).items():
        if name not in values and part.__name__ != "AutoConfig":
            values[name] = _tiny(part, part.model_type, {}).to_dict()
        elif name not in values:
            values[name] = tiny_config("clip_vision_model" if "vision" in name else "llama").to_dict()
    return config_class(**values)


def tiny_model(kind: str, folder: Path, **more: Any) -> Path:
    """Write a tiny model and a tokenizer of bytes to `folder`.

    Raises:
        NotTinyError: it cannot be made, or has more than :data:`LARGEST` parameters.
    """
    import torch
    from transformers import AutoModel

    config = tiny_config(kind, **more)
    try:
        with torch.device("meta"):
            size = sum(one.numel() for one in AutoModel.from_config(config).parameters())
        if size > LARGEST:
            raise NotTinyError(f"{size:,} parameters at least")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            AutoModel.from_config(config).save_pretrained(folder)
    except CANNOT as error:
        raise NotTinyError(_last_line(error)) from error
    byte_tokenizer().save_pretrained(folder)
    return folder


def byte_tokenizer() -> Any:
    """One token a byte, and padding, which is 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0} | {character: index + 1 for index, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<pad>")


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:160]
