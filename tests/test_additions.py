"""What CONTRIBUTING.md says of additions: a name in a setting's type, without what belongs to it, fails here."""

import re
from pathlib import Path
from typing import get_args, get_type_hints

import polars as pl
import pytest
import torch

from recdistill.config import BASELINES, DataConfig, DistillConfig, LossConfig, StudentConfig, TeacherConfig
from recdistill.config.source import ChosenSource
from recdistill.data.frames import Frames
from recdistill.data.sources import open_source
from recdistill.distill.methods import ListBatch, method_loss
from recdistill.errors import UserError
from recdistill.evaluation.baselines import BUILDERS
from recdistill.evaluation.metrics import METRICS
from recdistill.language_models.backbone import load_backbone
from recdistill.languages import LANGUAGES
from recdistill.reporting.language import Texts
from recdistill.students.losses import training_loss
from recdistill.students.negatives import Negatives
from recdistill.students.sasrec import BLOCKS, SASRec
from tiny_decoders import tiny_model

ROOT = Path(__file__).parents[1]
SOURCE, DOCS = ROOT / "src" / "recdistill", ROOT / "docs"


def choices(section: type, name: str) -> tuple[str, ...]:
    return get_args(get_type_hints(section)[name])


@pytest.mark.parametrize("block", choices(StudentConfig, "block"))
def test_a_block_is_built_and_looks_at_no_later_item(block: str) -> None:
    assert block in BLOCKS
    config = StudentConfig(block=block, embedding_dim=8, num_heads=2, max_length=4)
    student = SASRec(config, 9).eval()
    one, other = (student.states(torch.tensor([[3, 5, last, 0]]))[0, :2] for last in (1, 7))
    assert torch.allclose(one, other)


@pytest.mark.parametrize("name", choices(LossConfig, "name"))
def test_a_loss_falls_when_the_target_scores_higher(name: str) -> None:
    config = LossConfig(name=name, negatives=3)  # type: ignore[arg-type]
    vectors = torch.eye(6)
    loss, target = config.chosen(5), torch.tensor([2])
    negatives = Negatives(torch.tensor([1, 3, 4]), rate=0.75)
    low, high = (training_loss(loss, scale * vectors[[2]], vectors, target, negatives) for scale in (0.1, 2.0))
    assert high < low


@pytest.mark.parametrize("method", choices(DistillConfig, "method"))
def test_a_distillation_loss_falls_when_the_student_ranks_as_the_teacher_does(method: str) -> None:
    chosen = DistillConfig(method=method).chosen  # type: ignore[arg-type]
    items, teacher_scores = torch.tensor([[2, 4, 0]]), torch.tensor([[3.0, 1.0, -torch.inf]])
    losses = []
    for scores in ([0.0, 0, 3, 0, 1, 0], [0.0, 0, -1, 0, 0, 0]):  # of items 0..5: as the teacher, and the other way
        states = torch.tensor([scores])
        own = states.gather(1, items)
        losses.append(method_loss(chosen, ListBatch(states, torch.eye(6), items[0, :1], items, teacher_scores, own, 3)))
    assert losses[0] < losses[1]


def test_a_decoder_that_no_file_names_is_loaded(tmp_path: Path) -> None:
    assert not [path for path in SOURCE.rglob("*.py") if "granite" in path.read_text(encoding="utf-8").lower()]
    llm = tiny_model("granite", tmp_path / "granite")
    backbone = load_backbone(TeacherConfig(llm=str(llm)), tmp_path, "cpu", 2)
    with torch.no_grad():
        states = backbone.decoder(input_ids=torch.tensor([[1, 2, 3]])).last_hidden_state
    assert states.shape[:2] == (1, 3)


@pytest.mark.parametrize("source", choices(DataConfig, "source"))
def test_every_source_is_opened(source: str, tmp_path: Path) -> None:
    """What none of them finds in an empty folder is said; generated data needs none, and frames are given."""
    path = "" if source in ("planted", "frames") else str(tmp_path)
    config = DataConfig(source=source, path=path)  # type: ignore[arg-type]
    if source == "planted":
        assert open_source(config).files == []
    elif source == "frames":
        rows = {"user_id": ["a"], "item_id": ["b"], "timestamp": [1]}
        assert open_source(config, Frames.of(pl.DataFrame(rows), None)).files == []
    else:
        with pytest.raises(UserError, match=re.escape(str(tmp_path))):
            open_source(config)


def test_every_source_is_a_kind_of_its_own() -> None:
    made = {source: DataConfig(source=source, path="x").chosen for source in choices(DataConfig, "source")}  # type: ignore[arg-type]
    assert {type(one) for one in made.values()} == set(get_args(ChosenSource))
    assert len(get_args(ChosenSource)) == len(made)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_described(name: str) -> None:
    assert f"`{name}@k`" in (DOCS / "evaluation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_fitted_and_has_a_name_in_every_language(name: str, language: str) -> None:
    assert name in BUILDERS
    assert Texts(language).name(name) != name


@pytest.fixture(scope="module")
def additions() -> dict[str, list[str]]:
    """What CONTRIBUTING says can be added → the files, their number and the test."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if " | " in line]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize(
    "what",
    [
        "a block of SASRec",
        "a student's own loss",
        "a distillation loss",
        "a metric of each target",
        "a data source",
        "a decoder",
    ],
)
def test_an_addition_touches_few_files_and_has_a_test_here(additions: dict[str, list[str]], what: str) -> None:
    _, number, test = additions[what]
    assert int(number.split()[-1]) <= 3
    assert "`tests/test_additions.py::" in test


def test_the_files_and_tests_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(tests) >= 10
    for path, name in tests:
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8")
    files = set(re.findall(r"`((?!src/|tests/|docs/|benchmarks/)\w+/[\w/]+\.(?:py|ftl))`", text))
    assert len(files) >= 16
    assert not [name for name in files if not (SOURCE / name).is_file()]
