"""How many users have two items, counted in what is trained on: sparse, a block of items at a time."""

from collections.abc import Iterator

import numpy as np

from recdistill.data.prepared import LongArray, PreparedData
from recdistill.evaluation.ranking import unrolled

PAIRS = 4_000_000
"""Most pairs of interactions that are counted at a time; a pair takes some 30 bytes meanwhile."""
DENSE = 4
"""Pairs are counted in a dense block where it has at most this many cells a pair, and sorted otherwise."""

Counts = tuple[LongArray, LongArray, LongArray]
"""Items, other items, and how many users have both."""


class TrainedPairs:
    """The distinct pairs of user and item that are trained on, in the order of users and in that of items.

    Attributes:
        sizes: int64 (N + 1,), users of each item.
    """

    def __init__(self, data: PreparedData) -> None:
        lengths = np.diff(data.offsets)
        users = np.repeat(np.arange(data.num_users), lengths)
        trained = np.arange(len(users)) - data.offsets[users] < data.trained_ends[users]
        self.width = data.num_items + 1
        users, self.items = np.divmod(
            np.unique(users[trained] * self.width + data.items[trained].astype(np.int64)), self.width
        )
        self.user_starts = np.searchsorted(users, np.arange(data.num_users + 1))
        self.users_by_item = users[np.argsort(self.items, kind="stable")]
        self.sizes = np.bincount(self.items, minlength=self.width)
        self.item_starts = np.concatenate([[0], np.cumsum(self.sizes)])

    def together(self, pairs: int = PAIRS) -> Iterator[Counts]:
        """Counts of all pairs of items that some user has, an item with itself included.

        Blocks of whole items, ascending by item and by other item. Work is the sum of squared history lengths.

        Args:
            pairs: most pairs of interactions counted at a time.
        """
        lengths = np.diff(self.user_starts)[self.users_by_item]
        ends = np.concatenate([[0], np.cumsum(lengths)])[self.item_starts]  # (N + 2,) pairs of all items before
        first = 1
        while first < self.width:
            last = int(max(np.searchsorted(ends, ends[first] + pairs, side="right") - 1, first + 1))
            last = min(last, self.width)
            keys, counts = self._block(first, last, pairs)
            items, others = np.divmod(keys, self.width)
            yield items + first, others, counts
            first = last

    def _block(self, first: int, last: int, pairs: int) -> tuple[LongArray, LongArray]:
        """Ascending keys `(item - first) · (N + 1) + other` of items `first` to `last - 1`, and their counts."""
        places = slice(self.item_starts[first], self.item_starts[last])
        users = self.users_by_item[places]
        owners = np.repeat(np.arange(last - first), self.sizes[first:last])
        lengths = np.diff(self.user_starts)[users]
        cells, total = (last - first) * self.width, int(lengths.sum())
        if cells > DENSE * total:
            keys, counts = np.unique(self._keys(users, owners, lengths), return_counts=True)
            return keys, counts.astype(np.int64)
        found = np.zeros(cells, dtype=np.int64)
        for part in np.array_split(np.arange(len(users)), -(-total // pairs)):
            found += np.bincount(self._keys(users[part], owners[part], lengths[part]), minlength=cells)
        keys = np.flatnonzero(found)
        return keys, found[keys]

    def _keys(self, users: LongArray, owners: LongArray, lengths: LongArray) -> LongArray:
        """One key for each item of each of these users."""
        rows, within = unrolled(lengths)
        keys: LongArray = owners[rows] * self.width + self.items[self.user_starts[users][rows] + within]
        return keys
