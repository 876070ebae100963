"""Item-based nearest neighbours (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004), sparse."""

import numpy as np

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import LongArray, PreparedData
from recdistill.evaluation.baselines.recent import RecentItemsScorer
from recdistill.evaluation.baselines.together import Counts, TrainedPairs
from recdistill.evaluation.metrics import FloatArray
from recdistill.evaluation.ranking import unrolled

NEIGHBOURS = 100
"""Most similar items that are kept of each."""
SHRINKAGE = 10.0
"""What is added to the cosine's denominator, so that items that few users share are less similar."""


class ItemKnnScorer(RecentItemsScorer):
    """Each item of the history votes for its most similar items: the score is the sum of their similarities.

    similarity(i, j) = |users of i and j| / (√(|users of i| · |users of j|) + shrinkage), of train interactions; a user
    who has an item several times counts once. Of each item the `neighbours` most similar others are kept, the more
    popular where equal, then the lower number: 24 bytes each.
    """

    def __init__(
        self, data: PreparedData, config: EvaluateConfig, neighbours: int = NEIGHBOURS, shrinkage: float = SHRINKAGE
    ) -> None:
        pairs = TrainedPairs(data)
        blocks = [_most_similar(counts, pairs.sizes, neighbours, shrinkage) for counts in pairs.together()]
        items, self.others, self.similarities = (
            np.concatenate(parts) for parts in zip(*blocks, (np.empty(0, dtype=np.int64),) * 3, strict=True)
        )
        self.starts = np.searchsorted(items, np.arange(data.num_items + 2))
        self.width = data.num_items + 1
        super().__init__(data, config, self._votes, {"neighbours": neighbours, "shrinkage": shrinkage})

    def _votes(self, items: LongArray) -> FloatArray:
        """Sums of similarities to these items, (N + 1,) float64."""
        first = self.starts[items]
        rows, within = unrolled(self.starts[items + 1] - first)
        places = first[rows] + within
        votes = np.bincount(self.others[places], self.similarities[places], minlength=self.width)
        return votes.astype(np.float64, copy=False)


def _most_similar(
    counts: Counts, sizes: LongArray, neighbours: int, shrinkage: float
) -> tuple[LongArray, LongArray, FloatArray]:
    """Of whole items: item, other item and similarity of the most similar ones, ascending by item."""
    different = counts[0] != counts[1]
    items, others, both = (part[different] for part in counts)
    similarities = both / (np.sqrt(sizes[items] * sizes[others]) + shrinkage)
    order = np.lexsort((others, -sizes[others], -similarities, items))
    items = items[order]
    places = np.arange(len(items)) - np.searchsorted(items, items)
    kept = places < neighbours
    return items[kept], others[order][kept], similarities[order][kept]
