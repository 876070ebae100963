"""An approximate index of item vectors (faiss, extra `index`): a list in a fraction of a millisecond, not always exact.

The items are sorted into groups by their nearest centre (IVF), and a list is made from the groups whose centres fit a
state best, `nprobe` of them, by the items' own fp32 vectors. So every score is exact, and what may be missing is an
item of another group. A folder of an index holds

    centres.npy    float32 (C, D)
    groups.npy     int32 (N,): the group of item 1, 2, …
    index.json     what it was made from, `nprobe`, the recall that was measured, sha256 of the files; written last

and no file of faiss's own, which nothing here reads: the index is put together from the model's vectors.
"""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from recdistill.errors import UserError, not_installed
from recdistill.serving.answers import Model
from recdistill.serving.engines import Engine, FloatArray, LongArray
from recdistill.storage.checksums import Files, check_files, read_sealed
from recdistill.storage.files import map_array

INDEX_FOLDER, INDEX_FILE = "index", "index.json"
CENTRES_FILE, GROUPS_FILE = "centres.npy", "groups.npy"
HASHED_AT_ONCE = 1 << 16
"""Vectors whose checksum is computed at a time."""


class Probes(TypedDict):
    """What a number of groups gives: share of the exact lists' items, and CPU milliseconds of one list."""

    nprobe: int
    recall: float
    milliseconds: float


class IndexAbout(TypedDict):
    """What `index.json` says.

    `nprobe` is the least that reached `wanted` on half of the histories; `recall` and `milliseconds` were measured on
    the other half, beside `exact_milliseconds` for all scores; `tried` is what was seen on the first half.
    """

    model: str
    items: int
    dim: int
    vectors: str
    centres: int
    nprobe: int
    top_k: int
    wanted: float
    recall: float
    milliseconds: float
    exact_milliseconds: float
    histories: int
    exclude_seen: bool
    seed: int
    faiss: str
    tried: list[Probes]
    files: Files
    checksum: str


