"""What a plan is asked: a language model, a batch, and the conditions that decide what it costs."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from recdistill.config import ExportConfig, Precision, Quantization, StudentConfig, TeacherConfig, require
from recdistill.config.rules import (
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_SHARE,
    check_ranges,
    like,
    setting,
)
from recdistill.errors import UserError


class Card(NamedTuple):
    """A graphics card: memory that PyTorch sees, in GiB, and dense peaks in TFLOP/s; 0 where it lacks the type."""

    memory_gib: float
    fp32: float
    fp16: float
    bf16: float


CARDS = {
    "t4": Card(14.5, 8.1, 65.0, 0.0),
    "v100-16": Card(15.7, 15.7, 125.0, 0.0),
    "v100-32": Card(31.7, 15.7, 125.0, 0.0),
    "l4": Card(22.0, 30.3, 121.0, 121.0),
    "rtx4090": Card(23.5, 82.6, 165.2, 165.2),
    "a100-40": Card(39.4, 19.5, 312.0, 312.0),
    "a100-80": Card(79.2, 19.5, 312.0, 312.0),
    "h100-80": Card(79.1, 66.9, 989.4, 989.4),
}
"""Peaks: the vendor's data sheets (V100, A100 and H100 in their SXM form), without sparsity; fp32 is full fp32, which
is what torch does unless told otherwise. Memory: the total that torch reports, which differs a little by driver,
rounded down."""


STREAM_BLOCK = 64
"""Queries that share their keys where attention slides; that of :mod:`recdistill.language_models.sliding`."""

TEACHER = TeacherConfig()
"""Whose defaults and ranges a plan takes over."""


@dataclass(frozen=True)
class PlanConfig:
    """A training step and the export of a teacher on a GPU you don't have; names as in a run's settings."""

    llm: str = "smollm2"
    """A preset (smollm2, llama2-7b, llama2-13b, llama3-8b, mistral-7b, qwen2.5-7b, opt-125m), a folder with a
    config.json, or a hub name. No weights are read."""
    layers: int | None = like(TEACHER, "layers", None)
    """Keep the first n decoder blocks. null: all."""
    batch_size: int = like(TEACHER.train, "batch_size")
    """Prompts in one micro-batch."""
    tokens: int = setting(128, POSITIVE)
    """Tokens of a prompt, padding included; with windows sliding those of a sequence, on average."""
    targets_per_prompt: int = setting(1, POSITIVE)
    """Predictions a prompt makes: 1 with targets last, the items of the window with targets every, those of a sequence
    with windows sliding."""
    windows: Literal["last", "all", "sliding"] = like(TEACHER, "windows")
    """As `teacher.windows`. sliding: a prompt is a sequence of the mean length, in which attention looks back over
    history_length items. A micro-batch has as many as have no more items than batch_size whole windows; so has a batch
    of the export."""
    history_length: int = like(TEACHER, "history_length")
    """windows sliding: as `teacher.history_length`."""
    items: int = setting(3706, POSITIVE)
    """Items N of the catalog."""
    precision: Precision = like(TEACHER, "precision")
    """As `teacher.precision`."""
    quantization: Quantization = like(TEACHER, "quantization")
    """As `teacher.quantization`: the linear layers of the blocks in 4 bits (nf4) or 8 bits (int8)."""
    double_quantization: bool = like(TEACHER, "double_quantization")
    """nf4: quantise the quantisation constants too (4.127 bits per weight instead of 4.5)."""
    attention: Literal["sdpa", "flash_attention_2", "eager"] = "sdpa"
    """Attention kernel; eager alone keeps T x T matrices."""
    gradient_checkpointing: bool = like(TEACHER, "gradient_checkpointing")
    """Keep the inputs of each block alone and recompute the rest in the backward pass."""
    adapter_layers: tuple[str, ...] = like(TEACHER.adapter, "layers")
    """Linear layers with adapters, in every block (`teacher.adapter.layers`)."""
    rank: int = like(TEACHER.adapter, "rank")
    """Rank R of all experts together."""
    experts: int = like(TEACHER.adapter, "experts")
    """Number of experts E."""
    dropout: float = like(TEACHER.adapter, "dropout")
    """Dropout on the adapter's input (`teacher.adapter.dropout`)."""
    gate: bool = True
    """Experts are weighted by a gate; false: plain LoRA."""
    expert_form: Literal["fused", "per_expert"] = "fused"
    """fused: one pair of matrices for all experts, as here. per_expert: a (B, T, E, width) tensor per layer, as in
    other code; needs lora_saves fp32_copy."""
    lora_saves: Literal["input", "fp32_copy"] = "input"
    """What the adapter keeps of its input. input: the tensor as it is, shared by the layers that read it, and a mask of
    bytes, as here. fp32_copy: widened and dropped out, one copy per layer, as PEFT's LoRA and other code."""
    soft_tokens: bool = True
    """The trained projections that make items into tokens; false: the prompt is words alone."""
    vocabulary_head: bool = False
    """The language model's own head is loaded and run over every token, as other code does. Never so here."""
    kbit_preparation: bool = False
    """PEFT's prepare_model_for_kbit_training: all that is not quantised is widened to fp32, and with it the stream of
    activations. (It turns checkpointing on too: say so with gradient_checkpointing.)"""
    embedding_dim: int = like(StudentConfig(), "embedding_dim")
    """Width of the student's states and item embeddings (`student.embedding_dim`)."""
    head_dim: int = like(TEACHER, "head_dim")
    """Width of the head's correction (`teacher.head_dim`)."""
    title_dim: int = like(TEACHER, "title_dim")
    """Width of the whitened title embeddings (`teacher.title_dim`)."""
    title_decay: float = like(TEACHER, "title_decay", 0.0)
    """Above 0: states and item embeddings hold the titles too (`teacher.title_decay`)."""
    export_batch_size: int = like(ExportConfig(), "batch_size", 32)
    """Prompts per batch of the export (`export.batch_size`)."""
    top_k: int = like(ExportConfig(), "top_k")
    """Items kept per target in the export (`export.top_k`)."""
    rows: int = setting(100_000, POSITIVE)
    """Prompts of an epoch, for its time."""
    device: Literal["cuda", "cpu"] = "cuda"
    """Kernels differ: of torch's own dropout CUDA keeps one byte a number, the CPU a factor as wide as the number."""
    card: str = ""
    """A card: t4, v100-16, v100-32, l4, rtx4090, a100-40, a100-80, h100-80. Empty: none, or the two settings below."""
    memory_gib: float = setting(0.0, NOT_NEGATIVE)
    """Memory to fit in, GiB; 0: the card's."""
    peak_tflops: float = setting(0.0, NOT_NEGATIVE)
    """Peak TFLOP/s in the precision; 0: the card's."""
    reserve_gib: float = setting(1.0, NOT_NEGATIVE)
    """Memory left to the CUDA context and to the allocator's gaps, GiB. Assumed."""
    utilisation: float = setting(0.4, POSITIVE_SHARE)
    """Share of the peak that the executed FLOPs reach. Assumed. On an H100 with Llama-2-7B's shapes it was .32 to .36
    with experts on q and v, .49 with compiled blocks, .20 with experts on all linear layers."""

    @property
    def prompts(self) -> float:
        """Prompts in one micro-batch; with windows sliding, sequences of the mean length, which need not be whole."""
        return self._prompts(self.batch_size)

    @property
    def export_prompts(self) -> float:
        """The same in a batch of the export."""
        return self._prompts(self.export_batch_size)

    def _prompts(self, whole: int) -> float:
        return whole if self.windows != "sliding" else max(1.0, whole * self.history_length / self.targets_per_prompt)

    @property
    def attended(self) -> float:
        """Keys that are computed with for each query, T; with windows sliding, those of its block of queries."""
        return self.tokens if self.windows != "sliding" else self.block_keys * self.padded_queries

    @property
    def padded_queries(self) -> float:
        """With windows sliding, queries computed for each token, since a sequence's last block is filled up."""
        return -(-self.tokens // STREAM_BLOCK) * STREAM_BLOCK / self.tokens

    @property
    def block_keys(self) -> float:
        """With windows sliding, keys of a block of queries, those of the first one's window and of the block."""
        return min(self.tokens, self.tokens * self.history_length / self.targets_per_prompt + STREAM_BLOCK - 1)

    @property
    def state_dim(self) -> int:
        """Width S of the user embeddings and item embeddings: the student's part, the correction, the titles."""
        return self.embedding_dim + self.head_dim + (self.title_dim if self.title_decay > 0 else 0)

    def __post_init__(self) -> None:
        """Check ranges and combinations."""
        check_ranges(self, "plan")
        rule = f"a multiple of plan.experts ({self.experts})"
        require(self.rank % self.experts == 0, "plan.rank", self.rank, rule)
        require(
            self.targets_per_prompt <= self.tokens,
            "plan.targets_per_prompt",
            self.targets_per_prompt,
            f"at most plan.tokens ({self.tokens})",
        )
        if self.windows == "sliding" and self.attention != "sdpa":
            raise UserError(
                "plan.windows: sliding counts its window in items, which sdpa alone can; set attention: sdpa"
            )
        if self.expert_form == "per_expert" and self.lora_saves == "input":
            raise UserError("plan.lora_saves: experts one by one keep copies of their input; use fp32_copy")
        if self.card and self.card not in CARDS:
            raise UserError(f"plan.card: {self.card!r} is not known; cards are {', '.join(CARDS)}")
        if self.quantization != "none" and self.precision.endswith("-mixed"):
            raise UserError("plan.quantization: choose precision fp32, bf16 or fp16 with quantised layers, not mixed")
        if self.kbit_preparation and self.quantization == "none":
            raise UserError("plan.kbit_preparation: needs plan.quantization nf4 or int8")
        if self.card and self.card_peak() == 0:
            raise UserError(f"plan.precision: {self.card} does not compute in {self.precision}; use fp16 or fp32")

    def card_peak(self) -> float:
        """Peak in TFLOP/s for this precision; 0 where it is not known."""
        if self.peak_tflops or not self.card:
            return self.peak_tflops
        peak: float = getattr(CARDS[self.card], self.precision.removesuffix("-mixed"))
        return peak

    def card_memory(self) -> float:
        """Memory in GiB; 0 where it is not known."""
        return self.memory_gib or (CARDS[self.card].memory_gib if self.card else 0.0)
