"""What a distilled student leaves behind for items that come after its training."""

from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.new_items import ItemColumns
from recdistill.data.prepared import PreparedData
from recdistill.language_models.titles import ENCODER_SETTINGS
from recdistill.students.base import Student
from recdistill.students.map_about import MapAbout
from recdistill.students.title_map import TitleMap, save_title_map
from recdistill.teacher.whitening import Whitening, have_titles

EXAMPLES = 8
"""Titles that are embedded again when items are added, to tell another encoder by."""


def write_title_map(
    student: Student, embeddings: Tensor, config: RunConfig, data: PreparedData, folder: Path, similarity: bool = False
) -> None:
    """Write how the student's titles became vectors, and how they were read; nothing where its vectors see no titles.

    Args:
        student: the student, its titles not yet folded in.
        embeddings: fp32 (N + 1, H), the embeddings of the titles it was trained with, numbers of half precision.
        config: the run's.
        data: the run's.
        folder: where to write.
        similarity: whether its scores will have a part for similar titles.
    """
    if student.items.projection is None:
        return
    teacher = asdict(config.teacher)
    columns = ItemColumns.of(config.data)._asdict()
    read = [text for text, titled in zip(data.texts, have_titles(embeddings).tolist(), strict=True) if text and titled]
    about: MapAbout = {
        "examples": read[:EXAMPLES],
        "columns": {name: list(value) if isinstance(value, tuple) else value for name, value in columns.items()},
        "teacher": {name: teacher[name] for name in ENCODER_SETTINGS},
    }
    save_title_map(title_map_of(student, embeddings, config.teacher.title_dim, similarity), about, folder)


def title_map_of(student: Student, embeddings: Tensor, title_dim: int, similarity: bool = False) -> TitleMap:
    """The map of a trained student whose item vectors see titles.

    Args:
        student: the student, its titles not yet folded in.
        embeddings: fp32 (N + 1, H), the embeddings of the titles it was trained with, numbers of half precision.
        title_dim: axes to which they were whitened, at most.
        similarity: whether its scores will have a part for similar titles.

    Raises:
        ValueError: its item vectors see no titles.
    """
    table = student.items
    if table.projection is None:
        raise ValueError("this student's item vectors see no titles")
    titles = embeddings[1:]
    whitening = Whitening.fit(titles[have_titles(titles)], title_dim)
    projection = table.projection.weight.detach().double().cpu()
    matrix = table.title_weight * whitening.matrix @ projection.T
    axes = whitening.matrix if similarity else whitening.matrix[:, :0]
    return TitleMap(whitening.mean.float(), matrix.float(), titles.half(), axes.float())
