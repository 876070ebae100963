"""Settings of `distill`: how a fresh student learns from the teacher."""

from dataclasses import dataclass, field
from typing import Literal, assert_never

from recdistill.config.loss import LossConfig
from recdistill.config.rules import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    check_ranges,
    given,
    nonzero,
    require,
    section,
    setting,
    unless,
)
from recdistill.config.train import TrainConfig
from recdistill.errors import UserError

Selection = Literal["all", "kl_above", "student_misses"]

LISTS = nonzero("distill.weight")
SOFTENED = given("distill.method", "topk_kl", "full_catalog_ce")


@dataclass(frozen=True)
class DLLM2RecConfig:
    """Weights of the items of a list, for method dllm2rec."""

    position_weight: float = setting(0.3, NOT_NEGATIVE)
    """γ_p, weight by rank in the teacher's list."""
    confidence_weight: float = setting(0.5, NOT_NEGATIVE)
    """γ_c, weight by the teacher's confidence in the item."""
    consistency_weight: float = setting(0.1, NOT_NEGATIVE)
    """γ_o, weight of items that are in both the teacher's and the student's top-K."""
    position_temperature: float = setting(1.0, POSITIVE)
    """β in exp(-rank/β)."""

    def check(self, prefix: str) -> None:
        """Check ranges; `prefix` is this section's dotted key."""
        check_ranges(self, prefix)


@dataclass(frozen=True)
class TopkKL:
    """Method topk_kl, with the temperature of both distributions."""

    temperature: float


@dataclass(frozen=True)
class FullCatalogCE:
    """Method full_catalog_ce, with the temperature of the teacher's distribution."""

    temperature: float


@dataclass(frozen=True)
class Listwise:
    """Method listwise, which has no settings of its own."""


Method = DLLM2RecConfig | TopkKL | FullCatalogCE | Listwise


@dataclass(frozen=True)
class DistillConfig:
    """How a fresh student learns from the teacher."""

    method: Literal["dllm2rec", "topk_kl", "full_catalog_ce", "listwise"] = setting("topk_kl", read_with=LISTS)
    """dllm2rec: weighted ranking loss on the teacher's top-K (Cui et al. 2024). topk_kl: KL over the top-K alone.
    full_catalog_ce: cross-entropy over the full catalog against the teacher's top-K. listwise: the order of the
    top-K."""
    weight: float | Literal["auto"] = setting("auto", NOT_NEGATIVE)
    """Weight λ_d of the distillation loss beside the student's own loss. auto: 8 where an item of the
    catalog has 25 training interactions or more on average, else 1; what was chosen and why is recorded."""
    top_k: int = setting(50, POSITIVE, read_with=LISTS)
    """The teacher's first K items are learned from; at most export.top_k."""
    drop_target: bool = setting(False, read_with=(LISTS, unless("distill.method", "full_catalog_ce")))
    """Take the target itself out of the teacher's list. The student's own loss contains the target, and a teacher
    that was trained on it has memorised it, more so with fewer users. Not with full_catalog_ce, which sets a
    list above all items that are not in it."""
    dllm2rec: DLLM2RecConfig = section(DLLM2RecConfig, read_with=(LISTS, given("distill.method", "dllm2rec")))
    """How dllm2rec weighs the items of a list."""
    temperature: float = setting(1.0, POSITIVE, read_with=(LISTS, SOFTENED))
    """topk_kl: both distributions are softened by this; full_catalog_ce: the teacher's."""
    start: Literal["random", "titles", "student"] = "random"
    """First weights: random; titles: item embeddings from the teacher's embeddings of the titles, cut to their
    principal axes; student: the finished plain student's weights, trained on (with `embedding_weight`, titles come on
    top)."""
    embedding_weight: float = setting(1.0, NOT_NEGATIVE)
    """Collaborative embedding distillation: weight of the projected title embedding in the item embeddings. 0: off."""
    id_dropout: float = setting(0.0, SHARE, read_with=nonzero("distill.embedding_weight"))
    """Share of the items whose vector is made of the title alone at a training step (DropoutNet, Volkovs et al. 2017).
    The higher, the more the titles serve items that are seldom met, or added later. 1: item vectors are tied to the
    titles, and only items without one have an ID embedding."""
    title_decay: float = setting(0.0, SHARE, read_with=nonzero("distill.embedding_weight"))
    """Above 0, a part of the student's scores that the teacher has too (`teacher.title_decay`): similarity of an item's
    title to those of the history, an interaction of age a weighing title_decay^a. Nothing of it is trained; its weight
    is chosen on validation. States and item vectors get `teacher.title_dim` columns more. 0: no such part."""
    dro_weight: float = setting(0.0, NOT_NEGATIVE)
    """α, weight of the distributionally robust term, with any method. 0: off."""
    dro_temperature: float = setting(1.0, POSITIVE, read_with=nonzero("distill.dro_weight"))
    """β of the distributionally robust term."""
    dropout: float | Literal["auto"] | None = setting("auto", FRACTION)
    """Share of the distilled student's units set to zero while training; the teacher's lists keep it from overfitting,
    so that it needs less than a plain student. auto: 0.1 where an item has 25 training interactions or more and
    `weight` is above 1, else as null. null: `student.dropout`."""
    selection: Selection = setting("all", read_with=LISTS)
    """Targets distilled: all; kl_above: those with KL above kl_threshold; student_misses: those the student misses."""
    kl_threshold: float = setting(0.1, NOT_NEGATIVE, read_with=(LISTS, given("distill.selection", "kl_above")))
    """selection kl_above: least KL(teacher ‖ student) over the teacher's top-K, in nats."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The student's own loss on the data."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training run. The student's shape is the `student` section's."""

    @property
    def reads_whole_catalog(self) -> bool:
        """Whether a step needs the scores of all items, whatever the student's own loss is."""
        own_list = self.method == "dllm2rec" and self.dllm2rec.consistency_weight > 0
        lists = bool(self.weight) and (own_list or self.method == "full_catalog_ce")
        return lists or self.dro_weight > 0

    @property
    def chosen(self) -> Method:
        """The chosen method with its own settings."""
        match self.method:
            case "dllm2rec":
                return self.dllm2rec
            case "topk_kl":
                return TopkKL(self.temperature)
            case "full_catalog_ce":
                return FullCatalogCE(self.temperature)
            case "listwise":
                return Listwise()
            case _:
                assert_never(self.method)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "distill")
        if self.id_dropout == 1 and self.start != "random":
            raise UserError(f"distill.id_dropout: 1 leaves no ID embeddings for start: {self.start}; use start: random")
        own = self.dllm2rec
        own.check("distill.dllm2rec")
        total = own.position_weight + own.confidence_weight + own.consistency_weight
        used = self.method == "dllm2rec"
        require(not used or total > 0, "distill.dllm2rec.position_weight + …", total, "above 0 in sum")
        self.loss.check("distill.loss")
        if self.loss.lazy_adam and self.reads_whole_catalog:
            raise UserError(
                "distill.loss.lazy_adam: dllm2rec with consistency_weight, full_catalog_ce and dro_weight move all"
                " items; use another method, or set lazy_adam: false"
            )
        self.train.check("distill.train")
