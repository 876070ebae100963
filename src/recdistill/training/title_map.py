"""What a distilled student leaves behind for items that come after its training."""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.new_items import ItemColumns
from recdistill.students.base import Student
from recdistill.students.title_map import TitleMap, rare_base
from recdistill.teacher.titles import ENCODER_SETTINGS
from recdistill.teacher.whitening import Whitening


def title_map_of(student: Student, embeddings: Tensor, title_dim: int, counts: Tensor) -> TitleMap | None:
    """The map of a trained student whose item vectors see titles; None for one whose vectors do not.

    Args:
        student: the student, its titles not yet folded in.
        embeddings: fp32 (N + 1, H), the embeddings of the titles it was trained with.
        title_dim: axes to which they were whitened, at most.
        counts: (N + 1,), training events of each item.
    """
    table = student.items
    if table.projection is None:
        return None
    whitening = Whitening.fit(embeddings[1:], title_dim)
    projection = table.projection.weight.detach().double().cpu()
    matrix = table.title_weight * whitening.matrix @ projection.T
    base = rare_base(table.ids.detach().cpu(), counts)
    return TitleMap(whitening.mean.float(), matrix.float(), base, example=embeddings[1])


def how_titles_are_read(config: RunConfig, example: str) -> dict[str, Any]:
    """What stands beside the map: the text of its example, the columns of a file of items, the encoder's settings."""
    teacher = asdict(config.teacher)
    return {
        "example": example,
        "columns": ItemColumns.of(config.data)._asdict(),
        "teacher": {name: teacher[name] for name in ENCODER_SETTINGS},
    }
