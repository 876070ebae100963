"""Settings of `evaluate`: how targets are ranked."""

from dataclasses import dataclass
from typing import Literal, get_args

from recdistill.config.rules import NOT_NEGATIVE, POSITIVE, among, check_ranges, setting

BaselineName = Literal["popularity", "cooccurrence", "item_knn", "ease"]
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)
"""The simple baselines, in the order of all tables."""

SCORE_MEMORY = 512
"""MiB of scores held at a time where nothing else is asked for: 2²⁷ scores in fp32."""


@dataclass(frozen=True)
class EvaluateConfig:
    """How targets are ranked, and the test evaluation."""

    split: Literal["test", "validation"] = "test"
    """Which targets are ranked. Choices belong to validation; test is evaluated once."""
    filter_seen: bool = True
    """Leave the items of the history out of the ranking. Validation is ranked alike while models are trained and tuned.
    With `data.duplicates: keep` a target may repeat its own history; it is then a certain miss, and a warning counts
    them. Set this to false where people come back to the same items."""
    batch_size: int = setting(256, POSITIVE)
    """Histories ranked at a time."""
    max_score_memory: int = setting(SCORE_MEMORY, POSITIVE)
    """MiB of scores held at a time by evaluation, validation and export, 4 bytes per history and item. Fewer histories
    are scored at a time where more would be needed; one history's scores are the least. What is computed from them
    takes about twice as much again."""
    candidates: int = setting(19, NOT_NEGATIVE)
    """Random items, drawn once and kept, among which each target is ranked too (LLaRA's protocol). 0: none."""
    bootstrap_samples: int = setting(2000, POSITIVE)
    """Resamples of the users for each 95 % interval."""
    permutations: int = setting(10000, POSITIVE)
    """Sign flips of the paired permutation test."""
    baselines: tuple[BaselineName, ...] = BASELINES
    """Simple baselines that are ranked beside the models, any of popularity, cooccurrence, item_knn and ease. Empty:
    none."""
    ease_items: int = setting(20000, NOT_NEGATIVE, read_with=among("evaluate.baselines", "ease"))
    """Most items N of a catalog for which ease is fitted. Of a larger one it is left out, with a warning and a remark
    in the report: its fit holds 4·N² bytes (20,000 items: 1.5 GiB) and takes time in proportion to N³. 0: never."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "evaluate")
