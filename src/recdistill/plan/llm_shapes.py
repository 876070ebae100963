"""The shapes of a language model, without its weights: what plans of memory and FLOPs are worked out from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from recdistill.errors import UserError


@dataclass(frozen=True)
class LlmShapes:
    """A decoder's shapes: those of Llama's kind (RMS norms, gated MLP, rotary positions), and those of OPT's."""

    hidden_dim: int
    """Width H of the residual stream."""
    intermediate_dim: int
    """Width I inside the MLP."""
    layers: int
    """Decoder blocks."""
    heads: int
    """Attention heads."""
    kv_heads: int
    """Heads of keys and values; fewer than `heads` with grouped queries."""
    head_dim: int
    """Width of one head."""
    vocabulary: int
    """Rows of the token embedding."""
    tied: bool = False
    """The vocabulary head shares the token embedding's weights."""
    mlp: Literal["gated", "plain"] = "gated"
    """gated: down(silu(gate(x)) · up(x)). plain: fc2(relu(fc1(x)))."""
    norm: Literal["rms", "layer"] = "rms"
    """rms: a weight, and the input widened to fp32. layer: weight and bias."""
    qkv_bias: bool = False
    """q, k and v have biases."""
    linear_bias: bool = False
    """The other linear layers of a block have biases."""
    positions: int = 0
    """Rows of a learned position embedding; 0: rotary."""
    dropout: float = 0.0
    """The model's own dropout on the outputs of attention and MLP; training mode turns it on, weights frozen or not."""

    @property
    def attention_dim(self) -> int:
        """Width of all queries side by side."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all keys (or values) side by side."""
        return self.kv_heads * self.head_dim

    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """The linear layers of a block, by transformers' names: (width in, width out)."""
        hidden, inner, attention = self.hidden_dim, self.intermediate_dim, self.attention_dim
        layers = {"q_proj": (hidden, attention), "k_proj": (hidden, self.kv_dim), "v_proj": (hidden, self.kv_dim)}
        if self.mlp == "gated":
            layers |= {"o_proj": (attention, hidden), "gate_proj": (hidden, inner), "up_proj": (hidden, inner)}
            return layers | {"down_proj": (inner, hidden)}
        return layers | {"out_proj": (attention, hidden), "fc1": (hidden, inner), "fc2": (inner, hidden)}

    def layer_inputs(self) -> dict[str, str]:
        """The tensor that each linear layer reads, named; layers with the same name read the same tensor."""
        read = dict.fromkeys(("q_proj", "k_proj", "v_proj"), "attention_norm")
        read |= {"o_proj": "attended", "out_proj": "attended", "down_proj": "product", "fc2": "product"}
        return read | dict.fromkeys(("gate_proj", "up_proj", "fc1"), "mlp_norm")

    def linear_parameters(self) -> int:
        """Weights of one block's linear layers, biases left out: what a quantiser packs."""
        return sum(wide * out for wide, out in self.linear_layers().values())

    def other_block_parameters(self) -> int:
        """One block's norms and biases."""
        norms = 2 * self.hidden_dim * (2 if self.norm == "layer" else 1)
        outs = {name: out for name, (_, out) in self.linear_layers().items()}
        qkv = sum(outs.pop(name) for name in ("q_proj", "k_proj", "v_proj"))
        return norms + qkv * self.qkv_bias + sum(outs.values()) * self.linear_bias

    def embedding_parameters(self) -> int:
        """Token and position embeddings, and the last norm."""
        last_norm = self.hidden_dim * (2 if self.norm == "layer" else 1)
        return (self.vocabulary + self.positions) * self.hidden_dim + last_norm

    def head_parameters(self) -> int:
        """The vocabulary head's own weights: none where it shares the embedding's."""
        return 0 if self.tied else self.vocabulary * self.hidden_dim

    def parameters(self, vocabulary_head: bool = True) -> int:
        """All parameters, with or without the vocabulary head's own."""
        blocks = self.layers * (self.linear_parameters() + self.other_block_parameters())
        return blocks + self.embedding_parameters() + (self.head_parameters() if vocabulary_head else 0)


