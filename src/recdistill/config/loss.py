"""Settings of a student's own loss: `student.loss`, `distill.loss`."""

from dataclasses import dataclass
from typing import Literal, assert_never

from recdistill.config.rules import POSITIVE, SHARE, check_ranges, given, setting
from recdistill.errors import UserError

LossName = Literal["cross_entropy", "sampled_softmax", "gbce", "bce"]

SAMPLED = given(".name", "sampled_softmax", "gbce", "bce", said="a sampled loss")


@dataclass(frozen=True)
class Sampling:
    """Negatives of a target, or of a whole batch."""

    negatives: int
    shared: bool


@dataclass(frozen=True)
class CrossEntropy:
    """Over the full catalog; it has no settings of its own."""


@dataclass(frozen=True)
class SampledSoftmax:
    """Cross-entropy over the target and its negatives."""

    sampling: Sampling


@dataclass(frozen=True)
class GBCE:
    """Generalised binary cross-entropy, with its calibration t."""

    sampling: Sampling
    calibration: float


@dataclass(frozen=True)
class BCE:
    """Binary cross-entropy."""

    sampling: Sampling


Loss = CrossEntropy | SampledSoftmax | GBCE | BCE


@dataclass(frozen=True)
class LossConfig:
    """What a student is trained to do with the scores of one target."""

    name: LossName = "cross_entropy"
    """cross_entropy: over the full catalog. sampled_softmax, gbce, bce: against sampled negatives."""
    negatives: int = setting(256, POSITIVE, read_with=SAMPLED)
    """Sampled negatives per target, for every loss but cross_entropy."""
    shared: bool = False
    """Sampled losses: one draw of negatives for all targets of a batch, each item once, instead of one draw for each
    target. One matrix product instead of a lookup per target: for thousands of negatives, and large catalogs."""
    gbce_t: float = setting(0.75, SHARE, read_with=given(".name", "gbce"))
    """gBCE's calibration t: 0 is plain BCE, 1 corrects fully for the sampling rate (gSASRec, eq. 9)."""

    @property
    def chosen(self) -> Loss:
        """The chosen loss with its own settings."""
        sampling = Sampling(self.negatives, self.shared)
        match self.name:
            case "cross_entropy":
                return CrossEntropy()
            case "sampled_softmax":
                return SampledSoftmax(sampling)
            case "gbce":
                return GBCE(sampling, self.gbce_t)
            case "bce":
                return BCE(sampling)
            case _:
                assert_never(self.name)

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)
        if self.shared and self.name == "cross_entropy":
            raise UserError(f"{prefix}.shared: cross_entropy samples no negatives; name a sampled loss")