def import_faiss() -> Any:
    """The library, on one thread: an answer does not wait for other cores.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("faiss") is None:
        raise UserError(not_installed("faiss", "index"))
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss


class ItemIndex:
    """Lists from the groups nearest to a state; one object may be used from several threads.

    Args:
        vectors: float32 (N + 1, D), row 0 the padding's.
        centres: float32 (C, D).
        groups: (N,), the group of each item.
        nprobe: groups that a list is made from.
    """

    def __init__(self, vectors: FloatArray, centres: FloatArray, groups: NDArray[np.integer], nprobe: int) -> None:
        self._faiss = faiss = import_faiss()
        self.vectors, self.nprobe, self.centres = vectors, nprobe, len(centres)
        self._quantiser = faiss.IndexFlatIP(centres.shape[1])  # held here: faiss does not own it
        self._quantiser.add(np.ascontiguousarray(centres))
        self._index = faiss.IndexIVFFlat(self._quantiser, centres.shape[1], len(centres), faiss.METRIC_INNER_PRODUCT)
        self._index.is_trained = True
        items = np.arange(1, len(vectors), dtype=np.int64)
        parts = (np.ascontiguousarray(vectors[1:]), items, np.ascontiguousarray(groups, dtype=np.int64))
        self._index.add_core(len(items), *(faiss.swig_ptr(one) for one in parts))

    def best(
        self, states: FloatArray, top_k: int, hidden: Sequence[Sequence[int]] | None
    ) -> tuple[LongArray, FloatArray]:
        """Numbers and scores (B, K), as :meth:`recdistill.serving.engines.Engine.best` gives them.

        Where the groups hold fewer than K items that may be listed, more groups are searched, in the end all.

        Args:
            states: float32 (B, D).
            top_k: K, at most N.
            hidden: items that are left out of each row; None: none are.
        """
        items = np.zeros((len(states), top_k), dtype=np.int64)
        scores = np.full((len(states), top_k), -np.inf, dtype=np.float32)
        for row, state in enumerate(np.ascontiguousarray(states, dtype=np.float32)):
            found = self._found(state, top_k, hidden[row] if hidden is not None else ())
            values = (self.vectors[found] * state).sum(axis=1)
            order = np.lexsort((found, -values))
            items[row, : len(found)], scores[row, : len(found)] = found[order], values[order]
        return items, scores

    def _found(self, state: FloatArray, top_k: int, hidden: Sequence[int]) -> LongArray:
        """Items of one list, in no order; fewer than K where no more are left."""
        faiss, nprobe = self._faiss, self.nprobe
        out = np.unique(np.asarray(hidden, dtype=np.int64))
        selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(out)) if len(out) else None
        while True:
            asked = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
            found: LongArray = self._index.search(state[None], top_k, params=asked)[1][0]
            if nprobe >= self.centres or found[-1] >= 0:
                return found[found >= 0]
            nprobe = min(2 * nprobe, self.centres)


class IndexedEngine:
    """A model whose lists come from an index; see :class:`recdistill.serving.engines.Engine`.

    Args:
        engine: the model.
        index: of its item vectors.
    """

    def __init__(self, engine: Engine, index: ItemIndex) -> None:
        self.engine, self.index = engine, index
        self.num_items, self.max_length = engine.num_items, engine.max_length

    @property
    def item_vectors(self) -> FloatArray:
        """Item vectors (N + 1, D)."""
        return self.engine.item_vectors

    def best(self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool) -> tuple[LongArray, FloatArray]:
        """Numbers and scores (B, K) of the best items that the index finds."""
        return self.index.best(self.states(histories), top_k, histories if exclude_seen else None)

    def states(self, histories: Sequence[Sequence[int]]) -> FloatArray:
        """States (B, D) after the histories."""
        return self.engine.states(histories)


def load_index(source: Path, model: Model, engine: Engine) -> ItemIndex:
    """The index of a run's or a bundle's model.

    Args:
        source: the run or the bundle, in which :data:`INDEX_FOLDER` lies.
        model: its name.
        engine: what answers for it.

    Raises:
        UserError: there is no index, it is damaged, was made for other vectors, or faiss is not installed.
    """
    folder = source / INDEX_FOLDER / model
    if not (folder / INDEX_FILE).is_file():
        raise UserError(f"{folder}: holds no index; `recdistill index RUN` makes one")
    about = read_about(folder)
    again = "`recdistill index RUN` makes it anew"
    vectors = engine.item_vectors
    if (about["items"], about["dim"]) != (len(vectors) - 1, vectors.shape[1]):
        made = f"{about['items']} items of {about['dim']} dimensions"
        raise UserError(f"{folder}: made for {made}, the model has {len(vectors) - 1} of {vectors.shape[1]}; {again}")
    if about["vectors"] != vectors_sha256(vectors):
        raise UserError(f"{folder}: made for other weights than the model's; {again}")
    centres, groups = map_array(folder / CENTRES_FILE, "f", 2), map_array(folder / GROUPS_FILE, "i", 1)
    shapes = centres.shape == (about["centres"], about["dim"]) and groups.shape == (about["items"],)
    if not shapes or int(groups.min()) < 0 or int(groups.max()) >= len(centres) or about["nprobe"] < 1:
        raise UserError(f"{folder}: its arrays are not those that `recdistill index` writes; {again}")
    return ItemIndex(vectors, centres, groups, about["nprobe"])


def read_about(folder: Path) -> IndexAbout:
    """What `index.json` says, whose files are as they were written.

    Raises:
        UserError: a file is damaged or missing, or another version wrote it.
    """
    about = read_sealed(folder / INDEX_FILE, IndexAbout)
    check_files(folder, about["files"])
    return about


def vectors_sha256(vectors: FloatArray) -> str:
    """Sha256 of item vectors (N + 1, D) as they stand in memory, row by row."""
    digest = hashlib.sha256()
    for start in range(0, len(vectors), HASHED_AT_ONCE):
        digest.update(np.ascontiguousarray(vectors[start : start + HASHED_AT_ONCE], dtype=np.float32).tobytes())
    return digest.hexdigest()
