from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recdistill.config import ColumnsConfig, DataConfig, RunConfig, StudentConfig, TeacherConfig
from recdistill.data.prepared import PreparedData
from recdistill.students.base import Student
from recdistill.students.make import make_student
from recdistill.students.title_map import load_title_map
from recdistill.teacher.whitening import whiten
from recdistill.training.title_map import title_map_of, write_title_map
from there import there

ITEMS, HIDDEN = 30, 6


@pytest.fixture
def embeddings() -> torch.Tensor:
    found = torch.randn(ITEMS + 1, HIDDEN, generator=torch.Generator().manual_seed(4)) + 2
    found[0] = 0
    return found


@pytest.fixture
def student(embeddings: torch.Tensor) -> Student:
    torch.manual_seed(5)
    shape = StudentConfig(embedding_dim=4, num_heads=1, num_layers=1)
    student = make_student(shape, ITEMS, whiten(embeddings, 5), title_weight=0.7)
    with torch.no_grad():
        student.items.ids[1:] += torch.randn(ITEMS, 4)
        there(student.items.projection).weight += torch.randn(4, 5)
    return student


@pytest.fixture
def data() -> PreparedData:
    titles = ["", *(f"Film {item}" for item in range(1, ITEMS + 1))]
    ids = ["", *(str(item) for item in range(1, ITEMS + 1))]
    return PreparedData(
        np.arange(1, ITEMS + 1, dtype=np.int32),
        np.zeros(ITEMS, np.int64),
        np.array([0, ITEMS]),
        np.array([ITEMS - 2], np.int32),
        np.array([ITEMS - 1], np.int32),
        titles,
        ids,
        "d",
        "s",
    )


def test_titles_add_to_a_vector_what_they_added_in_training(student: Student, embeddings: torch.Tensor) -> None:
    made = title_map_of(student, embeddings, 5)
    again = made.titles(embeddings[1:]) + student.items.ids[1:]
    torch.testing.assert_close(again, student.item_vectors()[1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.embeddings.float(), embeddings[1:], rtol=1e-3, atol=1e-3)
    plain = make_student(StudentConfig(embedding_dim=4, num_heads=1, num_layers=1), ITEMS)
    with pytest.raises(ValueError, match="see no titles"):
        title_map_of(plain, embeddings, 5)


def test_what_is_written_says_how_titles_are_read(
    student: Student, embeddings: torch.Tensor, data: PreparedData, tmp_path: Path
) -> None:
    columns = ColumnsConfig(item="book", title="name")
    data_config = DataConfig(source="csv", path="x.csv", separator=";", text=("genre",), columns=columns)
    config = RunConfig(data=data_config, teacher=TeacherConfig(title_dim=5))
    write_title_map(student, embeddings, config, data, tmp_path)
    _, about = load_title_map(tmp_path)
    form = {"separator": ";", "quote": '"', "escape": "", "encoding": "utf-8", "names": [], "bad_rows": "error"}
    assert about["columns"] == {"item": "book", "title": "name", "text": ["genre"], **form}
    assert about["examples"] == data.titles[1:9]
    assert about["teacher"]["title_encoder"] == config.teacher.title_encoder


def test_where_the_student_sees_no_titles_no_map_is_written(
    embeddings: torch.Tensor, data: PreparedData, tmp_path: Path
) -> None:
    plain = make_student(StudentConfig(embedding_dim=4, num_heads=1, num_layers=1), ITEMS)
    write_title_map(plain, embeddings, RunConfig(teacher=TeacherConfig(title_dim=5)), data, tmp_path)
    assert not list(tmp_path.iterdir())


def test_items_without_a_title_lend_nothing_and_are_no_examples(
    embeddings: torch.Tensor, data: PreparedData, tmp_path: Path
) -> None:
    """The map of a catalog with untitled items is that of the titled ones alone."""
    untitled = [1, 4]
    embeddings[untitled] = 0
    titled = [item for item in range(1, ITEMS + 1) if item not in untitled]
    torch.manual_seed(5)
    student = make_student(StudentConfig(embedding_dim=4, num_heads=1, num_layers=1), ITEMS, whiten(embeddings, 5), 0.7)
    made = title_map_of(student, embeddings, 5)
    only = torch.cat([torch.zeros(1, HIDDEN), embeddings[titled]])
    torch.testing.assert_close(whiten(embeddings, 5)[titled], whiten(only, 5)[1:])
    torch.testing.assert_close(student.item_vectors()[untitled], student.items.ids[untitled])
    new = torch.randn(3, HIDDEN)
    small = make_student(StudentConfig(embedding_dim=4, num_heads=1, num_layers=1), len(titled), whiten(only, 5), 0.7)
    with torch.no_grad():
        small.items.ids[1:] = student.items.ids[titled]
        there(small.items.projection).weight.copy_(there(student.items.projection).weight)
    other = title_map_of(small, only, 5)
    torch.testing.assert_close(
        made.vectors(new, student.item_vectors()), other.vectors(new, small.item_vectors()), rtol=1e-4, atol=1e-5
    )
    titles = ["" if item in untitled else title for item, title in enumerate(data.titles)]
    config = RunConfig(teacher=TeacherConfig(title_dim=5))
    write_title_map(student, embeddings, config, replace(data, titles=titles), tmp_path)
    again, about = load_title_map(tmp_path)
    assert about["examples"] == ["Film 2", "Film 3", *(f"Film {item}" for item in range(5, 11))]
    assert again.is_made_for(embeddings[titled[:8]])
