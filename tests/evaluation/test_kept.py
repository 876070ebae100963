from dataclasses import replace

import numpy as np
import pytest

from recdistill.config import EvaluateConfig
from recdistill.errors import UserError
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.kept import read_ranking, unchanged_models
from recdistill.profiling.profiler import Profiler

CONFIG = EvaluateConfig(batch_size=4, bootstrap_samples=100, permutations=100, candidates=3)
INPUTS = {"data": "d", "split": "s", "seed": "1", "student": "a", "teacher": "b", "distill": "c"}


def manifest(**inputs):
    config = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}
    return {"inputs": INPUTS | inputs, "config": config, "environment": {"device": "cpu"}}


@pytest.mark.parametrize(
    ("changed", "models"),
    [
        ({}, {"student", "teacher", "distilled"}),
        ({"distill": "x"}, {"student", "teacher"}),
        ({"teacher": "x", "distill": "x"}, {"student"}),
        ({"student": "x", "teacher": "x", "distill": "x"}, set()),
        ({"data": "x"}, set()),
        ({"split": "x"}, set()),
        ({"seed": "2"}, set()),
    ],
)
def test_a_model_has_not_changed_where_nothing_that_it_was_made_from_has(changed, models):
    assert unchanged_models(manifest(**changed), INPUTS, CONFIG, "cpu") == models


@pytest.mark.parametrize(
    "other", [{"split": "validation"}, {"filter_seen": False}, {"batch_size": 8}, {"candidates": 4}]
)
def test_another_question_is_asked_anew(other):
    assert unchanged_models(manifest(), INPUTS, replace(CONFIG, **other), "cpu") == set()


def test_what_is_made_of_the_ranks_afterwards_asks_nothing_anew():
    config = replace(CONFIG, bootstrap_samples=50, permutations=50)
    assert unchanged_models(manifest(), INPUTS, config, "cpu") == {"student", "teacher", "distilled"}


def test_another_device_rounds_otherwise():
    assert unchanged_models(manifest(), INPUTS, CONFIG, "cuda") == set()


def test_a_model_that_the_run_does_not_have_has_not_been_ranked():
    alone = {name: value for name, value in INPUTS.items() if name not in ("teacher", "distill")}
    assert unchanged_models(manifest(), alone, CONFIG, "cpu") == {"student"}


class Fixed:
    """The same scores for everyone."""

    def __init__(self, num_items, seed):
        self.scores = np.random.default_rng(seed).normal(size=num_items + 1)

    def score(self, users, positions):
        import torch

        return torch.tensor(np.tile(self.scores, (len(users), 1)))


@pytest.fixture
def data(make_data):
    rng = np.random.default_rng(0)
    return make_data(*[(rng.permutation(40) + 1)[: rng.integers(3, 12)].tolist() for _ in range(24)], num_items=40)


def refuse():
    raise AssertionError("was ranked anew")


@pytest.mark.parametrize("candidates", [0, 3])
def test_ranks_that_are_read_back_give_the_very_same_result(data, tmp_path, candidates):
    config = replace(CONFIG, candidates=candidates)
    scorers = {"student": lambda: Fixed(40, 1), "teacher": lambda: Fixed(40, 2)}
    before = evaluate(data, config, scorers, 0, tmp_path / "before", Profiler())
    again = evaluate(
        data, config, {"student": refuse, "teacher": refuse}, 0, tmp_path / "again", Profiler(),
        earlier=tmp_path / "before", unchanged=("student", "teacher"),
    )  # fmt: skip
    assert again == before
    files = sorted(path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*.npy"))
    assert len(files) == (9 if candidates else 6)
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "before" / file).read_bytes()


def test_one_model_changes_and_the_other_is_read_back(data, tmp_path):
    first = {"teacher": lambda: Fixed(40, 2), "distilled": lambda: Fixed(40, 3)}
    evaluate(data, CONFIG, first, 0, tmp_path / "before", Profiler())
    then = {"teacher": refuse, "distilled": lambda: Fixed(40, 4)}
    kept = evaluate(
        data, CONFIG, then, 0, tmp_path / "kept", Profiler(), tmp_path / "before", unchanged=("teacher",)
    )  # fmt: skip
    fresh = {"teacher": lambda: Fixed(40, 2), "distilled": lambda: Fixed(40, 4)}
    assert kept == evaluate(data, CONFIG, fresh, 0, tmp_path / "fresh", Profiler())


def test_an_evaluation_that_stored_no_lists_is_done_anew(data, tmp_path):
    evaluate(data, CONFIG, {"student": lambda: Fixed(40, 1)}, 0, tmp_path / "before", Profiler())
    (tmp_path / "before" / "top_items" / "student.npy").unlink()
    assert read_ranking(tmp_path / "before", "student", 24, True) is None
    with pytest.raises(AssertionError, match="anew"):
        evaluate(data, CONFIG, {"student": refuse}, 0, tmp_path / "x", Profiler(), tmp_path / "before", ("student",))


def test_a_file_of_other_rows_is_refused_by_its_path(data, tmp_path):
    evaluate(data, CONFIG, {"student": lambda: Fixed(40, 1)}, 0, tmp_path, Profiler())
    np.save(tmp_path / "ranks" / "student.npy", np.ones(23, dtype=np.int64))
    with pytest.raises(UserError, match=r"ranks/student\.npy: int64 \(23,\), not int64 of 24 rows"):
        read_ranking(tmp_path, "student", 24, True)
