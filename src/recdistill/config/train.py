"""Settings of a training run: `student.train`, `teacher.train`, `distill.train`."""

from dataclasses import dataclass

from recdistill.config.rules import (
    ABOVE_ZERO,
    FRACTION,
    INNER_SHARE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    check_ranges,
    given,
    require,
    setting,
)


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults are the students'; on MovieLens-100K they converge within the epochs."""

    max_epochs: int = setting(40, POSITIVE)
    """Passes over the training targets, at most."""
    batch_size: int = setting(
        64, POSITIVE, read_with=given(".batch_tokens", None, other=given("..compile", True)), evidence="batch_size"
    )
    """Histories (windows, or prompts) in one micro-batch."""
    batch_tokens: int | None = setting(None, ABOVE_ZERO, evidence="batch_tokens")
    """Most tokens of one micro-batch, padding counted (a student's token is an item), in place of `batch_size`, which
    then only says how many prompts a compiled teacher reads at a time where it is not trained. null: micro-batches of
    `batch_size` rows."""
    shuffle_block: int | None = setting(None, ABOVE_ZERO)
    """Rows (windows, or prompts) that stand side by side in a block. Blocks are taken in random order, eight at a time,
    and their rows are shuffled: for histories or teacher's outputs that are larger than memory. null: all rows are."""
    accumulate_grad_batches: int = setting(1, POSITIVE, evidence="accumulate")
    """Micro-batches whose gradients are added up before one optimiser step."""
    learning_rate: float = setting(2e-3, POSITIVE)
    """Peak learning rate of Adam(W)."""
    beta2: float = setting(0.98, INNER_SHARE)
    """Share that Adam(W) keeps of its mean of squared gradients at each step. Nearer to 1, an item that is seldom met
    is moved less by each meeting: on one sparse data set 0.999 was better (docs/experiments/pretraining.md)."""
    weight_decay: float = setting(0.0, NOT_NEGATIVE)
    """Decoupled weight decay (AdamW)."""
    warmup_fraction: float = setting(0.05, FRACTION)
    """Share of all steps in which the learning rate climbs from 0 to its peak."""
    final_fraction: float = setting(0.0, SHARE)
    """Learning rate at the last step as a share of the peak; it falls to that along a cosine. 1: no decay."""
    max_grad_norm: float = setting(0.0, NOT_NEGATIVE)
    """Largest norm of the gradient; 0: not clipped."""
    patience: int = setting(10, NOT_NEGATIVE)
    """Validations without a better NDCG@10 after which training stops. 0: never."""
    validate_every: float = setting(1.0, POSITIVE)
    """Epochs between two validations; below 1, a validation after each such share of an epoch (0.5: two per epoch)."""
    checkpoint_seconds: float = setting(30.0, NOT_NEGATIVE)
    """Least time between two checkpoints, in seconds; one is also written at the end. All hold the best weights too."""
    num_workers: int = setting(0, NOT_NEGATIVE, evidence="workers")
    """Worker processes that prepare batches; 0: the training process does it."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)
        turns = max(self.validate_every, 1 / self.validate_every)
        rule = "a whole number of epochs, or 1 over a whole number"
        require(abs(turns - round(turns)) < 1e-6, f"{prefix}.validate_every", self.validate_every, rule)
