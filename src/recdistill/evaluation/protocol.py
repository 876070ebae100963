"""The ranking that counts. There is one, for validation, test, tuning and every weight that validation chooses: the
`evaluate` section says which items are ranked, :func:`recdistill.evaluation.ranking.rank` how ties and misses count.
"""

import logging

import numpy as np

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import BoolArray, PreparedData, SplitName, Targets
from recdistill.evaluation.metrics import means
from recdistill.evaluation.ranking import Ranking, rank, seen_items
from recdistill.evaluation.scorer import Scorer
from recdistill.parallel.processes import ALONE, Processes

logger = logging.getLogger("recdistill")

VALIDATION_BATCH = 256
VALIDATION_METRICS = ("ndcg@10", "hit_rate@10")
ROWS = 8192
"""Targets whose histories are looked through at a time."""


def rank_validation(
    scorer: Scorer,
    data: PreparedData,
    config: EvaluateConfig,
    targets: Targets | None = None,
    processes: Processes = ALONE,
) -> Ranking:
    """Rank validation targets as an evaluation ranks them.

    Args:
        scorer: what ranks.
        data: the histories.
        config: which items are ranked; its `split` is not read.
        targets: the rows; None: all validation targets.
        processes: that rank them together.
    """
    targets = data.targets("validation") if targets is None else targets
    filter_seen, memory = config.filter_seen, config.max_score_memory
    return rank(data, targets, scorer, VALIDATION_BATCH, filter_seen, 0, score_memory=memory, processes=processes)


def validation_metrics(
    scorer: Scorer,
    data: PreparedData,
    config: EvaluateConfig,
    targets: Targets | None = None,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """NDCG@10 and hit rate@10 over validation targets; arguments as :func:`rank_validation` has them."""
    values = means(rank_validation(scorer, data, config, targets, processes).ranks)
    return {name: values[name] for name in VALIDATION_METRICS}


def deciding(config: EvaluateConfig) -> dict[str, bool]:
    """The settings of the ranking that a training's validation follows, as part of a step's fingerprint.

    What stands at its default leaves no trace, so that it does not make older steps other steps.
    """
    return {} if config.filter_seen else {"evaluate.filter_seen": False}


def repeats(data: PreparedData, targets: Targets) -> BoolArray:
    """Whether each target's item stands in its own history already: bool (rows,)."""
    found = np.zeros(len(targets), dtype=np.bool_)
    for start in range(0, len(targets), ROWS):
        part = Targets(targets.users[start : start + ROWS], targets.positions[start : start + ROWS])
        rows, items = seen_items(data, part)
        found[start + rows[items == data.target_items(part)[rows]]] = True
    return found


def certain_misses(data: PreparedData, config: EvaluateConfig, split: SplitName) -> int:
    """How many targets of a split no model can hit, since they repeat their history and seen items are left out."""
    return int(repeats(data, data.targets(split)).sum()) if config.filter_seen else 0


def tell_certain_misses(data: PreparedData, config: EvaluateConfig) -> None:
    """Warn where validation or test hold targets that can only be misses."""
    splits: tuple[SplitName, ...] = ("validation", "test")
    found = {split: (certain_misses(data, config, split), len(data.targets(split))) for split in splits}
    if any(misses for misses, _ in found.values()):
        told = " and ".join(f"{misses:,} of {rows:,} {split} targets" for split, (misses, rows) in found.items())
        logger.warning(
            "evaluate.filter_seen: %s repeat an item of their own history and can only be misses, since such items are "
            "left out of the ranking; where people come back to the same items, set evaluate.filter_seen to false",
            told,
        )
