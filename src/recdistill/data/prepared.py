"""Interactions in the form every later step reads: arrays, memory-mapped, with the split beside them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recdistill.data.about import About, Names
from recdistill.data.streamed.columns import user_blocks
from recdistill.errors import UserError
from recdistill.storage.files import map_array
from recdistill.storage.typed import read_typed

IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
SplitName = Literal["train", "validation", "test"]

TRAINED_FILE = "trained_users.npy"
"""Written only where some users are not trained on."""

ARRAYS = {"items": "iu", "timestamps": "iuf", "offsets": "iu", "train_ends": "iu", "validation_ends": "iu"}
"""File → kinds of values in it."""


@dataclass(frozen=True)
class Targets:
    """Rows to predict: the item at `position` of user `user`'s history, from the items before it.

    `users` and `positions` are int32 arrays of one length; a row's key is `(user, position)`.
    """

    users: IntArray
    positions: IntArray

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.users)


@dataclass(frozen=True)
class PreparedData:
    """Users' histories in time order, one after another, and where each is cut into train, validation and test.

    User u's interactions are `items[offsets[u]:offsets[u + 1]]`; positions count from 0 within the user. Interactions
    before `train_ends[u]` are train, those before `validation_ends[u]` validation, the rest test. Of users that are not
    trained on, the train interactions are history and nothing else: never targets, and counted nowhere.

    Attributes:
        items: int32 (interactions,), item numbers 1..N.
        timestamps: int64 (interactions,), in seconds, or the interaction's row number where the source has no times.
        offsets: int64 (users + 1,).
        train_ends: int32 (users,), positions.
        validation_ends: int32 (users,), positions.
        titles: N + 1 titles; empty for an item without one, and for the padding, titles[0].
        item_ids: N + 1 external ids; item_ids[0] is empty.
        fingerprint: of interactions, filters and titles.
        split_fingerprint: of the split over them, and of who is trained on.
        trained_users: bool (users,), whether a user's train interactions are trained on; None: all users'.
        item_texts: N + 1 texts that the language model reads about the items, empty where nothing is known; None: it
            reads the titles.
    """

    items: IntArray
    timestamps: LongArray
    offsets: LongArray
    train_ends: IntArray
    validation_ends: IntArray
    titles: list[str]
    item_ids: list[str]
    fingerprint: str
    split_fingerprint: str
    trained_users: BoolArray | None = None
    item_texts: list[str] | None = None

    @property
    def texts(self) -> list[str]:
        """What title embeddings are made from, N + 1: the titles, or the titles and more (`data.text`)."""
        return self.titles if self.item_texts is None else self.item_texts

    @property
    def trained_ends(self) -> IntArray:
        """How many of each user's first interactions are trained on: int32 (users,); 0 for users that are not."""
        return self.train_ends if self.trained_users is None else self.train_ends * self.trained_users

    @property
    def evaluation_fingerprint(self) -> str:
        """Of the interactions and of which of them are validation and test targets, whoever is trained on.

        Runs that share it were measured on the same targets behind the same histories, so their rows can be compared.
        """
        digest = hashlib.sha256(self.fingerprint.encode())
        for ends in (self.train_ends, self.validation_ends):
            digest.update(np.ascontiguousarray(ends).data)
        return digest.hexdigest()

    @property
    def num_users(self) -> int:
        """Users U, numbered 0..U-1."""
        return len(self.offsets) - 1

    @property
    def num_items(self) -> int:
        """Items N, numbered 1..N."""
        return len(self.titles) - 1

    def history(self, user: int, end: int) -> IntArray:
        """The items at positions 0..end-1 of `user`, oldest first."""
        start = int(self.offsets[user])
        return self.items[start : start + end]

    def target_items(self, targets: Targets) -> IntArray:
        """The item of each row: int32 (rows,)."""
        return np.asarray(self.items[self.offsets[targets.users] + targets.positions])

    def targets(self, split: SplitName) -> Targets:
        """All rows of a split, users in order; a user's first interaction has no history, so it is never a target."""
        first, counts = self._bounds(split)
        users = np.repeat(np.arange(self.num_users, dtype=np.int32), counts)
        within = np.arange(counts.sum(), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        return Targets(users, (np.repeat(first, counts) + within).astype(np.int32))

    def count_targets(self, split: SplitName) -> int:
        """How many rows :meth:`targets` has."""
        return int(self._bounds(split)[1].sum(dtype=np.int64))

    def _bounds(self, split: SplitName) -> tuple[IntArray, IntArray]:
        """Position of each user's first target, and how many targets follow one another from there."""
        lengths = np.diff(self.offsets).astype(np.int32)
        starts = {"train": np.zeros_like(self.train_ends), "validation": self.train_ends, "test": self.validation_ends}
        ends = {"train": self.trained_ends, "validation": self.validation_ends, "test": lengths}
        first = np.maximum(starts[split], 1)
        return first, np.maximum(ends[split] - first, 0)

    def train_item_counts(self) -> LongArray:
        """How often each item occurs in what is trained on: int64 (N + 1,), index 0 is 0."""
        counts, ends = np.zeros(self.num_items + 1, dtype=np.int64), self.trained_ends
        for users in user_blocks(self.offsets):
            bounds = self.offsets[users.start : users.stop + 1]
            position = np.arange(bounds[0], bounds[-1]) - np.repeat(bounds[:-1], np.diff(bounds))
            in_train = position < np.repeat(ends[users], np.diff(bounds))
            counts += np.bincount(self.items[bounds[0] : bounds[-1]][in_train], minlength=self.num_items + 1)
        return counts

    @classmethod
    def load(cls, folder: Path, read_titles: bool = True) -> "PreparedData":
        """Memory-map what `prepare` wrote to `folder`.

        Args:
            folder: of the finished step.
            read_titles: whether titles will be read; who reads histories alone may read older folders too.

        Raises:
            UserError: a file is missing or broken, or an older version prepared it, which called items by their ids.
        """
        arrays = {name: map_array(folder / f"{name}.npy", kinds, 1) for name, kinds in ARRAYS.items()}
        trained = folder / TRAINED_FILE
        catalog, about = read_typed(folder / "catalog.json", Names), read_typed(folder / "data.json", About)
        missing = about["statistics"].get("titles_missing", 0) if "statistics" in about else 0
        if read_titles and missing and "" not in catalog["titles"][1:]:
            raise UserError(
                f"{folder}: an older version prepared this, with ids for the titles that are missing; choose another "
                "run folder or remove this one"
            )
        return cls(
            **_checked(arrays, len(catalog["item_ids"]), folder),
            titles=catalog["titles"],
            item_ids=catalog["item_ids"],
            fingerprint=about["fingerprint"],
            split_fingerprint=about["split_fingerprint"],
            trained_users=map_array(trained, "b", 1) if trained.is_file() else None,
            item_texts=catalog.get("texts"),
        )


def _checked(arrays: dict[str, NDArray[Any]], num_ids: int, folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays, if they can be of one another.

    Raises:
        UserError: histories lead out of the interactions, or interactions out of the catalog.
    """
    items, offsets = arrays["items"], arrays["offsets"]
    users = len(offsets) - 1
    whole = (
        users >= 0
        and len(arrays["timestamps"]) == len(items)
        and len(arrays["train_ends"]) == len(arrays["validation_ends"]) == users
        and offsets[0] == 0
        and offsets[-1] == len(items)
    )
    if whole and users:
        lengths = np.diff(offsets)
        ends = arrays["train_ends"], arrays["validation_ends"]
        whole = bool((lengths >= 0).all() and (ends[0] >= 0).all() and (ends[0] <= ends[1]).all())
        whole = whole and bool((ends[1] <= lengths).all())
    if whole and len(items):
        whole = bool(items.min() >= 1 and items.max() < num_ids)
    if not whole:
        raise UserError(f"{folder}: its arrays are not of one another; remove the folder and run `recdistill prepare`")
    return arrays
