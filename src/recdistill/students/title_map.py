"""From an item's title to its vector: how a trained student takes in items that came after its training.

The item vectors of a distilled student are an ID embedding plus a projected title (:class:`ItemTable`), folded into one
table when it is saved. The projection is kept beside it, so that a new item's title has a vector too. What stands in
the place of the ID embedding, which only training gives, is the mean of those of the items that training saw least.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cosine_similarity

from recdistill.errors import UserError
from recdistill.files import atomic_path, read_json, read_tensors, write_json

MAP_FILE = "title_map.safetensors"
ABOUT_FILE = "title_map.json"
"""How the embeddings are made that the map reads."""
NAMES = ("mean", "matrix", "base", "example")
SAME = 0.99
"""Cosine of two embeddings of one title by one encoder, at least; half precision and other kernels stay above it."""
RARE_SHARE = 0.1
"""Share of the items, those with the fewest training events, whose ID embeddings stand for a new item's."""


@dataclass(frozen=True)
class TitleMap:
    """vector = base + (embedding - mean) · matrix.

    Attributes:
        mean: fp32 (H,), of the embeddings of the catalog that was trained on.
        matrix: fp32 (H, D), whitening, projection and weight of the titles in one.
        base: fp32 (D,), in the place of the ID embedding.
        example: fp32 (H,), the embedding of one title that was trained on, to tell another encoder by.
    """

    mean: Tensor
    matrix: Tensor
    base: Tensor
    example: Tensor

    def is_made_for(self, embedding: Tensor) -> bool:
        """Whether the example's title, embedded again as (H,), comes out as it was, but for rounding."""
        if embedding.shape != self.example.shape:
            return False
        return float(cosine_similarity(embedding.float(), self.example, dim=0)) > SAME

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Vectors of M items by the embeddings of their titles: (M, H) → fp32 (M, D)."""
        return self.base + (embeddings.float() - self.mean) @ self.matrix


def rare_base(id_vectors: Tensor, counts: Tensor) -> Tensor:
    """The mean ID embedding of the tenth of the items that training saw least; where counts tie, of lower numbers.

    Args:
        id_vectors: (N + 1, D), row 0 the padding's.
        counts: (N + 1,), training events of each item.

    Returns:
        (D,).
    """
    order = torch.argsort(counts[1:], stable=True)
    return id_vectors[1:][order[: max(1, round(RARE_SHARE * len(order)))]].mean(dim=0)


def save_title_map(title_map: TitleMap, about: Mapping[str, Any], folder: Path) -> None:
    """Write the map and, as JSON, how the embeddings that it reads are made."""
    tensors = {name: getattr(title_map, name).detach().float().cpu().contiguous() for name in NAMES}
    with atomic_path(folder / MAP_FILE) as temporary:
        save_file(tensors, temporary)
    write_json(folder / ABOUT_FILE, about)


def load_title_map(folder: Path) -> tuple[TitleMap, dict[str, Any]]:
    """The map of a distilled student and what was written beside it.

    Raises:
        UserError: there is none, or a file is broken.
    """
    if not (folder / ABOUT_FILE).is_file():
        raise UserError(
            f"{folder}: this student knows its items by their ids alone (distill.embedding_weight 0), or an older "
            "version of recdistill distilled it"
        )
    tensors, about = read_tensors(folder / MAP_FILE), read_json(folder / ABOUT_FILE)
    if missing := set(NAMES) - set(tensors):
        raise UserError(f"{folder / MAP_FILE}: {min(missing)} is missing")
    return TitleMap(**{name: tensors[name] for name in NAMES}), about
