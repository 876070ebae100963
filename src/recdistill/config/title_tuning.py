"""Settings of `teacher.title_tuning`: training of the model that embeds the titles."""

from dataclasses import dataclass

from recdistill.config.rules import NOT_NEGATIVE, POSITIVE, at_least, check_ranges, nonzero, setting

TUNED = nonzero(".steps")


@dataclass(frozen=True)
class TitleTuningConfig:
    """Training of the model that embeds the titles, on items that follow one another, before the teacher's own."""

    steps: int = setting(0, NOT_NEGATIVE, evidence="title_tuning")
    """Steps of contrastive training, with plain LoRA around every linear layer. 0: titles are read by the model as it
    is."""
    pairs: int = setting(192, at_least(2), read_with=TUNED)
    """Pairs of items per step; each item's other half is to be told from those of all other pairs."""
    window: int = setting(5, POSITIVE, read_with=TUNED)
    """Two items are a pair where a user has them at most this many interactions apart, in what is trained on."""
    temperature: float = setting(0.05, POSITIVE, read_with=TUNED)
    """What cosines are divided by in the loss."""
    learning_rate: float = setting(1e-3, POSITIVE, read_with=TUNED)
    """Peak learning rate of AdamW, reached after a tenth of the steps; then it falls in a line to 0."""
    rank: int = setting(16, POSITIVE, read_with=TUNED)
    """Rank of LoRA."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)
