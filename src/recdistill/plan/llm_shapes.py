"""The shapes of a language model, without its weights: what plans of memory and FLOPs are worked out from."""

from dataclasses import dataclass
from typing import Literal

QKV = ("q_proj", "k_proj", "v_proj")
NAMES = {
    "llama": ("", "o_proj", "", ""),
    "opt": ("", "out_proj", "fc1", "fc2"),
    "phi": ("", "dense", "fc1", "fc2"),
    "gpt2": ("c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"),
    "gpt_neox": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
}
"""Names of linear layers: q, k and v in one (none: apart), attention's last, a plain MLP's two."""


@dataclass(frozen=True)
class LlmShapes:
    """A decoder's shapes: Llama's kind (RMS norms, gated MLP, rotary positions), OPT's and GPT-2's, mixtures."""

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
    """gated: down(act(gate(x)) · up(x)). plain: fc2(act(fc1(x)))."""
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
    names: Literal["auto", "llama", "opt", "phi", "gpt2", "gpt_neox"] = "auto"
    """Whose names the linear layers of a block have. auto: Llama's with a gated MLP, OPT's with a plain one."""
    activation: Literal["relu", "gelu", "gelu_new"] = "relu"
    """plain: relu keeps its output, gelu its input, gelu_new (written with single operations) four tensors."""
    norms: int = 2
    """Norms over the whole stream in a block."""
    usual_norms: bool = True
    """RMS norms are Llama's; Gemma's add 1 to the weight, and keep their input in fp32."""
    capped: bool = False
    """Attention's scores pass a tanh (Gemma 2)."""
    head_norms: bool = False
    """Queries and keys are normalised in each head."""
    routed: int = 0
    """Experts of a mixture in each block, in place of one MLP; 0: no mixture."""
    chosen: int = 0
    """Experts that a token goes through."""
    head_bias: bool = False
    """The vocabulary head has a bias."""

    @property
    def attention_dim(self) -> int:
        """Width of all queries side by side."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all keys (or values) side by side."""
        return self.kv_heads * self.head_dim

    @property
    def _names(self) -> tuple[str, str, str, str]:
        if self.names == "auto":
            return NAMES["llama" if self.mlp == "gated" else "opt"]
        return NAMES[self.names]

    @property
    def mlp_dim(self) -> int:
        """Width inside all MLPs that a token goes through."""
        return self.intermediate_dim * max(1, self.chosen)

    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """The linear layers of a block, by transformers' names: (width in, width out).

        Where a block has two of one name, the name of what they stand in is in front. A mixture's experts are no linear
        layers: each of their matrices is one tensor for all experts.
        """
        hidden, inner, attention = self.hidden_dim, self.intermediate_dim, self.attention_dim
        fused, out, first, second = self._names
        if fused:
            layers = {fused: (hidden, attention + 2 * self.kv_dim)}
        else:
            layers = {"q_proj": (hidden, attention), "k_proj": (hidden, self.kv_dim), "v_proj": (hidden, self.kv_dim)}
        layers[out] = (attention, hidden)
        if self.routed:
            return layers
        if self.mlp == "gated":
            return layers | {"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)}
        return layers | {first: (hidden, inner), second: (inner, hidden)}

    def layer_inputs(self) -> dict[str, str]:
        """The tensor that each linear layer reads, named; layers with the same name read the same tensor."""
        fused, out, first, second = self._names
        norm = "mlp_norm" if self.norms > 1 else "attention_norm"
        read = dict.fromkeys((fused,) if fused else QKV, "attention_norm") | {out: "attended"}
        if self.mlp == "gated":
            return read | {"gate_proj": norm, "up_proj": norm, "down_proj": "product"}
        return read | {first: norm, second: "product"}

    def full_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Adapters' layers as :meth:`linear_layers` names them; one name may stand for two layers of a block."""
        return tuple(full for name in names for full in self._called(name) or (name,))

    def _called(self, name: str) -> tuple[str, ...]:
        return tuple(full for full in self.linear_layers() if full.rpartition(".")[2] == name)

    def linear_parameters(self) -> int:
        """Weights of one block's linear layers, biases left out: what a quantiser packs."""
        return sum(wide * out for wide, out in self.linear_layers().values())

    def used_parameters(self) -> int:
        """Weights of one block that a token is multiplied with: linear layers, and the experts it goes through."""
        router = self.routed * self.hidden_dim
        return self.linear_parameters() + router + self.chosen * 3 * self.hidden_dim * self.intermediate_dim

    def expert_parameters(self) -> int:
        """Weights of one block's mixture, router and all experts: what no quantiser of linear layers packs."""
        return self.routed * (self.hidden_dim + 3 * self.hidden_dim * self.intermediate_dim)

    def other_block_parameters(self) -> int:
        """One block's norms, biases and mixture."""
        norms = self.norms * self.hidden_dim * (2 if self.norm == "layer" else 1)
        norms += 2 * self.head_dim * self.head_norms
        outs = {name: out for name, (_, out) in self.linear_layers().items()}
        qkv = sum(outs.pop(name) for name in (*QKV, self._names[0]) if name in outs)
        return norms + qkv * self.qkv_bias + sum(outs.values()) * self.linear_bias + self.expert_parameters()

    def embedding_parameters(self) -> int:
        """Token and position embeddings, and the last norm."""
        last_norm = self.hidden_dim * (2 if self.norm == "layer" else 1)
        return (self.vocabulary + self.positions) * self.hidden_dim + last_norm

    def head_parameters(self) -> int:
        """The vocabulary head's own weights: none where it shares the embedding's."""
        return self.vocabulary * self.head_bias + (0 if self.tied else self.vocabulary * self.hidden_dim)

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
