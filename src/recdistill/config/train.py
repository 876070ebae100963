"""Settings of a training run: `student.train`, `teacher.train`, `distill.train`."""

from dataclasses import dataclass

from recdistill.config.rules import fraction, not_negative, positive, require


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
