"""What each part of a teacher's scores is worth, from a run of the command line's."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import parts
from chain import options, write_interactions
from gate import config_of
from recdistill.cli import main
from recdistill.config import EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.protocol import validation_metrics
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import Teacher, load_teacher
from recdistill.training.student import student_scorer
from recdistill.training.teacher import TeacherTraining


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """A run with a finished teacher that has all three parts."""
    folder = tmp_path_factory.mktemp("parts")
    command = options(folder / "run", tiny_llm, write_interactions(folder / "data"), "--teacher.title_decay=0.5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        assert main(["teacher", *command]) == 0
    return folder / "run"


@pytest.fixture
def load(run: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Teacher]:
    """The run's teacher, with parts that all rank, each otherwise."""
    monkeypatch.setenv("RECDISTILL_CACHE", str(run.parent / "cache"))
    data = PreparedData.load(run / "prepare")

    def make() -> Teacher:
        teacher = load_teacher(config_of(run), data, run / "student", run / "teacher", "cpu")
        head, generator = teacher.ranker.head, torch.Generator().manual_seed(2)
        with torch.no_grad():
            head.title_vectors.copy_(torch.randn(head.title_vectors.shape, generator=generator))
            head.query.weight.copy_(torch.randn(head.query.weight.shape, generator=generator) * 0.3)
        return teacher

    return make


def test_all_parts_together_are_what_training_validates_and_keeps(load: Callable[[], Teacher]) -> None:
    found = parts.measure(load())
    teacher = load()
    metrics, head = TeacherTraining(teacher, seed=0).validate(), teacher.ranker.head
    assert head.titles_weight is not None
    assert found["ndcg@10"]["student + correction + titles"] == round(metrics["ndcg@10"], 5)
    chosen = found["weights"]["student + correction + titles"]
    assert chosen["correction"] == pytest.approx(float(head.correction_weight))
    assert chosen["titles"] == pytest.approx(float(head.titles_weight))


def test_each_part_ranks_by_itself(load: Callable[[], Teacher], run: Path) -> None:
    found, teacher = parts.measure(load())["ndcg@10"], load()
    head, data = teacher.ranker.head, teacher.data
    assert head.titles_weight is not None
    assert found["student"] == round(
        validation_metrics(student_scorer(run / "student", data, "cpu"), data, EvaluateConfig())["ndcg@10"], 5
    )
    head.student_vectors.zero_()
    for name, correction, titles in (("correction", 1.0, 0.0), ("titles", 0.0, 1.0)):
        head.correction_weight.data.fill_(correction)
        head.titles_weight.data.fill_(titles)
        assert found[name] == round(validation_metrics(TeacherScorer(teacher), data, EvaluateConfig())["ndcg@10"], 5)
    assert len(set(found.values())) > 3
    assert found["student + titles"] >= found["student"], "0 is among the titles' weights"


def test_one_line_is_printed_and_the_teacher_read_once(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(run.parent / "cache"))
    read: list[int] = []
    predict = Teacher.predict

    def counted(teacher: Teacher, windows: Any, rows: np.ndarray, full_rows: int | None = None) -> Any:
        read.append(len(rows))
        return predict(teacher, windows, rows, full_rows)

    monkeypatch.setattr(Teacher, "predict", counted)
    monkeypatch.setattr(sys, "argv", ["parts.py", f"--run={run}"])
    capsys.readouterr()
    parts.main()
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(read) == line["targets"] == len(PreparedData.load(run / "prepare").targets("validation"))
    assert set(line["ndcg@10"]) == {
        "student",
        "correction",
        "titles",
        "student + correction",
        "student + titles",
        "student + correction + titles",
    }
    whole = line["weights"]["student + correction + titles"]
    assert line["kept"] == pytest.approx(whole), "a finished run has kept what validation chose"


def test_a_teacher_of_one_part_or_of_another_kind_is_refused(
    run: Path, load: Callable[[], Teacher], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = load()
    teacher.ranker.head.residual = False
    with pytest.raises(SystemExit, match="plain head"):
        parts.measure(teacher)
    monkeypatch.setattr(sys, "argv", ["parts.py", f"--run={run}"])
    config = config_of(run)
    object.__setattr__(config.teacher, "kind", "second_student")
    monkeypatch.setattr(parts, "config_of", lambda folder: config)
    with pytest.raises(SystemExit, match=r"teacher\.kind is second_student"):
        parts.main()