PRESETS = {
    "smollm2": LlmShapes(576, 1536, 30, 9, 3, 64, 49152, tied=True),
    "llama2-7b": LlmShapes(4096, 11008, 32, 32, 32, 128, 32000),
    "llama2-13b": LlmShapes(5120, 13824, 40, 40, 40, 128, 32000),
    "llama3-8b": LlmShapes(4096, 14336, 32, 32, 8, 128, 128256),
    "mistral-7b": LlmShapes(4096, 14336, 32, 32, 8, 128, 32000),
    "qwen2.5-7b": LlmShapes(3584, 18944, 28, 28, 4, 128, 152064, qkv_bias=True),
    "opt-125m": LlmShapes(
        768,
        3072,
        12,
        12,
        12,
        64,
        50272,
        tied=True,
        mlp="plain",
        norm="layer",
        qkv_bias=True,
        linear_bias=True,
        positions=2050,
        dropout=0.1,
    ),
}
"""SmolLM2-135M, Llama-2 7B and 13B, Llama-3 8B, Mistral-7B v0.1, Qwen2.5-7B, OPT-125m."""
LLAMA_LIKE = ("llama", "mistral", "qwen2")


def llm_shapes(llm: str, layers: int | None = None) -> LlmShapes:
    """Shapes of a preset, of a folder's `config.json`, or of a model on the hub; weights are never read.

    Args:
        llm: a name in `PRESETS`, a folder, or a hub name.
        layers: keep the first n blocks; None keeps all.

    Raises:
        UserError: no such preset, folder or hub name; a kind of model whose shapes are not known; too few blocks.
    """
    shapes = PRESETS[llm] if llm in PRESETS else shapes_from_config(_config(llm), llm)
    if layers is None:
        return shapes
    if not 0 < layers <= shapes.layers:
        raise UserError(f"plan.layers: {layers} is out of range; {llm} has {shapes.layers} blocks")
    return replace(shapes, layers=layers)


def shapes_from_config(config: Any, llm: str) -> LlmShapes:
    """Shapes out of a transformers configuration.

    Raises:
        UserError: a kind of model whose shapes are not known here.
    """
    kind = config.model_type
    if kind == "opt" and config.do_layer_norm_before and config.word_embed_proj_dim == config.hidden_size:
        heads, hidden = config.num_attention_heads, config.hidden_size
        return LlmShapes(
            hidden,
            config.ffn_dim,
            config.num_hidden_layers,
            heads,
            heads,
            hidden // heads,
            config.vocab_size,
            config.tie_word_embeddings,
            "plain",
            "layer",
            config.enable_bias,
            config.enable_bias,
            config.max_position_embeddings + 2,
            config.dropout,
        )
    if kind not in LLAMA_LIKE:
        known = ", ".join((*LLAMA_LIKE, "opt"))
        raise UserError(f"plan.llm: {llm} is a {kind} model, whose shapes are not known here; known are {known}")
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    bias = bool(getattr(config, "attention_bias", False))
    if bias or getattr(config, "mlp_bias", False):
        raise UserError(f"plan.llm: {llm} has biases in places that are not known here")
    return LlmShapes(
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
        heads,
        config.num_key_value_heads,
        head_dim,
        config.vocab_size,
        config.tie_word_embeddings,
        qkv_bias=kind == "qwen2",
    )


def _config(llm: str) -> Any:
    """Read a model's configuration from its folder or from the hub."""
    presets = ", ".join(PRESETS)
    if not Path(llm).is_dir() and "/" not in llm:
        raise UserError(f"plan.llm: no preset and no folder {llm!r}; presets are {presets}")
    if not (Path(llm) / "config.json").is_file():
        if Path(llm).is_dir():
            raise UserError(f"plan.llm: {llm} is a folder without config.json, so not a transformers model")
        if llm.startswith((".", "/", "~")) or llm.count("/") > 1:
            raise UserError(f"plan.llm: {llm}: no such folder; presets are {presets}")
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(llm, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"plan.llm: {llm}: {reason}") from error
