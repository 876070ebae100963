from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.kept import unchanged_models
from recdistill.evaluation.ranking_files import read_ranking
from recdistill.evaluation.results import Metrics
from recdistill.evaluation.scorer import Scorer
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json, write_json
from recdistill.storage.manifest import Environment, Inputs, Manifest

CONFIG = EvaluateConfig(batch_size=4, bootstrap_samples=100, permutations=100, candidates=3)
INPUTS: Inputs = {"data": "d", "split": "s", "seed": "1", "student": "a", "teacher": "b", "distill": "c"}


HERE: Environment = {
    "device": "cpu",
    "time": "now",
    "cpu": {"model": "A", "cores": 1, "threads": 2},
    "gpu": None,
    "python": "3.11",
    "packages": {"torch": "2.13.0"},
    "git": {"commit": "abc", "dirty": False},
}


def manifest(**inputs: Any) -> Manifest:
    config = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}
    return {
        "step": "evaluation",
        "fingerprint": "f",
        "inputs": INPUTS | inputs,
        "config": config,
        "environment": {**HERE, "time": "then"},
    }


@pytest.mark.parametrize(
    ("changed", "models"),
    [
        ({}, {"student", "teacher", "distilled"}),
        ({"distill": "x"}, {"student", "teacher"}),
        ({"teacher": "x", "distill": "x"}, {"student"}),
        ({"student": "x", "teacher": "x", "distill": "x"}, set()),
        ({"teacher": None, "distill": None}, {"student"}),
        ({"data": "x"}, set()),
        ({"split": "x"}, set()),
        ({"seed": "2"}, set()),
    ],
)
def test_a_model_has_not_changed_where_nothing_that_it_was_made_from_has(
    changed: dict[str, str | None], models: set[str]
) -> None:
    assert unchanged_models(manifest(**changed), INPUTS, CONFIG, HERE) == models


@pytest.mark.parametrize(
    "other", [{"split": "validation"}, {"filter_seen": False}, {"batch_size": 8}, {"candidates": 4}]
)
def test_another_question_is_asked_anew(other: dict[str, Any]) -> None:
    assert unchanged_models(manifest(), INPUTS, replace(CONFIG, **other), HERE) == set()


def test_what_is_made_of_the_ranks_afterwards_asks_nothing_anew() -> None:
    config = replace(CONFIG, bootstrap_samples=50, permutations=50)
    assert unchanged_models(manifest(), INPUTS, config, HERE) == {"student", "teacher", "distilled"}


@pytest.mark.parametrize(
    "other",
    [
        {"device": "cuda"},
        {"cpu": {"model": "A", "cores": 1, "threads": 1}},
        {"gpu": {"name": "B"}},
        {"python": "3.12"},
        {"packages": {"torch": "2.14.0"}},
        {"git": {"commit": "abd", "dirty": False}},
        {"git": None},
    ],
)
def test_with_other_code_or_on_another_machine_all_is_ranked_anew(other: Environment) -> None:
    assert unchanged_models(manifest(), INPUTS, CONFIG, {**HERE, **other}) == set()


def test_changes_that_are_in_no_commit_may_be_any() -> None:
    dirty: Environment = {**HERE, "git": {"commit": "abc", "dirty": True}}
    before: Manifest = {**manifest(), "environment": dirty}
    assert unchanged_models(before, INPUTS, CONFIG, dirty) == set()


def test_a_model_that_the_run_does_not_have_has_not_been_ranked() -> None:
    alone = {name: value for name, value in INPUTS.items() if name not in ("teacher", "distill")}
    assert unchanged_models(manifest(), alone, CONFIG, HERE) == {"student"}


class Fixed:
    """The same scores for everyone."""

    def __init__(self, num_items: int, seed: int) -> None:
        self.scores = np.random.default_rng(seed).normal(size=num_items + 1)

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        import torch

        return torch.tensor(np.tile(self.scores, (len(users), 1)))


@pytest.fixture
def data(make_data: Callable[..., PreparedData]) -> PreparedData:
    rng = np.random.default_rng(0)
    return make_data(*[(rng.permutation(40) + 1)[: rng.integers(3, 12)].tolist() for _ in range(24)], num_items=40)


def refuse() -> Scorer:
    raise AssertionError("was ranked anew")


