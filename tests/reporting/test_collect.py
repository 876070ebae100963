import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recdistill.errors import UserError
from recdistill.reporting.collect import read_run


def test_reads_what_the_steps_left(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "my run"))
    assert run.name == "my run"
    assert list(run.steps) == ["prepare", "student", "teacher", "teacher_outputs", "distilled", "evaluation"]
    assert run.steps["student"].seconds["train step"] == 90.25
    assert run.steps["student"].memory["write"]["peak_rss_gib"] == 1.5
    first, second = run.steps["student"].curve[:2]
    assert (first.epoch, first.loss, first.ndcg) == (0, None, 0.01)
    assert (second.step, second.targets, second.loss) == (15, 97171, 6.9)
    assert run.steps["prepare"].curve == []
    assert run.gate is not None
    assert run.gate.weights[0] == [0.4, 0.3, 0.2, 0.1]


def test_missing_parts_are_none(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, without=("prepare", "teacher", "evaluation")))
    assert (run.data, run.metrics, run.gate, run.evidence) == (None, None, None, None)
    assert "teacher" not in run.steps


def test_a_teacher_without_a_gate(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    examples: dict[str, object] = {"users": [], "entropy": None, "between_user_std": None}
    (folder / "teacher" / "gate_examples.json").write_text(json.dumps(examples))
    assert read_run(folder).gate is None


def test_a_folder_without_steps_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished step"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,step\n1,2\n", "no column 'targets'"),
        ("epoch,step,targets,loss,ndcg@10,seconds\n1,2,3,x,0.1,1\n", r"training\.csv:2: not a row of numbers"),
        ("epoch,step,targets,loss,ndcg@10,seconds\n1,2\n", r"training\.csv:2: not a row of numbers"),
    ],
)
def test_a_broken_curve_is_named(make_run: Callable[..., Path], tmp_path: Path, text: str, message: str) -> None:
    folder = make_run(tmp_path)
    (folder / "student" / "training.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_run(folder)
