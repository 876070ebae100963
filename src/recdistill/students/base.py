"""What every student has: one table of item vectors for input and output, and a state after each item of a history."""

from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recdistill.config import LossConfig, StudentConfig, TrainConfig
from recdistill.errors import UserError
from recdistill.files import atomic_path, read_json, write_json

WEIGHTS_FILE = "student.safetensors"
SHAPE_FILE = "student.json"


class ItemTable(nn.Module):
    """Item vectors (N + 1, D), row 0 zero: an ID embedding, plus (DLLM2Rec §4.2) a projected title embedding.

    Args:
        num_items: items N.
        dim: width D.
        title_embeddings: fp32 (N + 1, H) of the language model, fixed; None for a plain table.
        title_weight: weight of the projected titles.
    """

    titles: Tensor | None

    def __init__(
        self, num_items: int, dim: int, title_embeddings: Tensor | None = None, title_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.ids = nn.Parameter(torch.randn(num_items + 1, dim) * 0.02)
        with torch.no_grad():
            self.ids[0] = 0
        self.title_weight = title_weight
        self.projection: nn.Linear | None = None
        self.register_buffer("titles", None, persistent=False)
        if title_embeddings is not None and title_weight > 0:
            self.titles = title_embeddings
            self.projection = nn.Linear(title_embeddings.shape[1], dim, bias=False)
            nn.init.normal_(self.projection.weight, std=0.02)
        self.register_buffer("real", (torch.arange(num_items + 1) > 0).float().unsqueeze(1), persistent=False)

    def forward(self) -> Tensor:
        """The whole table, (N + 1, D)."""
        table = self.ids
        if self.projection is not None and self.titles is not None:
            table = table + self.title_weight * self.projection(self.titles)
        return table * self.real  # type: ignore[operator]


class Student(nn.Module):
    """A small sequential recommender: history → state; score of an item = state · item vector.

    Subclasses implement :meth:`encode`. Histories are (B, L) item numbers with 0 for padding on either side; a state
    depends on the real items up to its own position and on nothing else.
    """

    def __init__(
        self,
        config: StudentConfig,
        num_items: int,
        title_embeddings: Tensor | None = None,
        title_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.config, self.num_items = config, num_items
        self.items = ItemTable(num_items, config.embedding_dim, title_embeddings, title_weight)

    def encode(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Item vectors (B, L, D) of right-padded histories, `mask` (B, L) False at padding, to states (B, L, D)."""
        raise NotImplementedError

    def states(self, items: Tensor) -> Tensor:
        """States after each item: int64 (B, L) → (B, L, D); at padding the values mean nothing."""
        return self.states_with(self.item_vectors(), items)

    def states_with(self, item_vectors: Tensor, items: Tensor) -> Tensor:
        """As :meth:`states`, with a table that was already made: a training step makes it once for input and output."""
        mask = items > 0
        # Padding to the left is turned to the right first, so that a history has one form inside.
        shift = mask.int().argmax(dim=1, keepdim=True)
        if not bool((shift > 0).any()):
            return self.encode(nn.functional.embedding(items, item_vectors), mask)
        columns = torch.arange(items.shape[1], device=items.device)
        turned = items.gather(1, (columns + shift) % items.shape[1])
        states = self.encode(nn.functional.embedding(turned, item_vectors), turned > 0)
        back = ((columns - shift) % items.shape[1]).unsqueeze(-1).expand(-1, -1, states.shape[-1])
        return states.gather(1, back)

    def last_states(self, items: Tensor) -> Tensor:
        """States after the whole history: (B, D), taken at the last real item, whatever the padding side."""
        columns = torch.arange(items.shape[1], device=items.device)
        last = torch.where(items > 0, columns, -1).amax(dim=1).clamp_min(0)
        return self.states(items)[torch.arange(len(items), device=items.device), last]

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, D) for input and output; row 0 is zero."""
        return self.items()  # type: ignore[no-any-return]

    def scores(self, states: Tensor) -> Tensor:
        """Scores of all items: (..., D) → (..., N + 1); column 0, the padding's, is -inf."""
        scores = states @ self.item_vectors().T
        scores[..., 0] = -torch.inf
        return scores

    def last_scores(self, items: Tensor) -> Tensor:
        """Scores of all items after whole histories: (B, L) → (B, N + 1)."""
        return self.scores(self.last_states(items))


def make_student(
    config: StudentConfig, num_items: int, title_embeddings: Tensor | None = None, title_weight: float = 0.0
) -> Student:
    """An untrained student of the configured kind."""
    from recdistill.students.gru4rec import GRU4Rec
    from recdistill.students.sasrec import SASRec

    kinds: dict[str, type[Student]] = {"sasrec": SASRec, "gru4rec": GRU4Rec}
    return kinds[config.model](config, num_items, title_embeddings, title_weight)


def save_student(student: Student, folder: Path) -> None:
    """Write a student's shape and weights; projected titles are folded into one plain table of item vectors."""
    tensors = {name: value.detach().cpu() for name, value in student.named_parameters() if not name.startswith("items.")}
    tensors["items.ids"] = student.item_vectors().detach().cpu()
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
    write_json(folder / SHAPE_FILE, {"num_items": student.num_items, "config": asdict(student.config)})


def load_student(folder: Path) -> Student:
    """A trained student, in evaluation mode.

    Raises:
        UserError: a file is missing, or the weights are not of the recorded shape.
    """
    shape = read_json(folder / SHAPE_FILE)
    settings = shape["config"]
    settings |= {"loss": LossConfig(**settings["loss"]), "train": TrainConfig(**settings["train"])}
    student = make_student(StudentConfig(**settings), shape["num_items"])
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        student.load_state_dict(load_file(path), strict=True)
    except RuntimeError as error:
        raise UserError(f"{path}: weights do not fit the shape in {SHAPE_FILE}") from error
    return student.eval()
