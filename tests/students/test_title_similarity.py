"""The decayed mean of a history's titles, and a student whose scores have a part for similar ones."""

from pathlib import Path

import pytest
import torch

from recdistill.config import StudentConfig
from recdistill.errors import UserError
from recdistill.storage.files import read_json, write_json
from recdistill.students.base import Student
from recdistill.students.make import load_student, make_student, save_student
from recdistill.students.title_similarity import TitleSimilarity, decayed_mean


def test_the_latest_weighs_most_and_later_items_nothing() -> None:
    vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    found = decayed_mean(vectors[torch.tensor([[1, 2, 3], [2, 0, 0]])], 0.5)
    # Weights 1; 1/3 and 2/3; 1/7, 2/7 and 4/7.
    torch.testing.assert_close(found[0], torch.tensor([[1.0, 0.0], [1 / 3, 2 / 3], [9 / 7, 10 / 7]]))
    torch.testing.assert_close(found[1, 0], vectors[2])


def test_without_fading_it_is_the_plain_mean() -> None:
    vectors = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    items = torch.tensor([[4, 2, 5, 1]])
    torch.testing.assert_close(decayed_mean(vectors[items], 1.0)[0, 3], vectors[items[0]].mean(dim=0))


def similar_student(seed: int = 0, /, **shape: object) -> tuple[Student, Student, torch.Tensor]:
    """A student, the same with a part for similar titles, and their vectors."""
    made = []
    for _ in range(2):
        torch.manual_seed(seed)
        made.append(make_student(StudentConfig(embedding_dim=8, max_length=6, **shape), 9).eval())  # type: ignore[arg-type]
    titles = torch.randn(10, 3)
    titles[0] = titles[4] = 0  # the padding's, and an item's without a title
    made[1].see_similarity(titles, 0.5, 2.0)
    return made[0], made[1], titles


@pytest.mark.parametrize("shape", [{}, {"model": "gru4rec"}, {"block": "hstu"}])
def test_scores_are_the_students_and_the_similarity_times_its_weight(shape: dict[str, object]) -> None:
    plain, similar, titles = similar_student(0, **shape)
    items = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])
    mean = torch.stack([(titles[1] + 2 * titles[2] + 4 * titles[3]) / 7, (titles[4] + 2 * titles[5]) / 3])
    with torch.no_grad():
        expected = plain.last_scores(items) + 2.0 * mean @ titles.T
        torch.testing.assert_close(similar.last_scores(items), expected)
        to_the_left = torch.tensor([[0, 1, 2, 3], [0, 0, 4, 5]])
        torch.testing.assert_close(similar.last_scores(to_the_left), expected)
    assert similar.state_dim == similar.item_vectors().shape[1] == 11


def test_it_is_saved_and_loaded_and_takes_new_items(tmp_path: Path) -> None:
    plain, similar, titles = similar_student()
    save_student(similar, tmp_path)
    loaded = load_student(tmp_path)
    assert loaded.similarity == TitleSimilarity(3, 0.5, 2.0)
    items = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(loaded.last_scores(items), similar.last_scores(items))
        loaded.append_items(torch.cat([torch.zeros(1, 8), titles[3:4]], dim=1))
        scores = loaded.last_scores(torch.tensor([[1, 2, 3, 10]]))
    assert scores.shape == (1, 11)
    save_student(plain, tmp_path / "plain")
    assert not {"title_dim", "title_decay", "title_weight"} & set(read_json(tmp_path / "plain" / "student.json"))


def test_titles_that_item_vectors_see_are_folded_in() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(10, 4)
    student = make_student(StudentConfig(embedding_dim=8, max_length=6), 9, embeddings, 1.0).eval()
    before = student.item_vectors().detach()
    student.see_similarity(torch.ones(10, 2), 1.0, 0.0)
    assert torch.equal(student.item_vectors()[:, :8], before)
    assert [name for name, _ in student.named_parameters() if name.startswith("items.")] == ["items.ids"]


def test_it_is_added_once_and_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    _, similar, titles = similar_student()
    with pytest.raises(ValueError, match="already"):
        similar.see_similarity(titles, 0.5, 1.0)
    save_student(similar, tmp_path)
    shape = read_json(tmp_path / "student.json")
    write_json(tmp_path / "student.json", shape | {"title_dim": 4})
    with pytest.raises(UserError, match="weights do not fit the shape"):
        load_student(tmp_path)
