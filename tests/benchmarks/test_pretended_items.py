"""Known items taken for new ones, in a small run whose numbers can be made by hand."""

import json
from pathlib import Path

import pytest
import torch

import pretended_items
from chain import options, write_interactions
from pretended_items import Pretended
from recdistill.cli import main
from recdistill.config import EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.protocol import validation_metrics
from recdistill.evaluation.scorer import state_scorer
from recdistill.students.make import load_student
from recdistill.students.title_map import load_title_map


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    folder = tmp_path_factory.mktemp("pretended-items")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        assert main(["distill", *options(folder / "run", tiny_llm, write_interactions(folder / "data"))]) == 0
    return folder / "run"


@pytest.fixture
def pretended(run: Path) -> Pretended:
    with torch.inference_mode():
        return Pretended(run, None)


def test_items_with_their_own_vectors_are_ranked_as_validation_ranks_them(run: Path, pretended: Pretended) -> None:
    quality = pretended.quality(pretended.as_trained)
    data, student = PreparedData.load(run / "prepare"), load_student(run / "distilled")
    scorer = state_scorer(student, data, student.config.max_length)
    wanted = validation_metrics(scorer, data, EvaluateConfig())["ndcg@10"]
    each = len(pretended.targets)
    new = sum(int((pretended.fold[pretended.targets - 1] == number).sum()) for number in range(pretended_items.FOLDS))
    assert new == each
    nine = pretended_items.FOLDS - 1
    assert (quality.new + nine * quality.known) / pretended_items.FOLDS == pytest.approx(wanted, abs=1e-6)


def test_todays_way_is_what_add_items_gives(run: Path, pretended: Pretended) -> None:
    title_map, _ = load_title_map(run / "distilled")
    is_new = torch.zeros(len(pretended.fold), dtype=torch.bool)
    is_new[-3:] = True
    rest = type(title_map)(title_map.mean, title_map.matrix, title_map.embeddings[:-3], title_map.axes)
    wanted = rest.vectors(title_map.embeddings[-3:], pretended.table)
    assert torch.allclose(pretended.filled("soft:20*1")(is_new), wanted, atol=1e-5)


def test_a_lift_lists_new_items_more_often_and_a_price_bounds_it(pretended: Pretended) -> None:
    fill = pretended.filled("none")
    low, high = (pretended.quality(fill, lift) for lift in (-0.6, 5.0))
    assert low.share < high.share
    absent = pretended.quality(None)
    assert absent.share == 0
    assert absent.new == 0
    lift, quality = pretended_items.at_price(pretended, fill, 0.5 * absent.known)
    assert quality.known >= 0.5 * absent.known
    assert pretended_items.LEAST <= lift <= pretended_items.MOST


def test_lines_for_each_way(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretended_items.main([str(run), "--ways", "soft:20*1*2", "ridge:1*2", "--users", "20"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["way"] for line in lines] == ["as trained", *2 * ["soft:20*1*2"], *2 * ["ridge:1*2"]]
    assert [line["lift"] is None for line in lines] == [True, True, False, True, False]
    with pytest.raises(SystemExit, match="hard:1: no such way"):
        pretended_items.main([str(run), "--ways", "hard:1"])
