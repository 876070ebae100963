import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recdistill.data.prepared import PreparedData
from recdistill.distill import target_memorisation as module
from recdistill.distill.outputs import OutputsReader, Records
from recdistill.distill.target_memorisation import target_memorisation
from recdistill.errors import UserError

NUM_ITEMS = 30
TARGETS = 8 * 4


class Shelf(OutputsReader):
    """A store in which each target's list is the same but for the target, which is put somewhere in it."""

    def __init__(self, data: PreparedData, scores: Any, place: Any) -> None:
        self.data, self.scores, self.place, self.asked, self.folder = data, scores, place, 0, Path("store")

    def require(self, users: NDArray[np.integer], positions: NDArray[np.integer], with_states: bool = True) -> Records:
        assert not with_states
        self.asked += len(users)
        lists = np.zeros((len(users), len(self.scores)), np.int32)
        for row, (user, position) in enumerate(zip(users, positions, strict=True)):
            target = int(self.data.history(user, position + 1)[-1])
            others = [item for item in range(1, NUM_ITEMS + 1) if item != target]
            lists[row] = others[: len(self.scores)]
            if self.place is not None:
                lists[row, self.place] = target
        lists[:, np.isinf(self.scores)] = 0
        scores = np.tile(np.float32(self.scores), (len(users), 1))
        return Records(lists, scores, np.zeros((len(users), 0), np.float16), np.ones(len(users), bool))


@pytest.fixture
def data() -> PreparedData:
    items = np.concatenate([np.random.default_rng(user).permutation(NUM_ITEMS)[:7] + 1 for user in range(8)])
    return PreparedData(
        items=items.astype(np.int32),
        timestamps=np.arange(56, dtype=np.int64),
        offsets=np.arange(0, 57, 7, dtype=np.int64),
        train_ends=np.full(8, 5, np.int32),
        validation_ends=np.full(8, 6, np.int32),
        titles=[""] * (NUM_ITEMS + 1),
        item_ids=[""] * (NUM_ITEMS + 1),
        fingerprint="data",
        split_fingerprint="split",
    )


def test_a_list_by_hand(data: PreparedData) -> None:
    # Probabilities 4/7, 2/7 and 1/7, and an empty place; the target is second.
    found = target_memorisation(Shelf(data, [math.log(4), math.log(2), 0.0, -math.inf], 1), data, 0)
    assert list(found) == ["train", "validation"]
    assert (found["train"]["targets"], found["validation"]["targets"]) == (TARGETS, 8)
    for split in found.values():
        assert split["ndcg@10"] == pytest.approx(1 / math.log2(3))
        assert split["probability"] == pytest.approx(2 / 7)
        assert split["entropy"] == pytest.approx(-sum(p * math.log(p) for p in (4 / 7, 2 / 7, 1 / 7)))


def test_a_target_that_is_not_in_its_list_has_no_place_and_no_probability(data: PreparedData) -> None:
    found = target_memorisation(Shelf(data, [3.0, 2.0, 1.0], None), data, 0)["train"]
    assert (found["ndcg@10"], found["probability"]) == (0.0, 0.0)


def test_a_target_below_the_tenth_place_counts_by_its_probability_alone(data: PreparedData) -> None:
    found = target_memorisation(Shelf(data, [0.0] * 12, 10), data, 0)["train"]
    assert found["ndcg@10"] == 0
    assert found["probability"] == pytest.approx(1 / 12)


def test_an_infinite_score_is_refused(data: PreparedData) -> None:
    with pytest.raises(UserError, match="store: a score is infinite"):
        target_memorisation(Shelf(data, [math.inf, 1.0, 0.0], 0), data, 0)


def test_of_many_targets_a_sample_is_looked_at(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE", 10)
    shelf = Shelf(data, [1.0, 0.0], 0)
    found = target_memorisation(shelf, data, 0)
    assert (found["train"]["targets"], found["validation"]["targets"]) == (10, 8)
    assert shelf.asked == 18
