"""From an item's title to its vector: how a trained student takes in items that came after its training.

The item vectors of a distilled student are an ID embedding plus a projected title
(:class:`recdistill.students.base.ItemTable`), folded into one table when it is saved. The projection is kept beside it,
so that a new item's title has a vector too. Only training gives an ID embedding; in its place stands a mean of those of
the items that were trained on, the more of each the liker its title is.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from recdistill.errors import UserError
from recdistill.storage.files import atomic_path, read_tensors, require_finite, write_json
from recdistill.storage.typed import read_typed
from recdistill.students.map_about import MapAbout

MAP_FILE = "title_map.safetensors"
ABOUT_FILE = "title_map.json"
"""How the embeddings are made that the map reads."""
NAMES = ("mean", "matrix", "embeddings")
AXES = "axes"
"""Of the map of a student whose scores have a part for similar titles."""
SHARPNESS = 20.0
"""Of the softmax over cosines of titles that weighs the ID embeddings: chosen on MovieLens-latest-small, on half of the
users (docs/experiments/new-items.md). Sharper, a new item is listed more often, and known ones are driven out
of the lists."""
SAME = 0.95
"""Mean cosine of two embeddings of one title by one encoder, at least; half precision and other kernels stay above."""
CHUNK = 1 << 22
"""Likenesses of new and known titles at a time: 16 MiB."""


@dataclass(frozen=True)
class TitleMap:
    """vector = mean ID embedding of like titles + (embedding - mean) · matrix; behind it, for a student whose scores
    have a part for similar titles, the title's own vector, (embedding - mean) · axes.

    Attributes:
        mean: fp32 (H,), of the embeddings of the titles that were trained on.
        matrix: fp32 (H, D), whitening, projection and weight of the titles in one.
        embeddings: fp16 (N, H), of the titles of the items that were trained on, 1..N; zero where there is none.
        axes: fp32 (H, W), whitening alone; (H, 0) for other students.
    """

    mean: Tensor
    matrix: Tensor
    embeddings: Tensor
    axes: Tensor

    def titles(self, embeddings: Tensor) -> Tensor:
        """What titles add to the vectors of their items: (M, H) → fp32 (M, D)."""
        return (embeddings.float() - self.mean) @ self.matrix

    def vectors(self, embeddings: Tensor, table: Tensor) -> Tensor:
        """Vectors of M new items.

        Args:
            embeddings: (M, H), of their titles.
            table: fp32 (N + 1 or more, D + W), the student's item vectors, row 0 the padding's.

        Returns:
            fp32 (M, D + W).
        """
        titled = self._titled
        ids = table[1 : 1 + len(titled), : self.matrix.shape[1]][titled] - self.titles(self.embeddings[titled])
        known = normalize(self.embeddings[titled].float() - self.mean, dim=1)
        lent = [
            torch.softmax(SHARPNESS * (normalize(some.float() - self.mean, dim=1) @ known.T), dim=1) @ ids
            for some in torch.split(embeddings, max(1, CHUNK // len(known)))
        ]
        own = torch.cat(lent) + self.titles(embeddings)
        return torch.cat([own, (embeddings.float() - self.mean) @ self.axes], dim=1)

    def is_made_for(self, embeddings: Tensor) -> bool:
        """Whether the first E titles, embedded again as (E, H), come out as they were, but for rounding.

        What all titles have in common is taken away first: it is most of an embedding, and like in many encoders. A
        text without a token has no embedding, then as now, and is no title here.
        """
        embeddings = embeddings[(embeddings != 0).any(dim=1)]
        known = self.embeddings[self._titled][: len(embeddings)].float()
        if embeddings.shape != known.shape:
            return False
        return float(cosine_similarity(embeddings.float() - self.mean, known - self.mean, dim=1).mean()) > SAME

    @property
    def _titled(self) -> Tensor:
        """Which of the items have a title: bool (N,)."""
        return (self.embeddings != 0).any(dim=1)


def save_title_map(title_map: TitleMap, about: MapAbout, folder: Path) -> None:
    """Write the map and, as JSON, how the embeddings that it reads are made."""
    names = (*NAMES, AXES) if title_map.axes.shape[1] else NAMES
    tensors = {name: getattr(title_map, name).detach().cpu().contiguous() for name in names}
    with atomic_path(folder / MAP_FILE) as temporary:
        save_file(tensors, temporary)
    write_json(folder / ABOUT_FILE, about)


def load_title_map(folder: Path) -> tuple[TitleMap, MapAbout]:
    """The map of a distilled student and what was written beside it.

    Raises:
        UserError: there is none, or a file is broken.
    """
    if not (folder / ABOUT_FILE).is_file():
        raise UserError(
            f"{folder}: this student knows its items by their ids alone (distill.embedding_weight 0, or data without "
            "titles); or an older version distilled it: then remove this folder and run `recdistill distill` again"
        )
    tensors, about = read_tensors(folder / MAP_FILE), read_typed(folder / ABOUT_FILE, MapAbout)
    if missing := set(NAMES) - set(tensors):
        raise UserError(f"{folder / MAP_FILE}: {min(missing)} is missing")
    require_finite(tensors, folder / MAP_FILE)
    axes = tensors.get(AXES, torch.zeros(len(tensors["mean"]), 0))
    return TitleMap(**{name: tensors[name] for name in NAMES}, axes=axes), about
