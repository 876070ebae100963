"""Students by name, and on disk: `student.json` has the shape, `student.safetensors` the weights and nothing else."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from recdistill.config import StudentConfig
from recdistill.config.student import StudentBlock, StudentModel
from recdistill.errors import UserError
from recdistill.storage.files import atomic_path, read_tensors, require_finite, write_json
from recdistill.storage.step_files import SHAPE_FILE
from recdistill.storage.typed import read_typed, typed
from recdistill.students.base import Student
from recdistill.students.gru4rec import GRU4Rec
from recdistill.students.sasrec import SASRec
from recdistill.students.title_similarity import TitleSimilarity

WEIGHTS_FILE = "student.safetensors"


@dataclass(frozen=True)
class Shape:
    """`student.json`: the number of items, and the settings of `StudentConfig` that say what the weights are of.

    How they were trained stands in the step's manifest.
    """

    num_items: int
    model: StudentModel
    block: StudentBlock
    embedding_dim: int
    num_layers: int
    num_heads: int
    ffn_multiplier: int
    dropout: float
    attention_dropout: float
    max_length: int
    title_dim: int = 0
    title_decay: float = 0.0
    title_weight: float = 0.0

    @property
    def similarity(self) -> TitleSimilarity | None:
        """The part of the scores by similar titles; None where there is none, which is what 0 says."""
        return TitleSimilarity(self.title_dim, self.title_decay, self.title_weight) if self.title_dim else None


BEFORE: dict[str, str | int | float] = {"block": "sasrec", "ffn_multiplier": 1, "attention_dropout": 0.0}
"""What the students were whose `student.json` was written before these keys were there."""
RENAMED = {"blocks": "num_layers", "heads": "num_heads", "mlp_factor": "ffn_multiplier"}
"""Keys of older `student.json` files and what they are called now."""
SIMILARITY = {"title_dim": "dim", "title_decay": "decay", "title_weight": "weight"}
"""Keys that are there with a part for similar titles alone, and what they are called in it."""
STUDENTS: dict[str, type[Student]] = {"sasrec": SASRec, "gru4rec": GRU4Rec}


def make_student(
    config: StudentConfig, num_items: int, title_embeddings: Tensor | None = None, title_weight: float = 0.0
) -> Student:
    """An untrained student of the configured kind; its weights are drawn from torch's own generator.

    Args:
        config: kind and shape.
        num_items: items N.
        title_embeddings: fp32 (N + 1, H), fixed; see :class:`recdistill.students.base.ItemTable`.
        title_weight: weight of the projected titles; 0: none.
    """
    return STUDENTS[config.model](config, num_items, title_embeddings, title_weight)


def save_student(student: Student, folder: Path) -> None:
    """Write a student's shape and weights; projected titles are folded into one plain table of item vectors."""
    tensors: dict[str, Tensor] = {"items.ids": student.item_vectors()}
    tensors |= {name: value for name, value in student.named_parameters() if not name.startswith("items.")}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary)
    config = {one.name for one in fields(Shape)} - {"num_items", *SIMILARITY}
    shape = {name.name: getattr(student.config, name.name) for name in fields(Shape) if name.name in config}
    if student.similarity is not None:
        shape |= {name: getattr(student.similarity, own) for name, own in SIMILARITY.items()}
    write_json(folder / SHAPE_FILE, {"num_items": student.num_items} | shape)


def load_student(folder: Path) -> Student:
    """A trained student, on the CPU, in evaluation mode.

    Raises:
        UserError: a file is missing or broken, or the weights are not of the recorded shape.
    """
    shape, path = _shape(folder / SHAPE_FILE), folder / WEIGHTS_FILE
    tensors = read_tensors(path)
    _check_weights(tensors, shape, path)
    made = asdict(shape)
    num_items = made.pop("num_items")
    student = make_student(StudentConfig(**{name: made[name] for name in made if name not in SIMILARITY}), num_items)
    if shape.similarity is not None:
        student.see_similarity(torch.zeros(num_items + 1, shape.title_dim), shape.title_decay, shape.title_weight)
    try:
        student.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise UserError(f"{path}: weights do not fit the shape in {SHAPE_FILE}") from error
    return student.eval()


def _check_weights(tensors: Mapping[str, Tensor], shape: Shape, path: Path) -> None:
    """Refuse weights that are none before memory is taken for what the shape says.

    Raises:
        UserError: the shape is larger than the file, or a weight is no finite number.
    """
    items = tensors.get("items.ids")
    largest = max(shape.num_layers, shape.ffn_multiplier * shape.embedding_dim, shape.max_length)
    wide = shape.embedding_dim + shape.title_dim
    if items is None or items.shape != (shape.num_items + 1, wide) or largest > path.stat().st_size:
        raise UserError(f"{path}: weights do not fit the shape in {SHAPE_FILE}")
    require_finite(tensors, path)


def _shape(path: Path) -> Shape:
    """The shape in a file, which may have an older version's names."""
    saved = read_typed(path, dict[str, str | int | float])
    return typed(BEFORE | {RENAMED.get(key, key): value for key, value in saved.items()}, Shape, str(path))
