"""The step that plans of memory are measured with is the teacher's own."""

from pathlib import Path

import pytest
import torch

from plan_gpu import CONFIGS, SHOWN, beside_plan
from recdistill.plan.plan_config import PlanConfig
from teacher_step import HISTORY, made_up_batch, make_ranker, make_step

CONFIG = PlanConfig(
    layers=2, batch_size=3, tokens=60, targets_per_prompt=4, items=30, head_dim=8, title_dim=8, device="cpu"
)


def test_prompts_are_of_the_plans_size() -> None:
    batch = made_up_batch(CONFIG)
    assert batch.token_ids.shape == (3, 60)
    assert batch.mask.all()
    assert len(batch.target_items) == 12
    assert batch.target_rows.bincount().tolist() == [4, 4, 4]
    assert int(batch.target_columns.max()) == 59
    assert 1 <= int(batch.target_steps.min()) <= int(batch.target_steps.max()) <= HISTORY
    assert int(batch.steps.max()) <= HISTORY


@pytest.mark.usefixtures("graphs_alone")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_trains(tiny_llm: Path, tmp_path: Path, compiled: bool) -> None:
    ranker = make_ranker(CONFIG, str(tiny_llm), tmp_path, compiled)
    torch.manual_seed(1)
    step = make_step(ranker, made_up_batch(CONFIG))
    losses = [step() for _ in range(30)]
    assert losses[-1] < losses[0] - 0.05
    assert ranker.training


def test_figures_stand_beside_their_plan() -> None:
    found = {"measured_gib": 29.0, "step_seconds": 0.3, "matmul_peak_flops": 8e14}
    line = beside_plan("bf16", CONFIGS["bf16"], found)
    assert line["plan_over_measured"] == pytest.approx(line["plan_gib"] / 29.0)
    assert 0 < line["executed_flops_of_peak"] < 1
    assert set(SHOWN) < set(line)
