"""Settings of `distill`: how a fresh student learns from the teacher."""

from dataclasses import dataclass, field
from typing import Literal

from recdistill.config.loss import LossConfig
from recdistill.config.rules import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    check_ranges,
    given,
    nonzero,
    require,
    setting,
    unless,
)
from recdistill.config.train import TrainConfig

Selection = Literal["all", "kl_above", "student_misses"]

LISTS = nonzero("distill.weight")
DLLM2REC = given("distill.method", "dllm2rec")
SOFTENED = given("distill.method", "topk_kl", "full_catalog_ce")


@dataclass(frozen=True)
class DistillConfig:
    """How a fresh student learns from the teacher."""

    method: Literal["dllm2rec", "topk_kl", "full_catalog_ce", "listwise"] = setting("topk_kl", read_with=LISTS)
    """dllm2rec: weighted ranking loss on the teacher's top-K (Cui et al. 2024). topk_kl: KL over the top-K alone.
    full_catalog_ce: cross-entropy over the whole catalog against the teacher's top-K. listwise: the order of the
    top-K."""
    weight: float | Literal["auto"] = setting("auto", NOT_NEGATIVE)
    """Weight λ_d of the distillation loss beside the student's own loss. auto: 8 where an item of the
    catalog has 25 training events or more on average, else 1; what was chosen and why is recorded."""
    top_k: int = setting(50, POSITIVE, read_with=LISTS)
    """The teacher's first K items are learned from; at most export.top_k."""
    drop_target: bool = setting(False, read_with=(LISTS, unless("distill.method", "full_catalog_ce")))
    """Take the target itself out of the teacher's list. The student's own loss tells it the target, which a teacher
    that was trained on it names from memory, the more so the fewer the users. Not with full_catalog_ce, which sets a
    list above all items that are not in it."""
    position_weight: float = setting(0.3, NOT_NEGATIVE, read_with=(LISTS, DLLM2REC))
    """dllm2rec: γ_p, weight by rank in the teacher's list."""
    confidence_weight: float = setting(0.5, NOT_NEGATIVE, read_with=(LISTS, DLLM2REC))
    """dllm2rec: γ_c, weight by the teacher's confidence in the item."""
    consistency_weight: float = setting(0.1, NOT_NEGATIVE, read_with=(LISTS, DLLM2REC))
    """dllm2rec: γ_o, weight of items that stand in both the teacher's and the student's top-K."""
    position_temperature: float = setting(1.0, POSITIVE, read_with=(LISTS, DLLM2REC))
    """dllm2rec: β in exp(-rank/β)."""
    temperature: float = setting(1.0, POSITIVE, read_with=(LISTS, SOFTENED))
    """topk_kl: both distributions are softened by this; full_catalog_ce: the teacher's."""
    start: Literal["random", "titles", "student"] = "random"
    """First weights: random; titles: item vectors from the teacher's embeddings of the titles, cut to their principal
    axes; student: the finished plain student's weights, trained on (with `embedding_weight`, titles come on top)."""
    embedding_weight: float = setting(1.0, NOT_NEGATIVE)
    """Collaborative embedding distillation: weight of the projected title embedding in the item vectors. 0: off."""
    dro_weight: float = setting(0.0, NOT_NEGATIVE)
    """α, weight of the distributionally robust term, with any method. 0: off."""
    dro_temperature: float = setting(1.0, POSITIVE, read_with=nonzero("distill.dro_weight"))
    """β of the distributionally robust term."""
    dropout: float | Literal["auto"] | None = setting("auto", FRACTION)
    """Share of the distilled student's units set to zero while training; the teacher's lists keep it from overfitting,
    so that it needs less than a plain student. auto: 0.1 where an item has 25 training events or more and `weight` is
    above 1, else as null. null: `student.dropout`."""
    selection: Selection = setting("all", read_with=LISTS)
    """Targets distilled: all; kl_above: those with KL above kl_threshold; student_misses: those the student misses."""
    kl_threshold: float = setting(0.1, NOT_NEGATIVE, read_with=(LISTS, given("distill.selection", "kl_above")))
    """selection kl_above: least KL(teacher ‖ student) over the teacher's top-K, in nats."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The student's own loss on the data."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training run. The student's shape is the `student` section's."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "distill")
        total = self.position_weight + self.confidence_weight + self.consistency_weight
        require(self.method != "dllm2rec" or total > 0, "distill.position_weight + …", total, "above 0 in sum")
        self.loss.check("distill.loss")
        self.train.check("distill.train")
