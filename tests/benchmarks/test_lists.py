"""What stored lists know of their targets, from a run of the command line's and by hand."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import lists
from chain import options, write_interactions
from gate import config_of
from recdistill.cli import main
from recdistill.data.prepared import PreparedData, Targets
from recdistill.distill.outputs import Records
from recdistill.evaluation.ranking import rank
from recdistill.files import read_json
from recdistill.training.reading import TeacherScorer, load_teacher


class Shelf:
    """A store with one list for all."""

    def __init__(self, items: list[int], scores: list[float]) -> None:
        self.items, self.scores = items, scores

    def require(self, users: np.ndarray, positions: np.ndarray, with_states: bool) -> Records:
        rows = len(users)
        items, scores = np.tile(np.int32(self.items), (rows, 1)), np.tile(np.float32(self.scores), (rows, 1))
        return Records(items, scores, np.zeros((rows, 0), np.float16), np.ones(rows, bool))


def test_by_hand(data: PreparedData) -> None:
    one = data.targets("validation")
    targets = Targets(one.users[:1], one.positions[:1])
    item = int(data.target_items(targets)[0])
    others = [other for other in range(1, 31) if other != item]
    # Probabilities 4/7, 2/7 and 1/7, and an empty place; the target is second.
    shelf = Shelf([others[0], item, others[1], 0], [math.log(4), math.log(2), 0.0, -math.inf])
    found = lists.of_targets(shelf, data, targets)  # type: ignore[arg-type]
    entropy = -sum(share * math.log(share) for share in (4 / 7, 2 / 7, 1 / 7))
    assert found == {
        "targets": 1, "ndcg@10": round(1 / math.log2(3), 4), "target": round(2 / 7, 4), "entropy": round(entropy, 4)
    }  # fmt: skip
    absent = lists.of_targets(Shelf(others[:3], [2.0, 1.0, 0.0]), data, targets)  # type: ignore[arg-type]
    assert (absent["ndcg@10"], absent["target"]) == (0, 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """A run with finished teacher outputs."""
    folder = tmp_path_factory.mktemp("lists")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        assert main(["export", *options(folder / "run", tiny_llm, write_interactions(folder / "data"))]) == 0
    return folder / "run"


def test_lists_on_validation_are_as_good_as_the_teacher(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["lists.py", str(run)])
    lists.main()
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["folds"]) == (str(run), 0)
    monkeypatch.setenv("RECDISTILL_CACHE", str(run.parent / "cache"))
    data = PreparedData.load(run / "prepare")
    teacher = load_teacher(config_of(run), data, run / "student", run / "teacher", "cpu")
    for split in ("train", "validation"):
        targets = data.targets(split)
        ranks = rank(data, targets, TeacherScorer(teacher), 16, filter_seen=True, top_k=1).ranks
        assert found[split]["targets"] == len(targets)
        assert found[split]["ndcg@10"] == pytest.approx(float(lists.ndcg(ranks, 10).mean()), abs=2e-3)
        assert 0 < found[split]["entropy"] <= math.log(found["top_k"])
    assert read_json(run / "teacher_outputs" / "outputs.json")["top_k"] == found["top_k"]
