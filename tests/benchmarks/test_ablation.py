"""The ablation end to end on the tiny language model, and what its figures are made of."""

import json
import sys
from pathlib import Path

import pytest
import torch

import ablation
from chain import options, write_interactions
from naive.options import ablation as options_of
from naive.options import can_pack
from recdistill.cli import main
from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.teacher.teacher import Teacher


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """A prepared folder of forty users."""
    folder = tmp_path_factory.mktemp("ablation")
    events = write_interactions(folder / "data")
    data = [option for option in options(folder / "run", tiny_llm, events) if "=" not in option or "data." in option]
    assert main(["prepare", *data, f"--run={folder / 'run'}"]) == 0
    return folder / "run" / "prepare"


def test_all_arms_are_checked_and_measured(
    prepared: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    command = [
        "ablation.py",
        f"--data={prepared}",
        f"--llm={tiny_llm}",
        f"--out={tmp_path / 'ablation.jsonl'}",
        "--layers=2",
        "--batch=4",
        "--history=4",
        "--window=10",
        "--repeats=2",
        "--peak-seconds=0.01",
    ]
    monkeypatch.setattr(sys, "argv", command)
    ablation.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [json.loads(line) for line in (tmp_path / "ablation.jsonl").read_text().splitlines()] == lines
    variants = {line["variant"]: line for line in lines if "variant" in line}
    assert set(variants) == {
        *options_of(can_pack()),
        "cached_tokens_again",
        "plain_lora_without_head",
        "item_prompts",
    }
    checked = {line["check"]: line["largest_difference"] for line in lines if "check" in line}
    assert set(checked) == set(variants) - {"cached_tokens", "plain_lora_without_head", "item_prompts"}
    assert 0 < checked["naive"] < 1e-4
    assert variants["naive"]["padding_share"] > 0.2
    assert variants["cached_tokens"]["padding_share"] < 0.1
    ratios = lines[-1]["ratios"]
    low, high = ratios["naive_step_against_ours"]["range"]
    assert low <= ratios["naive_step_against_ours"]["median"] <= high
    last = (
        variants["causal_gate"]["targets_per_second"]["median"] / variants["causal_gate"]["rows_per_second"]["median"]
    )
    assert last > 3


def test_useful_work_by_hand(config: RunConfig, data: PreparedData, student_folder: Path) -> None:
    """Two blocks of width 64: q and o 64·64, k and v 64·32, gate, up and down 64·128; two prompts of 3 and 5 tokens."""
    flops = ablation.UsefulFlops(Teacher(config, data, student_folder, "cpu").ranker)
    weights = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    pairs = 3 * 4 / 2 + 5 * 6 / 2
    linear, attention = 2 * weights * 8, 2 * (2 * 2 * 64 * pairs)
    # Back, a frozen layer needs its input's gradient; attention's products have two inputs each.
    assert flops(torch.tensor([3, 5])) == 2 * linear + 3 * attention
    assert set(flops.shapes) == {(64, 64), (32, 64), (128, 64), (64, 128)}
