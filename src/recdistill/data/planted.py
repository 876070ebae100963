"""Generated data whose titles tell what comes next: a known rule over topics, and many items with few events each.

Ids alone cannot learn it, since most items are seen too seldom; whoever understands the titles can. Since the rule is
known, so is the quality that no model can beat on average.

The rule, an urn with fading memory: with T topics, a user's next topic is k with a probability in proportion to

    novelty / T + Σ_j decay^age_j · [topic of event j is k]        age 0 is the latest event

(0 for a topic of which all items have been seen), and the item is any unseen item of that topic, all alike.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recdistill.config import PlantedConfig
from recdistill.data.interactions import Interactions
from recdistill.data.item_rows import ItemRows
from recdistill.data.planted_words import PHRASES, TOPICS
from recdistill.data.prepared import IntArray, LongArray, PreparedData, Targets
from recdistill.data.values import natural_order

FloatArray = NDArray[np.float64]

LIST_LENGTH = 10
"""The k of the achievable NDCG@k and hit rate@k."""


@dataclass(frozen=True)
class PlantedSource:
    """Generated interactions and titles, in the form of :class:`recdistill.data.source.Source`."""

    config: PlantedConfig

    @property
    def files(self) -> list[Path]:
        """Nothing is read."""
        return []

    @property
    def outside(self) -> list[dict[str, str | None]]:
        """Nor does any path say anything."""
        return []

    @property
    def skipped(self) -> dict[str, int]:
        """Nor is anything left out."""
        return {}

    def read_items(self) -> ItemRows:
        """The titles. Each has one word of its item's topic and a phrase that fits any topic."""
        config = self.config
        generator = np.random.default_rng([config.seed, 0])
        titles: dict[str, str] = {}
        for topic in range(config.topics):
            pairs = list(product(TOPICS[topic], PHRASES))
            order = generator.permutation(len(pairs))
            for row, item in enumerate(range(topic, config.items, config.topics)):
                word, phrase = pairs[order[row]]
                titles[str(item + 1)] = phrase.format(word)
        return ItemRows("", natural_order(list(titles)), titles)

    def read_interactions(self, with_ratings: bool) -> Interactions:
        """All interactions, user after user in time order; nothing has ratings."""
        assert not with_ratings
        config = self.config
        generator = np.random.default_rng([config.seed, 1])
        items = np.stack([_draw_history(config, generator) for _ in range(config.users)]).astype(np.int32)
        return Interactions(
            users=np.repeat(np.arange(config.users, dtype=np.int32), config.events),
            items=items.ravel(),
            times=np.tile(np.arange(config.events, dtype=np.int64), config.users),
            ratings=None,
            user_ids=natural_order([str(user + 1) for user in range(config.users)]),
            item_ids=natural_order([str(item + 1) for item in range(config.items)]),
        )


def next_item_probabilities(config: PlantedConfig, data: PreparedData, targets: Targets) -> FloatArray:
    """How likely each item is to come next under the rule: float64 (rows, N + 1); 0 for the padding and seen items.

    Items that occur in no interaction are not in the catalog; their share is counted, so that a row may sum to less
    than 1.
    """
    lengths = targets.positions.astype(np.int64)
    rows = np.repeat(np.arange(len(targets)), lengths)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = data.items[data.offsets[targets.users][rows] + within]
    topics = item_topics(config, data)
    weights, seen = np.zeros((len(targets), config.topics)), np.zeros((len(targets), config.topics), dtype=np.int64)
    np.add.at(weights, (rows, topics[items]), config.decay ** (lengths[rows] - 1 - within))
    np.add.at(seen, (rows, topics[items]), 1)
    left = topic_sizes(config) - seen
    of_topic = _topic_probabilities(config, weights, left) / np.maximum(left, 1)
    probabilities: FloatArray = of_topic[:, topics]
    probabilities[:, 0] = 0
    probabilities[rows, items] = 0
    return probabilities


def achievable(config: PlantedConfig, data: PreparedData, targets: Targets) -> dict[str, float]:
    """Expected NDCG@10 and hit rate@10 of ranking by the rule itself, over the rule's chance and that of ties.

    No model ranks better on average. On the targets as they fell, the rule's own ranking differs by chance.
    """
    probabilities = next_item_probabilities(config, data, targets)
    best = -np.sort(-probabilities, axis=1)[:, :LIST_LENGTH]
    discounts = 1 / np.log2(2.0 + np.arange(best.shape[1]))
    return {
        f"ndcg@{LIST_LENGTH}": float((best @ discounts).mean()),
        f"hit_rate@{LIST_LENGTH}": float(best.sum(axis=1).mean()),
    }


def item_topics(config: PlantedConfig, data: PreparedData) -> LongArray:
    """The topic of each item: int64 (N + 1,); the padding's means nothing."""
    return np.array([0, *((int(item_id) - 1) % config.topics for item_id in data.item_ids[1:])])


def topic_sizes(config: PlantedConfig) -> LongArray:
    """Items of each topic: int64 (T,)."""
    return np.asarray(np.bincount(np.arange(config.items) % config.topics, minlength=config.topics))


def _topic_probabilities(config: PlantedConfig, memory: FloatArray, left: NDArray[Any]) -> FloatArray:
    """The rule for topics: faded counts (..., T) and unseen items (..., T) to probabilities (..., T)."""
    weights = np.where(left > 0, config.novelty / config.topics + memory, 0.0)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _draw_history(config: PlantedConfig, generator: np.random.Generator) -> IntArray:
    """One user's items, from 0, in order."""
    memory, left = np.zeros(config.topics), topic_sizes(config)
    unseen = [list(range(topic, config.items, config.topics)) for topic in range(config.topics)]
    history = []
    for _ in range(config.events):
        topic = int(generator.choice(config.topics, p=_topic_probabilities(config, memory, left)))
        history.append(unseen[topic].pop(int(generator.integers(left[topic]))))
        left[topic] -= 1
        memory *= config.decay
        memory[topic] += 1
    return np.array(history, dtype=np.int32)
