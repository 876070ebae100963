"""What CONTRIBUTING.md says of additions: a name in a setting's type, without what belongs to it, fails here."""

import re
from pathlib import Path
from typing import get_args, get_type_hints

import polars as pl
import pytest
import torch

from recdistill.config import BASELINES, DataConfig, LossConfig, StudentConfig
from recdistill.config.source import ChosenSource
from recdistill.data.frames import Frames
from recdistill.data.sources import open_source
from recdistill.errors import UserError
from recdistill.evaluation.baselines import BUILDERS
from recdistill.evaluation.metrics import METRICS
from recdistill.languages import LANGUAGES
from recdistill.reporting.language import Texts
from recdistill.students.losses import training_loss
from recdistill.students.negatives import Negatives
from recdistill.students.sasrec import BLOCKS, SASRec

DOCS = Path(__file__).parents[1] / "docs"


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


def test_the_files_and_tests_that_contributing_names_exist() -> None:
    text = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(tests) >= 6
    for path, name in tests:
        assert f"def {name}" in (DOCS.parent / path).read_text(encoding="utf-8")
    files = set(
        re.findall(r"`((?:students|config|data|distill|training|evaluation|locales|profiling|tune)/[\w/]+\.\w+)`", text)
    )
    assert len(files) >= 12
    assert not [name for name in files if not (DOCS.parent / "src/recdistill" / name).is_file()]
