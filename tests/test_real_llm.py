"""One small chain with the real models on real data; all are fetched once into the user's cache."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recdistill.cli import main
from recdistill.data.fetch import fetch

pytestmark = pytest.mark.llm

SETTINGS = {
    "threads": 2,
    "device": "cpu",
    "data.limit_rows": 4000,
    "student.max_length": 20,
    "student.train.max_epochs": 30,
    "student.train.batch_size": 8,
    "teacher.layers": 2,
    "teacher.history_length": 20,
    "teacher.train.max_epochs": 1,
    "teacher.train.batch_size": 4,
    "distill.train.max_epochs": 10,
    "distill.train.batch_size": 8,
    "evaluate.bootstrap_samples": 100,
    "evaluate.permutations": 100,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    fetch("ml-100k")
    fetch("smollm2")
    fetch("minilm")
    run = tmp_path_factory.mktemp("real") / "run"
    assert main(["run", "--quiet", f"--run={run}", *(f"--{key}={value}" for key, value in SETTINGS.items())]) == 0
    return run


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def validations(run: Path, step: str) -> list[dict[str, str]]:
    header, *rows = (run / step / "training.csv").read_text().splitlines()
    return [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]


def test_an_untrained_teacher_is_its_student_and_the_likeness_of_titles_where_that_helps(run: Path) -> None:
    best = max(float(row["ndcg@10"]) for row in validations(run, "student"))
    untrained = validations(run, "teacher")[0]
    assert untrained["step"] == "0"
    assert float(untrained["ndcg@10"]) >= best - 1e-6
    assert max(float(row["ndcg@10"]) for row in validations(run, "teacher")) >= float(untrained["ndcg@10"])


def test_the_teacher_reads_and_ranks(run: Path) -> None:
    evidence = read(run / "teacher" / "evidence.json")
    assert evidence["blocks"] == 2
    assert evidence["adapted_layers"] == 4
    assert evidence["frozen_dtypes"] == evidence["trained_dtypes"] == ["torch.float32"]
    num_items = len(read(run / "prepare" / "catalog.json")["titles"]) - 1
    ranks = np.load(run / "evaluation" / "ranks" / "teacher.npy")
    assert len(ranks) == len(np.load(run / "prepare" / "offsets.npy")) - 1
    assert ranks.min() >= 1
    assert ranks.max() <= num_items
    assert float(validations(run, "teacher")[-1]["loss"]) < np.log(num_items)


def test_every_model_is_better_than_chance(run: Path) -> None:
    """By the mean rank: of 40 targets, none may be among the ten best, on one processor and not on another."""
    items = len(read(run / "prepare" / "catalog.json")["titles"]) - 1
    for name in ("popularity", "student", "teacher", "distilled"):
        ranks = np.load(run / "evaluation" / "ranks" / f"{name}.npy")
        error = 1 / np.sqrt(12 * len(ranks))  # of the mean of numbers drawn uniformly between 0 and 1
        assert ranks.mean() / items < 0.5 - 2 * error


def test_the_distilled_student_recommends_titles(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", str(run), "toy story", "Star Wars", "--top_k=3"]) == 0
    after, following = capsys.readouterr().out.split("next\n")
    assert "Toy Story" in after
    assert "Star Wars" in after
    catalog = read(run / "prepare" / "catalog.json")
    lines = following.splitlines()
    assert len(lines) == 3
    known = {f"{title}  [{item}]" for title, item in zip(catalog["titles"], catalog["item_ids"], strict=True)}
    for line in lines:
        assert line.split(". ", 1)[1].rsplit("  ", 1)[0] in known
