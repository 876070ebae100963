"""Settings of `student`: the small model."""

from dataclasses import dataclass, field
from typing import Literal

from recdistill.config.loss import LossConfig
from recdistill.config.rules import FRACTION, POSITIVE, check_ranges, given, require, setting
from recdistill.config.train import TrainConfig
from recdistill.errors import UserError

StudentModel = Literal["sasrec", "gru4rec"]
StudentBlock = Literal["sasrec", "ligr", "hstu"]


@dataclass(frozen=True)
class StudentConfig:
    """The small model: its shape and its training."""

    model: StudentModel = "sasrec"
    """sasrec (self-attention) or gru4rec (recurrent)."""
    block: StudentBlock = "sasrec"
    """Kind of the blocks of model sasrec. sasrec: attention, then a feed-forward layer. ligr: the same with gated
    residuals and SwiGLU, as in eSASRec. hstu: gated attention by SiLU instead of softmax, with relative positions; no
    feed-forward layer."""
    embedding_dim: int = setting(64, POSITIVE)
    """Width D of item embeddings and states."""
    num_layers: int = setting(2, POSITIVE)
    """Transformer blocks, or GRU layers."""
    num_heads: int = setting(2, POSITIVE, read_with=given("student.model", "sasrec"))
    """Attention heads (sasrec)."""
    ffn_multiplier: int = setting(1, POSITIVE)
    """Hidden width of the feed-forward layer in a block, in multiples of embedding_dim (blocks sasrec and ligr)."""
    dropout: float = setting(0.3, FRACTION)
    """Share of units set to zero while training."""
    attention_dropout: float = setting(0.0, FRACTION)
    """Share of attention weights set to zero while training (blocks sasrec and ligr); above 0 a CPU step is slower."""
    max_length: int = setting(50, POSITIVE)
    """Items of a history that the model looks at, the latest ones."""
    windows: Literal["last", "all"] = "all"
    """What is trained on: last, each user's latest max_length interactions; all, every interaction, in overlapping
    windows."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The training loss."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training run."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "student")
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
