"""Settings of a student's own loss: `student.loss`, `distill.loss`."""

from dataclasses import dataclass
from typing import Literal

from recdistill.config.rules import POSITIVE, SHARE, check_ranges, given, setting
from recdistill.errors import UserError

LossName = Literal["cross_entropy", "sampled_softmax", "gbce", "bce"]

SAMPLED = given(".name", "sampled_softmax", "gbce", "bce", said="a sampled loss")


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

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)
        if self.shared and self.name == "cross_entropy":
            raise UserError(f"{prefix}.shared: cross_entropy samples no negatives; name a sampled loss")
