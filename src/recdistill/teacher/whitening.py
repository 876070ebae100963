"""Title embeddings brought to their principal axes: what tells one title from another, and nothing else.

Language-model embeddings point mostly one way; whitening brings out the rest (Su et al. 2021, arXiv 2103.15316).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TITLES_PER_AXIS = 6
"""Fewest titles for each axis that is kept (`benchmarks/title_axes.py`).

With as many axes as titles, all titles would be equally unlike.
"""


@dataclass(frozen=True)
class Whitening:
    """Centre, turn to the principal axes, scale each to unit variance; fitted on a catalog, good for any title.

    Attributes:
        mean: fp64 (H,), of the catalog's embeddings.
        axes: fp64 (W, H), the principal axes kept.
        scales: fp64 (W,), the catalog's standard deviations along them.
        signs: fp64 (W,). The sign of a principal axis is arbitrary; fixed, the same titles give the same numbers
            everywhere.
    """

    mean: Tensor
    axes: Tensor
    scales: Tensor
    signs: Tensor

    @classmethod
    def fit(cls, embeddings: Tensor, dims: int) -> "Whitening":
        """The whitening of a catalog's embeddings (N, H) to `dims` axes at most and one for every
        :data:`TITLES_PER_AXIS` titles, those without variance left out.
        """
        items = embeddings.double()
        mean = items.mean(dim=0)
        _, spread, axes = torch.linalg.svd(items - mean, full_matrices=False)
        most = min(dims, max(1, len(items) // TITLES_PER_AXIS))
        keep = min(most, int((spread > spread[0] * 1e-6).sum())) if spread[0] > 0 else 1
        scales = (spread[:keep] / max(1, len(items)) ** 0.5).clamp_min(1e-12)
        unsigned = cls(mean, axes[:keep], scales, torch.ones_like(scales))
        return cls(mean, axes[:keep], scales, torch.sign(_largest(unsigned(embeddings))))

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Whiten embeddings (M, H): fp64 (M, W)."""
        white: Tensor = (embeddings.double() - self.mean) @ self.axes.T / self.scales
        return white * self.signs

    @property
    def matrix(self) -> Tensor:
        """All of it but the centring, as one matrix: fp64 (H, W)."""
        return self.axes.T / self.scales * self.signs


def whiten(embeddings: Tensor, dims: int) -> Tensor:
    """A catalog's embeddings whitened among themselves.

    Args:
        embeddings: (N + 1, H). Row 0 is the padding's and comes out zero, the mean of all titles; so do zero rows, of
            items without a title.
        dims: axes to keep, at most; fewer where titles are few, see :meth:`Whitening.fit`.

    Returns:
        fp32 (N + 1, W); (N + 1, 1) zeros where no item has a title.
    """
    known = have_titles(embeddings)
    known[0] = False
    if not bool(known.any()):
        return torch.zeros(len(embeddings), 1)
    white = Whitening.fit(embeddings[known], dims)(embeddings[known])
    vectors = white.new_zeros(len(embeddings), white.shape[1])
    vectors[known] = white
    return vectors.float()


def have_titles(embeddings: Tensor) -> Tensor:
    """Which rows (N, H) are embeddings: bool (N,). Those of the padding and of items without a title are zero."""
    return (embeddings != 0).any(dim=1)


def _largest(columns: Tensor) -> Tensor:
    """The entry of each column that is largest in absolute value."""
    return columns.gather(0, columns.abs().argmax(dim=0, keepdim=True)).squeeze(0)
