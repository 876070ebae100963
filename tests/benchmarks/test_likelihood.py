"""How probable a language model finds a title: one pass for all candidates, and what is chosen on whose rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from likelihood import TitleLikelihood, check, chosen_on_the_other_half, gained_where, ndcg
from recdistill.config import TeacherConfig
from recdistill.language_models.backbone import load_backbone
from tiny_llm import write_tiny_llm

TITLES = ["", "one", "two words", "", "a longer title"]


@pytest.fixture(scope="module")
def likelihood(tmp_path_factory: pytest.TempPathFactory) -> TitleLikelihood:
    folder = tmp_path_factory.mktemp("likelihood")
    llm = str(write_tiny_llm(folder / "llm", tie_word_embeddings=True))
    return TitleLikelihood(load_backbone(TeacherConfig(llm=llm, layers=None), folder, "cpu", None), TITLES)


def test_candidates_in_one_pass_are_as_probable_as_each_alone(likelihood: TitleLikelihood) -> None:
    assert check(likelihood, [2, 1], [4, 1, 2]) < 1e-5
    assert check(likelihood, [], [4, 1, 2]) < 1e-5


def test_a_title_is_as_probable_as_its_tokens_one_after_another(likelihood: TitleLikelihood) -> None:
    text = [*likelihood.header, *likelihood.lines[2]]
    line = likelihood.lines[4]
    with torch.inference_mode():
        hidden = likelihood.decoder(input_ids=torch.tensor([text + line])).last_hidden_state[0]
        log_p = torch.log_softmax(hidden @ likelihood.words.T, dim=1)
    expected = sum(float(log_p[len(text) - 1 + place, token]) for place, token in enumerate(line))
    assert likelihood.after([2], [4])[0] == pytest.approx(expected, rel=1e-5)


def test_what_a_history_adds_is_the_difference_and_nothing_where_there_is_no_title(likelihood: TitleLikelihood) -> None:
    gained = likelihood.gained([2, 3], [4, 3])
    assert gained[0] == pytest.approx(likelihood.after([2], [4])[0] - likelihood.after([], [4])[0], rel=1e-5)
    assert gained[1] == 0
    assert abs(gained[0]) > 1e-3


def test_only_the_rows_that_are_named_are_read(likelihood: TitleLikelihood, monkeypatch: pytest.MonkeyPatch) -> None:
    items = torch.tensor([[4, 1], [1, 2], [2, 4]])
    expected = likelihood.gained([2], [2, 4])
    read, after = [], likelihood.after

    def seen(history: list[int], of: list[int]) -> NDArray[np.float64]:
        read.append(history)
        return after(history, of)

    monkeypatch.setattr(likelihood, "after", seen)
    gained = gained_where(likelihood, [[4], [2], [2]], items, [2])
    assert not gained[:2].any()
    np.testing.assert_allclose(gained[2], expected, rtol=1e-4)
    assert read == [[2]], "the titles alone are known, and two of the histories change no rank"


def test_a_model_with_an_output_matrix_of_its_own_is_refused(tmp_path: Path) -> None:
    llm = str(write_tiny_llm(tmp_path / "llm", tie_word_embeddings=False))
    with pytest.raises(SystemExit, match="output matrix of its own"):
        TitleLikelihood(load_backbone(TeacherConfig(llm=llm, layers=None), tmp_path, "cpu", None), TITLES)


def test_a_rank_counts_ties_against_the_target_and_is_nothing_without_one() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 0.0], [1.0, 2.0, 3.0]])
    is_target = np.array([[True, False, False], [True, False, False], [False, False, False]])
    np.testing.assert_allclose(ndcg(scores, is_target), [1.0, 1 / np.log2(3), 0.0])


def test_a_weight_is_judged_on_rows_that_it_was_not_chosen_on() -> None:
    """Even rows are helped by the likelihood and odd ones harmed, so each half gets what the other wants."""
    rows = 40
    student = np.tile([1.0, 0.9], (rows, 1))
    is_target = np.tile([False, True], (rows, 1))
    is_target[1::2] = [True, False]
    gained = np.tile([0.0, 1.0], (rows, 1))
    values, weights = chosen_on_the_other_half(student, gained, is_target)
    assert weights[0] == 0.0, "the even rows' weight is the odd rows' best"
    assert weights[1] > 0.1
    assert values.mean() == pytest.approx(1 / np.log2(3))
