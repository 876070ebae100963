"""What every student has: one table of item vectors for input and output, and a state after each item of a history."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recdistill.config import StudentConfig
from recdistill.students.attention import at
from recdistill.students.negatives import distinct
from recdistill.students.title_similarity import TitleSimilarity, decayed_mean

INIT_STD = 0.02


class ItemTable(nn.Module):
    """Item vectors (N + 1, D), row 0 zero: an ID embedding, plus (DLLM2Rec §4.2) a projected title embedding.

    The projection has no bias, which would be one vector added to all items: no score's difference would feel it.

    With :meth:`drop_ids`, the vectors of a share of the items are made of their titles alone at a training step
    (DropoutNet, Volkovs et al. 2017), so that the reading of a title also serves items that are seldom met, or never.

    Args:
        num_items: items N.
        dim: width D.
        title_embeddings: fp32 (N + 1, H) of the language model, fixed, row 0 unused; None for a plain table.
        title_weight: weight of the projected titles.

    Raises:
        ValueError: the title embeddings are not of N + 1 rows.
    """

    titles: Tensor | None
    titled: Tensor | None

    def __init__(
        self, num_items: int, dim: int, title_embeddings: Tensor | None = None, title_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.ids = nn.Parameter(torch.randn(num_items + 1, dim) * INIT_STD)
        with torch.no_grad():
            self.ids[0] = 0
        self.sparse_gradients = False
        """Whether the gradient of chosen rows (:meth:`rows`) holds them alone."""
        self.id_dropout = 0.0
        self.title_weight = title_weight
        self.projection: nn.Linear | None = None
        self.register_buffer("titles", None, persistent=False)
        self.register_buffer("titled", None, persistent=False)
        if title_embeddings is not None and title_weight > 0:
            if len(title_embeddings) != num_items + 1:
                raise ValueError(f"{len(title_embeddings)} title embeddings for {num_items} items and the padding")
            self.titles = title_embeddings.detach().float().clone()
            self.titles[0] = 0
            self.projection = nn.Linear(self.titles.shape[1], dim, bias=False)
            nn.init.normal_(self.projection.weight, std=INIT_STD)

    def forward(self) -> Tensor:
        """The whole table, (N + 1, D)."""
        if self.projection is None or self.titles is None:
            return self.ids
        return self._shown(self.ids, self.titled) + self.title_weight * self.projection(self.titles)  # type: ignore[no-any-return]

    def rows(self, items: Tensor) -> Tensor:
        """The vectors (M, D) of some items, int64 (M,); no others are made."""
        ids = nn.functional.embedding(items, self.ids, sparse=self.sparse_gradients)
        if self.projection is None or self.titles is None:
            return ids
        shown = self._shown(ids, None if self.titled is None else self.titled[items])
        return shown + self.title_weight * self.projection(self.titles[items])  # type: ignore[no-any-return]

    @torch.no_grad()
    def drop_ids(self, share: float) -> None:
        """Leave out so large a share of the ID embeddings at each training step, a new draw each time.

        Items without a title keep theirs. With 1, item vectors are tied to the titles: ID embeddings are zero for good.

        Raises:
            ValueError: the vectors see no titles.
        """
        if self.titles is None:
            raise ValueError("without titles, item vectors are ID embeddings alone")
        self.id_dropout = share
        self.titled = (self.titles != 0).any(dim=1)
        if share == 1:
            self.ids[self.titled] = 0

    def _shown(self, ids: Tensor, titled: Tensor | None) -> Tensor:
        """ID embeddings (M, D), those that are left out at this training step zero; `titled`: bool (M,)."""
        if titled is None or not self.training or self.id_dropout == 0:
            return ids
        dropped = torch.rand(len(ids), device=ids.device) < self.id_dropout
        return ids.masked_fill((dropped & titled).unsqueeze(1), 0.0)


@dataclass(frozen=True)
class ItemsInUse:
    """The items that a training step speaks of, numbered in their order.

    Attributes:
        vectors: (N + 1, D) of the whole catalog, or (U, D) of `items`; row 0 is the padding's.
        items: int64 (U,), ascending, the first of them 0; None: the whole catalog, under its own numbers.
    """

    vectors: Tensor
    items: Tensor | None = None

    def numbers(self, items: Tensor) -> Tensor:
        """The rows of `vectors` at which some of its items stand: int64 of any shape."""
        return items if self.items is None else torch.searchsorted(self.items, items)


class Student(nn.Module, ABC):
    """A small sequential recommender: history → state; score of an item = state · item vector.

    Subclasses implement :meth:`encode`. Histories are (B, L) item numbers with 0 for padding on either side; a state
    depends on the real items up to its own position and on nothing else.

    Attributes:
        similarity: a part of the scores by titles alone, behind the student's own (:meth:`see_similarity`); None:
            there is none. With it, states and item vectors are D + W wide, and :meth:`encode` reads the first D
            columns.
    """

    similarity: TitleSimilarity | None = None

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

    @abstractmethod
    def encode(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) of right-padded histories to states (B, L, D).

        A subclass must be causal; then no real state can see the padding, which stands to the right of it.
        """

    def encode_at(self, vectors: Tensor, places: Tensor) -> Tensor:
        """As :meth:`encode`, the state (B, D) at one position of each history, int64 (B,)."""
        return at(self.encode(vectors), places)

    def states(self, items: Tensor) -> Tensor:
        """States after each item: int64 (B, L) → (B, L, D); at padding the values mean nothing."""
        return self.states_with(self.item_vectors(), items)

    def states_with(self, item_vectors: Tensor, items: Tensor) -> Tensor:
        """As :meth:`states`, with a table that was already made: a training step makes it once for input and output."""
        turned, shift = _turned(items)
        states = self._states(_look_up(item_vectors, turned))
        if shift is None:
            return states
        columns = torch.arange(items.shape[1], device=items.device)
        back = ((columns - shift) % items.shape[1]).unsqueeze(-1).expand(-1, -1, states.shape[-1])
        return states.gather(1, back)

    def _states(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D or D + W) of right-padded histories to states as wide."""
        if self.similarity is None:
            return self.encode(vectors)
        own, titles = self._parts(vectors, self.similarity)
        mean = decayed_mean(titles, self.similarity.decay)
        return torch.cat([self.encode(own), self.similarity.weight * mean], dim=-1)

    def _parts(self, vectors: Tensor, similarity: TitleSimilarity) -> tuple[Tensor, Tensor]:
        """Item vectors (..., D + W) as those that the model reads and the titles'."""
        own, titles = vectors.split([vectors.shape[-1] - similarity.dim, similarity.dim], dim=-1)
        return own, titles

    def last_states(self, items: Tensor) -> Tensor:
        """States after the whole history: (B, D), taken at the last real item, whatever the padding side."""
        return self.last_states_with(self.item_vectors(), items)

    def last_states_with(self, item_vectors: Tensor, items: Tensor) -> Tensor:
        """As :meth:`last_states`, with a table that was already made: a ranking makes it once for all its batches."""
        items, _ = _turned(items)
        columns = torch.arange(items.shape[1], device=items.device)
        last = torch.where(items > 0, columns, -1).amax(dim=1).clamp_min(0)
        vectors = _look_up(item_vectors, items)
        if self.similarity is None:
            return self.encode_at(vectors, last)
        own, titles = self._parts(vectors, self.similarity)
        mean = at(decayed_mean(titles, self.similarity.decay), last)
        return torch.cat([self.encode_at(own, last), self.similarity.weight * mean], dim=-1)

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, D or D + W) for input and output; row 0 is zero."""
        return self.items()  # type: ignore[no-any-return]

    @property
    def state_dim(self) -> int:
        """Width of states and item vectors."""
        return self.config.embedding_dim + (self.similarity.dim if self.similarity else 0)

    @torch.no_grad()
    def see_similarity(self, titles: Tensor, decay: float, weight: float) -> None:
        """Add similarity of titles to the scores. Titles that item vectors see are folded in; training is over then.

        Args:
            titles: fp32 (N + 1, W), whitened title vectors; that of an item without a title is zero.
            decay: see :class:`recdistill.students.title_similarity.TitleSimilarity`.
            weight: the same.

        Raises:
            ValueError: there is such a part already.
        """
        if self.similarity is not None:
            raise ValueError("this student's scores hold a part for similar titles already")
        table = torch.cat([self.item_vectors(), titles.to(self.items.ids)], dim=1)
        self.items = ItemTable(0, 0)
        self.items.ids = nn.Parameter(table)
        self.similarity = TitleSimilarity(titles.shape[1], decay, weight)

    def whole_catalog(self) -> ItemsInUse:
        """All items."""
        return ItemsInUse(self.item_vectors())

    def in_use(self, *items: Tensor) -> ItemsInUse:
        """The items named, int64 tensors of any shapes, and the padding."""
        padding = torch.zeros(1, dtype=torch.int64, device=items[0].device)
        used = distinct(torch.cat([padding, *(some.reshape(-1) for some in items)]))
        return ItemsInUse(self.items.rows(used), used)

    @torch.no_grad()
    def append_items(self, vectors: Tensor) -> None:
        """Give it M more items, numbered N + 1 to N + M, by their vectors (M, D or D + W).

        Raises:
            ValueError: its titles are not folded into one table yet, as they are in a student that was loaded.
        """
        if self.items.projection is not None:
            raise ValueError("titles must be folded in before items are appended")
        self.items.ids = nn.Parameter(torch.cat([self.items.ids, vectors.to(self.items.ids)]))
        self.num_items += len(vectors)

    def scores(self, states: Tensor) -> Tensor:
        """Scores of all items: (..., D) → (..., N + 1); column 0, the padding's, is -inf."""
        scores = states @ self.item_vectors().T
        scores[..., 0] = -torch.inf
        return scores

    def last_scores(self, items: Tensor) -> Tensor:
        """Scores of all items after whole histories: (B, L) → (B, N + 1)."""
        return self.scores(self.last_states(items))


def _turned(items: Tensor) -> tuple[Tensor, Tensor | None]:
    """Items (B, L) with padding to the right, so that a history has one form inside; and how far each row was turned.

    None: no row was.
    """
    shift = (items > 0).int().argmax(dim=1, keepdim=True)
    if not bool((shift > 0).any()):
        return items, None
    columns = torch.arange(items.shape[1], device=items.device)
    return items.gather(1, (columns + shift) % items.shape[1]), shift


def _look_up(item_vectors: Tensor, items: Tensor) -> Tensor:
    """Vectors (B, L, D) of items (B, L); no gradient goes to the padding's row, which stays zero."""
    return nn.functional.embedding(items, item_vectors, padding_idx=0)
