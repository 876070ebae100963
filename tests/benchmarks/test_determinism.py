from pathlib import Path

import numpy as np
import pytest

from determinism import ROUNDING, Row, as_markdown, compared
from determinism_chain import Chain


def test_a_row_keeps_what_it_promises() -> None:
    def row(promise: str, difference: float) -> Row:
        return Row("scoring", "a", "student", promise, difference, 1.0)  # type: ignore[arg-type]

    assert [row("same bits", one).is_kept for one in (0.0, 1e-9)] == [True, False]
    assert [row("rounding", one).is_kept for one in (0.0, ROUNDING, 2 * ROUNDING)] == [True, True, False]
    assert row("not promised", 1.0).is_kept
    assert not row("same bits", float("nan")).is_kept


def test_scores_are_compared_by_their_largest_difference_and_their_lists() -> None:
    before = {"student": np.array([[4.0, 2.0, 1.0], [1.0, 2.0, 4.0]], dtype=np.float32)}
    after = {"student": np.array([[4.0, 2.0, 1.0], [3.0, 2.0, 4.0]], dtype=np.float32)}
    (row,) = compared("scoring", "a", "not promised", before, after)
    assert (row.difference, row.same_lists) == (0.5, 0.5)
    assert as_markdown([row]).splitlines()[-1] == "| scoring | a | student | not promised | 5.0e-01 | 50 % |"
    assert "| 0 | 100 % |" in as_markdown(compared("scoring", "a", "same bits", before, before))


def test_a_student_of_another_process_is_the_same_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    small = {
        "data__planted__users": 30,
        "data__planted__items": 40,
        "student__train__max_epochs": 1,
        "teacher__kind": "none",
    }
    here = Chain(tmp_path / "here", tmp_path / "none", **small).train(until="student")
    there = Chain(tmp_path / "there", tmp_path / "none", **small).train_elsewhere(until="student")
    assert np.array_equal(here.student_scores("student"), there.student_scores("student"))
