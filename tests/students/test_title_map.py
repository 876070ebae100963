from pathlib import Path

import pytest
import torch

from recdistill.config import StudentConfig
from recdistill.errors import UserError
from recdistill.students.make import make_student
from recdistill.students.title_map import TitleMap, load_title_map, rare_base, save_title_map


def some_map() -> TitleMap:
    return TitleMap(
        torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), torch.ones(3), torch.ones(2)
    )


def test_a_vector_is_the_base_and_the_projected_title() -> None:
    assert some_map()(torch.tensor([[3.0, 5.0], [1.0, 2.0]])).tolist() == [[3.0, 4.0, 5.0], [1.0, 1.0, 1.0]]


def test_the_base_is_that_of_the_items_seen_least() -> None:
    vectors = torch.arange(31.0).unsqueeze(1)
    counts = torch.full((31,), 9)
    counts[[4, 8, 30]] = torch.tensor([0, 1, 2])
    assert rare_base(vectors, counts).item() == (4 + 8 + 30) / 3  # of 30 items three; the padding is none of them
    assert rare_base(vectors[:4], counts[:4]).item() == 1  # one at least; of equals the first


def test_the_example_tells_another_encoder() -> None:
    made = some_map()
    assert made.is_made_for(torch.tensor([1.01, 1.0]))
    assert not made.is_made_for(torch.tensor([1.0, -1.0]))
    assert not made.is_made_for(torch.ones(3))


def test_a_saved_map_is_the_same_and_what_is_missing_is_told(tmp_path: Path) -> None:
    save_title_map(some_map(), {"example": "Heat"}, tmp_path)
    loaded, about = load_title_map(tmp_path)
    assert about == {"example": "Heat"}
    assert all(torch.equal(getattr(loaded, name), getattr(some_map(), name)) for name in ("mean", "matrix", "base"))
    (tmp_path / "title_map.json").unlink()
    with pytest.raises(UserError, match="knows its items by their ids alone"):
        load_title_map(tmp_path)


def test_appended_items_are_scored_and_leave_the_others_alone() -> None:
    student = make_student(StudentConfig(embedding_dim=3, heads=1, blocks=1, max_length=4), 5).eval()
    history = torch.tensor([[1, 4, 2]])
    before = student.last_scores(history)
    student.append_items(torch.ones(2, 3))
    after = student.last_scores(history)
    assert after.shape == (1, 8)
    assert torch.equal(after[:, :6], before)
    torch.testing.assert_close(after[:, 6], student.last_states(history).sum(dim=1))
    with_titles = make_student(StudentConfig(embedding_dim=4, heads=1, blocks=1), 5, torch.randn(6, 7), 1.0)
    with pytest.raises(ValueError, match="plain table"):
        with_titles.append_items(torch.ones(1, 4))
