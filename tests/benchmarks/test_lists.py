"""What the lists of a run of the command line's know of their targets."""

import json
import sys
from pathlib import Path

import pytest

import lists
from chain import options, write_interactions
from gate import config_of
from recdistill.cli import main
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.ranking import rank
from recdistill.storage.files import read_json
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import load_teacher


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
        assert found[split]["ndcg@10"] == pytest.approx(float(ndcg(ranks, 10).mean()), abs=2e-3)
    written = read_json(run / "teacher_outputs" / "target_memorisation.json")
    assert written == {split: found[split] for split in ("train", "validation")}
