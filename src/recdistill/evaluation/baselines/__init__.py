"""What any model must beat: simple baselines, fitted on train events alone.

A baseline is a file here, a line of :data:`BUILDERS`, a name in :data:`recdistill.config.BaselineName` and that name in
each language. All tables, comparisons and reports follow from these names.
"""

import logging
from collections.abc import Callable
from functools import partial

from recdistill.config import BASELINES, BaselineName, EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.baselines.baseline import Baseline
from recdistill.evaluation.baselines.cooccurrence import CooccurrenceScorer
from recdistill.evaluation.baselines.ease import EaseScorer
from recdistill.evaluation.baselines.item_knn import ItemKnnScorer
from recdistill.evaluation.baselines.popularity import PopularityScorer

__all__ = ["BUILDERS", "baseline_scorers", "too_large"]

logger = logging.getLogger("recdistill")

BUILDERS: dict[BaselineName, Callable[[PreparedData, EvaluateConfig], Baseline]] = {
    "popularity": lambda data, _: PopularityScorer(data),
    "cooccurrence": lambda data, _: CooccurrenceScorer(data),
    "item_knn": ItemKnnScorer,
    "ease": EaseScorer,
}


def too_large(data: PreparedData, config: EvaluateConfig) -> dict[str, dict[str, int]]:
    """The asked baselines that are left out, with the catalog's `items` and the `most` that the setting allows."""
    if "ease" not in config.baselines or data.num_items <= config.ease_items:
        return {}
    return {"ease": {"items": data.num_items, "most": config.ease_items}}


def baseline_scorers(data: PreparedData, config: EvaluateConfig) -> dict[str, Callable[[], Baseline]]:
    """What fits each baseline that `evaluate.baselines` asks for, in the table's order; who is left out is told."""
    left_out = too_large(data, config)
    for name, why in left_out.items():
        logger.warning(
            "evaluate: %s is left out, since the catalog's %s items are more than evaluate.%s_items (%s)",
            name, f"{why['items']:,}", name, f"{why['most']:,}",
        )  # fmt: skip
    asked = (name for name in BASELINES if name in config.baselines and name not in left_out)
    return {name: partial(BUILDERS[name], data, config) for name in asked}
