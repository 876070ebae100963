import math
from pathlib import Path

import pytest
import torch

from recdistill.config import StudentConfig
from recdistill.errors import UserError
from recdistill.students.make import make_student
from recdistill.students.map_about import MapAbout
from recdistill.students.title_map import SHARPNESS, TitleMap, load_title_map, save_title_map


def some_map() -> TitleMap:
    matrix = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    return TitleMap(torch.tensor([1.0, 2.0]), matrix, torch.tensor([[1.5, 2.0], [1.0, 3.0]]).half(), torch.zeros(2, 0))


def test_titles_are_centred_and_projected() -> None:
    assert some_map().titles(torch.tensor([[3.0, 5.0], [1.0, 2.0]])).tolist() == [[2.0, 3.0, 4.0], [0.0, 0.0, 0.0]]


def test_id_embeddings_are_lent_by_like_titles(monkeypatch: pytest.MonkeyPatch) -> None:
    made = some_map()
    ids = torch.tensor([[10.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
    table = torch.cat([torch.zeros(1, 3), ids + made.titles(made.embeddings), torch.full((1, 3), 99.0)])
    # Less its mean, the first title points along the first axis and the second along the second: cosines 1 and 0, then
    # both the square root of a half.
    new = torch.tensor([[4.0, 2.0], [3.0, 4.0]])
    share = 1 / (1 + math.exp(-SHARPNESS))
    lent = torch.tensor([[10 * share, 10 * (1 - share), 0.0], [5.0, 5.0, 0.0]])
    torch.testing.assert_close(made.vectors(new, table), lent + made.titles(new))
    monkeypatch.setattr("recdistill.students.title_map.CHUNK", 2)
    torch.testing.assert_close(made.vectors(new, table), lent + made.titles(new))


def test_the_first_titles_tell_another_encoder() -> None:
    made = some_map()
    assert made.is_made_for(made.embeddings + 0.01)
    assert made.is_made_for(made.embeddings[:1])
    assert not made.is_made_for(made.embeddings.flip(0))  # alike but for what all titles have in common
    assert not made.is_made_for(torch.ones(2, 3))
    assert not made.is_made_for(torch.zeros(2, 2))


def test_an_example_without_a_token_moves_no_other_examples_place() -> None:
    made = some_map()
    none = torch.zeros(1, 2)
    embeddings = torch.cat([made.embeddings[:1], none.half(), made.embeddings[1:]])
    with_gap = TitleMap(made.mean, made.matrix, embeddings, made.axes)
    again = torch.cat([made.embeddings[:1].float(), none, made.embeddings[1:].float()])
    assert with_gap.is_made_for(again)
    assert not with_gap.is_made_for(again.flip(0))


def test_a_saved_map_is_the_same_and_what_is_missing_is_told(tmp_path: Path) -> None:
    written: MapAbout = {"examples": ["Heat", "Ran"], "columns": {}, "teacher": {}}
    save_title_map(some_map(), written, tmp_path)
    loaded, about = load_title_map(tmp_path)
    assert about == written
    assert all(torch.equal(getattr(loaded, name), getattr(some_map(), name)) for name in vars(loaded))
    (tmp_path / "title_map.json").write_text('{"examples": [], "teacher": {}}')
    with pytest.raises(UserError, match=r"title_map\.json: columns: missing"):
        load_title_map(tmp_path)
    (tmp_path / "title_map.json").unlink()
    with pytest.raises(UserError, match="knows its items by their ids alone"):
        load_title_map(tmp_path)


def test_appended_items_are_scored_and_leave_the_others_alone() -> None:
    student = make_student(StudentConfig(embedding_dim=3, num_heads=1, num_layers=1, max_length=4), 5).eval()
    history = torch.tensor([[1, 4, 2]])
    before = student.last_scores(history)
    student.append_items(torch.ones(2, 3))
    after = student.last_scores(history)
    assert after.shape == (1, 8)
    torch.testing.assert_close(after[:, :6], before)  # products of other shapes are rounded otherwise
    torch.testing.assert_close(after[:, 6], student.last_states(history).sum(dim=1))
    with_titles = make_student(StudentConfig(embedding_dim=4, num_heads=1, num_layers=1), 5, torch.randn(6, 7), 1.0)
    with pytest.raises(ValueError, match="folded in"):
        with_titles.append_items(torch.ones(1, 4))


def test_for_a_student_with_similar_titles_a_new_item_has_its_title_behind_its_vector(tmp_path: Path) -> None:
    made = some_map()
    similar = TitleMap(made.mean, made.matrix, made.embeddings, torch.tensor([[2.0], [0.5]]))
    table, new = torch.randn(4, 4), torch.tensor([[4.0, 2.0]])
    vectors = similar.vectors(new, table)
    torch.testing.assert_close(vectors[:, :3], made.vectors(new, table[:, :3]))
    assert vectors[:, 3:].tolist() == [[6.0]]
    save_title_map(similar, {"examples": [], "columns": {}, "teacher": {}}, tmp_path)
    assert torch.equal(load_title_map(tmp_path)[0].axes, similar.axes)
