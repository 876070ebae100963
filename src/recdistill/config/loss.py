"""Settings of a student's own loss: `student.loss`, `distill.loss`."""

from dataclasses import dataclass
from typing import Literal, assert_never

from recdistill.config.rules import NOT_NEGATIVE, POSITIVE, SHARE, check_ranges, given, setting
from recdistill.errors import UserError

LossName = Literal["auto", "cross_entropy", "sampled_softmax", "gbce", "bce"]

SAMPLED = given(".name", "sampled_softmax", "gbce", "bce", said="a sampled loss")


@dataclass(frozen=True)
class Sampling:
    """Negatives of a target, or of a whole batch."""

    negatives: int
    shared: bool
    popularity_power: float = 0.0
    in_batch: bool = False
    log_q: bool = False
    lazy_adam: bool = False


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

WHOLE_CATALOG = 10_000
"""Items up to which `auto` takes the whole catalog."""
LARGE = SampledSoftmax(
    Sampling(negatives=2048, shared=True, popularity_power=0.5, in_batch=True, log_q=True, lazy_adam=True)
)
"""What `auto` takes for larger ones."""


@dataclass(frozen=True)
class LossConfig:
    """What a student is trained to do with the scores of one target."""

    name: LossName = "cross_entropy"
    """cross_entropy: over the full catalog. sampled_softmax, gbce, bce: against sampled negatives. auto: cross_entropy
    for up to 10,000 items; for more sampled_softmax with 2,048 shared negatives, popularity_power 0.5, in_batch,
    log_q and lazy_adam. What was taken is logged and recorded."""
    negatives: int = setting(256, POSITIVE, read_with=SAMPLED)
    """Sampled negatives per target, for every loss but cross_entropy."""
    shared: bool = False
    """Sampled losses: one draw of negatives for all targets of a batch, each item once, instead of one draw for each
    target. One matrix product instead of a lookup per target: for thousands of negatives, and large catalogs."""
    popularity_power: float = setting(0.0, NOT_NEGATIVE, read_with=SAMPLED)
    """Sampled losses: an item is drawn in proportion to the number of its training interactions to this power. 0: all
    items alike; 1: as they occur."""
    in_batch: bool = False
    """Shared negatives: the targets of the batch are negatives of one another, beside those drawn from the catalog
    (mixed negative sampling)."""
    log_q: bool = setting(False, read_with=SAMPLED)
    """Sampled losses: the logQ correction. A negative's score is lowered by the log of how often the draw was expected
    to hold the item, so that the draw stands for the whole catalog however it is made; gbce and bce weigh by it."""
    lazy_adam: bool = setting(False, read_with=SAMPLED)
    """Sampled losses: a step moves only the items it speaks of, those of its histories and its negatives (lazy Adam).
    Then neither the gradient nor the optimiser touches the other rows, however large the catalog is."""
    gbce_t: float = setting(0.75, SHARE, read_with=given(".name", "gbce"))
    """gBCE's calibration t: 0 is plain BCE, 1 corrects fully for the sampling rate (gSASRec, eq. 9)."""

    def chosen(self, num_items: int) -> Loss:
        """The loss for a catalog of so many items, with its own settings."""
        sampling = Sampling(
            self.negatives, self.shared, self.popularity_power, self.in_batch, self.log_q, self.lazy_adam
        )
        match self.name:
            case "auto":
                return CrossEntropy() if num_items <= WHOLE_CATALOG else LARGE
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
        if self.in_batch and not self.shared:
            raise UserError(
                f"{prefix}.in_batch: the targets of a batch are shared negatives; set {prefix}.shared: true"
            )
