"""A student that onnxruntime runs: no torch, one thread, a tenth of a millisecond a history."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from recdistill.errors import UserError
from recdistill.serving.engines import SCORE_MEMORY, FloatArray, LongArray, padded
from recdistill.serving.exact_lists import LARGE, ExactLists
from recdistill.serving.onnx_library import import_onnxruntime
from recdistill.storage.files import map_array

CHUNK = 16
"""Histories in one pass of the model: what they need stays in the processor's cache."""


class OnnxEngine:
    """See :class:`recdistill.serving.engines.Engine`.

    Args:
        model: the graph that :mod:`recdistill.serving.graph` wrote.
        vectors: its item vectors (.npy), float32 (N + 1, D).
        max_length: latest items of a history that it looks at.
        alone: give each history a pass of its own. A graph in 8 bits needs it: onnxruntime takes one scale for the
            activations of a whole pass, so that an answer would depend on what is asked beside it.
        score_memory: MiB of scores held at a time.

    Raises:
        UserError: a file is missing, or onnxruntime cannot read it.
    """

    def __init__(
        self, model: Path, vectors: Path, max_length: int, alone: bool = False, score_memory: int = SCORE_MEMORY
    ) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{model}: onnxruntime cannot read it ({error})") from error
        self._vectors: FloatArray = map_array(vectors, "f", 2)
        self.num_items, self.max_length = len(self._vectors) - 1, max_length
        most = max(1, score_memory * 2**20 // (4 * len(self._vectors)))
        self._state_alone = ort.RunOptions()
        self._state_alone.only_execute_path_to_fetches = True
        self._score_memory = score_memory
        self._chunk = 1 if alone else min(CHUNK, most)

    @cached_property
    def _lists(self) -> ExactLists:
        """Made when the first list is asked for: with an index, none is."""
        return ExactLists(self._vectors, self._score_memory)

    @property
    def item_vectors(self) -> FloatArray:
        """Item vectors (N + 1, D), mapped from the file."""
        return self._vectors

    def best(self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool) -> tuple[LongArray, FloatArray]:
        """Numbers and scores (B, K) of the best items; histories of like length go through the model together.

        In a large catalog the graph's own scores and list would take most of the time; there the state alone is
        computed, and :class:`recdistill.serving.exact_lists.ExactLists` finds the list.
        """
        if self.num_items >= LARGE:
            return self._lists.best(self.states(histories), top_k, histories if exclude_seen else None)
        if len(histories) <= self._chunk:
            return self._best(histories, top_k, exclude_seen)
        items = np.empty((len(histories), top_k), dtype=np.int64)
        scores = np.empty((len(histories), top_k), dtype=np.float32)
        for rows in self._chunks(histories):
            items[rows], scores[rows] = self._best([histories[row] for row in rows], top_k, exclude_seen)
        return items, scores

    def states(self, histories: Sequence[Sequence[int]]) -> FloatArray:
        """States (B, D) after the histories."""
        states = np.empty((len(histories), self._vectors.shape[1]), dtype=np.float32)
        for rows in self._chunks(histories):
            windows = padded([histories[row] for row in rows], self.max_length)
            feed = {"items": windows, "seen": np.zeros((len(rows), 1), dtype=np.int64), "k": np.array([1])}
            states[rows] = self._session.run(["state"], feed, self._state_alone)[0]
        return states

    def _best(self, histories: Sequence[Sequence[int]], top_k: int, exclude_seen: bool) -> tuple[LongArray, FloatArray]:
        windows = seen = padded(histories, self.max_length)
        longest = max(map(len, histories))
        if not exclude_seen:
            seen = np.zeros((len(histories), 1), dtype=np.int64)
        elif longest > self.max_length:
            seen = padded(histories, longest)
        feed = {"items": windows, "seen": seen, "k": np.array([top_k])}
        items, scores = self._session.run(["top_items", "top_scores"], feed)
        return items, scores

    def _chunks(self, histories: Sequence[Sequence[int]]) -> list[list[int]]:
        """Rows in chunks, the shortest histories first."""
        order = sorted(range(len(histories)), key=lambda row: min(len(histories[row]), self.max_length))
        return [order[start : start + self._chunk] for start in range(0, len(order), self._chunk)]
