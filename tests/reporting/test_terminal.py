from collections.abc import Callable
from pathlib import Path

import pytest

from recdistill.errors import UserError
from recdistill.reporting.terminal import results_table


def test_table_of_all_models_with_what_was_ranked(make_run: Callable[..., Path], tmp_path: Path) -> None:
    lines = results_table(make_run(tmp_path)).splitlines()
    assert lines[0].split() == ["NDCG@10", "HR@10", "MRR@10"]
    assert lines[5] == "distilled     0.1200 [0.1100, 0.1300]  0.1200 [0.1100, 0.1300]  0.1200"
    assert len({len(line) for line in lines[:6]}) == 1
    assert "seen items filtered out" in lines[7]
    assert lines[8].startswith("3 of 940 targets repeat an item of their own history.")
    assert "the co-occurrence baseline" in lines[9] or "the popularity baseline" in lines[9]
    assert any(line.startswith("The distilled student is above the student by 0.0200") for line in lines)


def test_a_run_that_was_not_evaluated(make_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.json: no such file"):
        results_table(make_run(tmp_path, without=("evaluation",)))