def evaluated(
    data: PreparedData, config: EvaluateConfig, scorers: Mapping[str, Callable[[], Scorer]], folder: Path, *earlier: Any
) -> Metrics:
    """An evaluation with its times, as a run leaves it."""
    profiler = Profiler()
    result = evaluate(data, config, scorers, 0, RunContext("cpu", profiler, folder), *earlier)
    profiler.write(folder)
    return result


@pytest.mark.parametrize("candidates", [0, 3])
def test_ranks_that_are_read_back_give_the_very_same_result(
    data: PreparedData, tmp_path: Path, candidates: int
) -> None:
    config = replace(CONFIG, candidates=candidates)
    scorers = {"student": lambda: Fixed(40, 1), "teacher": lambda: Fixed(40, 2)}
    before = evaluated(data, config, scorers, tmp_path / "before")
    refused = {"student": refuse, "teacher": refuse}
    again = evaluated(data, config, refused, tmp_path / "again", tmp_path / "before", ("student", "teacher"))
    assert again == before
    files = sorted(path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*.npy"))
    assert len(files) == (9 if candidates else 6)
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "before" / file).read_bytes()


def test_one_model_changes_and_the_other_is_read_back(data: PreparedData, tmp_path: Path) -> None:
    first = {"teacher": lambda: Fixed(40, 2), "distilled": lambda: Fixed(40, 3)}
    evaluated(data, CONFIG, first, tmp_path / "before")
    then = {"teacher": refuse, "distilled": lambda: Fixed(40, 4)}
    kept = evaluated(data, CONFIG, then, tmp_path / "kept", tmp_path / "before", ("teacher",))
    fresh = {"teacher": lambda: Fixed(40, 2), "distilled": lambda: Fixed(40, 4)}
    assert kept == evaluated(data, CONFIG, fresh, tmp_path / "fresh")


def test_ranks_cost_what_making_them_has_cost_however_often_they_are_read_back(
    data: PreparedData, tmp_path: Path
) -> None:
    evaluated(data, CONFIG, {"teacher": lambda: Fixed(40, 2)}, tmp_path / "1")
    timings, memory = (read_json(tmp_path / "1" / f"{name}.json") for name in ("timings", "memory"))
    for kind in timings.values():
        kind.update({"rank teacher": 40.0, "load teacher": 2.0})
    memory["phases"]["rank teacher"]["peak_rss_gib"] = 50.0
    for name, content in {"timings": timings, "memory": memory}.items():
        write_json(tmp_path / "1" / f"{name}.json", content)
    for now, before in (("2", "1"), ("3", "2")):
        evaluated(data, CONFIG, {"teacher": refuse}, tmp_path / now, tmp_path / before, ("teacher",))
    for kind in read_json(tmp_path / "3" / "timings.json").values():
        assert (kind["load teacher"], kind["rank teacher"]) == (2.0, 40.0)
    assert read_json(tmp_path / "3" / "memory.json")["phases"]["rank teacher"]["peak_rss_gib"] == 50.0


def test_an_evaluation_that_stored_no_lists_is_done_anew(data: PreparedData, tmp_path: Path) -> None:
    evaluated(data, CONFIG, {"student": lambda: Fixed(40, 1)}, tmp_path / "before")
    (tmp_path / "before" / "top_items" / "student.npy").unlink()
    assert read_ranking(tmp_path / "before", "student", (24, 20), True) is None
    with pytest.raises(AssertionError, match="anew"):
        evaluated(data, CONFIG, {"student": refuse}, tmp_path / "x", tmp_path / "before", ("student",))


@pytest.mark.parametrize(
    ("file", "wrong"), [("ranks", np.ones(23, np.int64)), ("top_items", np.ones((24, 5), np.int32))]
)
def test_a_file_of_another_shape_is_refused_by_its_path(
    data: PreparedData, tmp_path: Path, file: str, wrong: Any
) -> None:
    evaluated(data, CONFIG, {"student": lambda: Fixed(40, 1)}, tmp_path)
    np.save(tmp_path / file / "student.npy", wrong)
    with pytest.raises(UserError, match=rf"{file}/student\.npy: {wrong.dtype} \({len(wrong)}, ?5?\), not"):
        read_ranking(tmp_path, "student", (24, 20), True)
