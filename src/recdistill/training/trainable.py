"""What `fit` trains: a model with its batches, its loss and its validation."""

from collections.abc import Sequence
from typing import Any, NotRequired, Protocol, TypedDict

from torch import Tensor, nn

from recdistill.data.prepared import LongArray

Rows = LongArray
"""Row numbers of a micro-batch, (B,)."""


class ParameterGroup(TypedDict):
    """Parameters that are trained alike. `lr` is a factor of the peak learning rate, 1 if left out; `weight_decay` is
    the run's if left out.
    """

    params: list[nn.Parameter]
    weight_decay: NotRequired[float]
    lr: NotRequired[float]


class Trainable(Protocol):
    """A model, its batches, its loss, its validation."""

    @property
    def module(self) -> nn.Module:
        """The model; its parameters that require gradients are trained, kept and restored."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """Groups for AdamW."""
        ...

    def plan(self, epoch: int) -> Sequence[Rows]:
        """The epoch's micro-batches, as row numbers; depends on the seed and the epoch alone. Where several processes
        train, each collates its own rows of each.
        """
        ...

    def collate(self, rows: Rows) -> Any:
        """Make one micro-batch on the CPU; may run in a worker process."""
        ...

    def num_targets(self, batch: Any) -> int:
        """Targets in a micro-batch."""
        ...

    def loss(self, batch: Any) -> Tensor:
        """The loss SUMMED over the micro-batch's targets."""
        ...

    def validate(self) -> dict[str, float]:
        """Metrics on validation; `ndcg@10` among them."""
        ...
