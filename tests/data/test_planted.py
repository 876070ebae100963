import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recdistill.config import DataConfig, PlantedConfig
from recdistill.data.planted import PlantedSource, achievable, item_topics, next_item_probabilities
from recdistill.data.planted_words import PHRASES, TOPICS
from recdistill.data.prepare import prepare, source_fingerprint
from recdistill.data.prepared import PreparedData, Targets
from recdistill.evaluation.baselines.oracle import OracleScorer
from recdistill.evaluation.metrics import means
from recdistill.evaluation.ranking import rank
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

SMALL = PlantedConfig(users=300, items=60, topics=6, events=5)


def run(planted: PlantedConfig, folder: Path, seed: int = 0) -> PreparedData:
    with Profiler() as profiler:
        return prepare(DataConfig(source="planted", planted=planted), seed, RunContext("cpu", profiler, folder))


def by_hand(*history: int) -> PreparedData:
    """One user's history over items 1..6 of topics 0 1 0 1 0 1."""
    names = ["", "1", "2", "3", "4", "5", "6"]
    ends = np.array([1], dtype=np.int32)
    items, bounds = np.array(history, dtype=np.int32), np.array([0, len(history)])
    return PreparedData(items, np.arange(len(history)), bounds, ends, ends, names, names, "", "")


def test_words_tell_one_topic_only_and_phrases_none() -> None:
    words = [word for topic in TOPICS for word in topic]
    assert len(words) == len(set(words)) == 8 * len(TOPICS)
    assert len(set(PHRASES)) == len(PHRASES) == 22
    around = {word for phrase in PHRASES for word in phrase.replace(":", "").split()}
    assert not around & set(words)


def test_titles_are_distinct_and_tell_the_topic_with_words_that_others_have_too() -> None:
    config = PlantedConfig()
    titles = PlantedSource(config).read_items().titles
    assert len(titles) == len(set(titles.values())) == config.items
    users: dict[str, int] = {}
    for item, title in titles.items():
        words = TOPICS[(int(item) - 1) % config.topics]
        found = [phrase.format(word) for word in words for phrase in PHRASES]
        assert title in found
        users |= {word: users.get(word, 0) + 1 for word in words if word in title}
    assert min(users.values()) >= 1
    assert np.mean(list(users.values())) > 2


def test_the_largest_catalog_has_a_title_for_each_item() -> None:
    titles = PlantedSource(PlantedConfig(items=352, topics=2)).read_items().titles
    assert len(set(titles.values())) == 352


def test_the_rule_on_paper() -> None:
    config = PlantedConfig(items=6, topics=2, events=3, novelty=1.0, decay=0.5)
    data = by_hand(1, 2, 3)
    probabilities = next_item_probabilities(config, data, Targets(*(np.array([n], dtype=np.int32) for n in (0, 2))))
    # History 1, 2: topic 0 has 0.5 + 0.5, topic 1 has 0.5 + 1; two unseen items in each.
    assert probabilities[0] == pytest.approx([0, 0, 0, 0.2, 0.3, 0.2, 0.3])
    # In order .3 .3 .2 .2, behind which there is nothing.
    expected = 0.3 * (1 + 1 / np.log2(3)) + 0.2 * (1 / np.log2(4) + 1 / np.log2(5))
    found = achievable(config, data, Targets(*(np.array([n], dtype=np.int32) for n in (0, 2))))
    assert found == {"ndcg@10": pytest.approx(expected), "hit_rate@10": pytest.approx(1)}


def test_a_topic_that_is_used_up_does_not_come_again() -> None:
    config = PlantedConfig(items=6, topics=2, events=5, novelty=1.0, decay=0.5)
    targets = Targets(*(np.array([n], dtype=np.int32) for n in (0, 3)))
    probabilities = next_item_probabilities(config, by_hand(1, 3, 5, 2, 4), targets)
    assert probabilities[0] == pytest.approx([0, 0, 1 / 3, 0, 1 / 3, 0, 1 / 3])
    exhausting = PlantedConfig(users=20, items=6, topics=2, events=5, novelty=0.01)
    items = PlantedSource(exhausting).read_interactions(False).items.reshape(20, 5)
    assert all(len(set(row.tolist())) == 5 for row in items)


def test_generated_events_follow_the_rule(tmp_path: Path) -> None:
    data = run(replace(SMALL, users=3000), tmp_path / "out")
    targets = data.targets("test")
    topics = item_topics(SMALL, data)
    probabilities = next_item_probabilities(SMALL, data, targets)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(targets)))
    last = topics[data.items[data.offsets[targets.users] + targets.positions - 1]]
    stays = topics[data.target_items(targets)] == last
    expected = (probabilities * (topics == last[:, None])).sum(axis=1)
    assert stays.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert 0.5 < stays.mean() < 0.9


def test_the_oracle_reaches_what_is_achievable(tmp_path: Path) -> None:
    data = run(replace(SMALL, users=3000), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "data.json").read_text())["achievable"]
    for split in ("validation", "test"):
        targets = data.targets(split)
        found = means(rank(data, targets, OracleScorer(data, SMALL), 256, filter_seen=True, top_k=1).ranks)
        assert written[split] == achievable(SMALL, data, targets)
        assert found["ndcg@10"] == pytest.approx(written[split]["ndcg@10"], abs=0.02)
        assert found["hit_rate@10"] == pytest.approx(written[split]["hit_rate@10"], abs=0.03)


def test_the_oracle_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    data = run(SMALL, tmp_path / "out")
    targets, scorer = data.targets("test"), OracleScorer(data, SMALL)
    together = scorer.score(targets.users, targets.positions)
    assert together[7:8].equal(scorer.score(targets.users[7:8], targets.positions[7:8]))
    assert not bool((together[7] == together[8]).all())


def test_only_its_own_seed_changes_the_data(tmp_path: Path) -> None:
    first, again = run(SMALL, tmp_path / "a", seed=1), run(SMALL, tmp_path / "b", seed=2)
    other = run(replace(SMALL, seed=1), tmp_path / "c", seed=1)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    configs = [DataConfig(source="planted", planted=planted) for planted in (SMALL, replace(SMALL, novelty=1.0))]
    assert source_fingerprint(configs[0]) != source_fingerprint(configs[1])
