"""Exact lists over a large catalog: a scan in 8 bits finds the few items that can be in a list, fp32 orders them.

Reading a million fp32 vectors of 64 takes longer than anything else about a list. In 8 bits it is a quarter of that,
and the sums of whole numbers are exact. With q ≈ a·q' and v ≈ s·v' (q', v' whole numbers),

    |q·v - a·s·q'·v'|  ≤  ε  =  |q - a·q'|·max|s·v'| + |q|·max|v - s·v'| + D·2⁻²³·|q|·max|v|,

the last part for fp32's own rounding. If K items have sums of t or more, their scores are at least a·s·t - ε, and an
item whose sum is below t - 2ε/(a·s) cannot be among the K best, nor equal to one. So the list is that of all scores, to
the rule for equal ones. Where the bound leaves too many items (vectors of very different lengths), all are scored
in fp32.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recdistill.errors import UserError
from recdistill.serving.engines import SCORE_MEMORY, FloatArray, LongArray, best_of
from recdistill.serving.onnx_library import import_onnxruntime
from recdistill.serving.scan_graph import TABLE, ZERO, scan_graph

LARGE = 50_000
"""Items from which on the scan pays."""
TOGETHER = 8
"""States that are scanned in one pass."""
BLOCKS = 1024
"""Parts of the catalog whose best sums bound the K-th best, where K is small."""
MOST_LEFT = 16
"""With more than one in so many items left, all are scored in fp32."""
LOWEST = np.iinfo(np.int32).min
MADE_AT_ONCE = 1 << 10
"""Item vectors that are brought into 8 bits, or scored in fp32, at a time: they stay in the cache."""


class ExactLists:
    """Exact lists over item vectors; one object may be used from several threads.

    Args:
        vectors: float32 (N + 1, D), row 0 the padding's; in memory or mapped. An eighth of their size is held beside
            them twice: in 8 bits and as onnxruntime lays that out.
        score_memory: MiB of sums held at a time; one state's are the least.

    Raises:
        UserError: a vector holds what is no number.
    """

    def __init__(self, vectors: FloatArray, score_memory: int = SCORE_MEMORY) -> None:
        self.vectors = vectors
        self.together = min(TOGETHER, max(1, score_memory * 2**20 // (4 * len(vectors))))
        table = self._quantise()
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        held = ort.OrtValue.ortvalue_from_numpy(table)
        options.add_external_initializers([TABLE], [held])
        graph = scan_graph(len(vectors), vectors.shape[1])
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def _quantise(self) -> NDArray[np.int8]:
        """The table (D, N + 1) in 8 bits of one scale; sets the scale and the three lengths of the bound."""
        starts = range(0, len(self.vectors), MADE_AT_ONCE)
        parts = [slice(start, start + MADE_AT_ONCE) for start in starts]
        largest = max(float(np.abs(self.vectors[part]).max(initial=0)) for part in parts)
        if not math.isfinite(largest):
            raise UserError("an item vector is not finite: the model's training has diverged")
        self.scale = largest / 127 or 1.0
        table = np.empty((self.vectors.shape[1], len(self.vectors)), dtype=np.int8)
        lengths = np.zeros(3)
        for part in parts:
            vectors = np.asarray(self.vectors[part], dtype=np.float64)
            whole = np.rint(vectors / self.scale)
            table[:, part] = whole.T
            kinds = (whole * self.scale, vectors - whole * self.scale, vectors)
            lengths = np.maximum(lengths, [math.sqrt(float((one**2).sum(axis=1).max())) for one in kinds])
        self.longest_whole, self.largest_error, self.longest = map(float, lengths)
        return table

    def best(
        self, states: FloatArray, top_k: int, hidden: Sequence[Sequence[int]] | None
    ) -> tuple[LongArray, FloatArray]:
        """Numbers and scores (B, K) of the best items, as :meth:`recdistill.serving.engines.Engine.best` gives them.

        Args:
            states: float32 (B, D).
            top_k: K, at most N.
            hidden: items that are left out of each row; None: none are.

        Raises:
            UserError: a state is not finite.
        """
        if not np.isfinite(states).all():
            raise UserError("a state is not finite: the model's training has diverged")
        items = np.empty((len(states), top_k), dtype=np.int64)
        scores = np.empty((len(states), top_k), dtype=np.float32)
        for start in range(0, len(states), self.together):
            part = states[start : start + self.together]
            whole, scales = _whole_states(part)
            sums = self._session.run(None, {"q": whole})[0]
            for row, state in enumerate(part):
                out = [0, *(hidden[start + row] if hidden is not None else ())]
                sums[row, out] = LOWEST
                left = _possible(sums[row], top_k, self._slack(state, whole[row], float(scales[row])))
                if left is None:
                    items[start + row], scores[start + row] = self._all(state, out, top_k)
                    continue
                values = _scores(self.vectors[left], state)
                best = best_of(values[None], top_k)[0]
                items[start + row], scores[start + row] = left[best], values[best]
        return items, scores

    def _slack(self, state: FloatArray, whole: NDArray[np.uint8], scale: float) -> float:
        """How far below the K-th best sum an item of the list may be: 2ε in units of a sum."""
        exact = state.astype(np.float64)
        length = float(np.linalg.norm(exact))
        error = float(np.linalg.norm(exact - scale * (whole.astype(np.float64) - ZERO)))
        rounding = len(state) * 2.0**-23 * length * self.longest
        bound = error * self.longest_whole + length * self.largest_error + rounding
        return 2 * bound / (scale * self.scale) if scale > 0 else math.inf

    def _all(self, state: FloatArray, out: list[int], top_k: int) -> tuple[LongArray, FloatArray]:
        """The list from all scores in fp32."""
        starts = range(0, len(self.vectors), MADE_AT_ONCE)
        scores = np.concatenate([_scores(self.vectors[start : start + MADE_AT_ONCE], state) for start in starts])
        scores[out] = -np.inf
        best = best_of(scores[None], top_k)[0]
        return best, scores[best]


def _whole_states(states: FloatArray) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """States as whole numbers from 1 to 127, 64 for 0, and what one of these is worth in each row."""
    scales = np.abs(states).max(axis=1).astype(np.float64) / (ZERO - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.nan_to_num(np.rint(states / scales[:, None])) + ZERO
    return whole.astype(np.uint8), scales


def _scores(vectors: FloatArray, state: FloatArray) -> FloatArray:
    """Scores (M,), each row summed by itself, so that equal vectors score alike wherever they stand."""
    scores: FloatArray = (vectors * state).sum(axis=1)
    return scores


def _possible(sums: NDArray[np.int32], top_k: int, slack: float) -> LongArray | None:
    """Items, ascending, that can be in a list of K, by their sums (N + 1,); None: too many to tell apart.

    The best sums of many parts of the catalog bound the K-th best from below; among the items above that bound it is
    then found itself.
    """
    width = len(sums) // max(BLOCKS, 8 * top_k)
    if not width or not math.isfinite(slack):
        return None
    highest = sums[: len(sums) // width * width].reshape(-1, width).max(axis=1)
    bound = int(_kth(highest, top_k))
    least = math.floor(bound - slack)
    if least <= LOWEST + 1:  # Fewer than K items are left.
        return None
    left = np.flatnonzero(sums >= least)
    if len(left) * MOST_LEFT > len(sums):
        return None
    kept = sums[left]
    return left[kept >= math.floor(int(_kth(kept, top_k)) - slack)]


def _kth(values: NDArray[np.int32], top_k: int) -> np.int32:
    """The K-th largest."""
    found: np.int32 = np.partition(values, len(values) - top_k)[len(values) - top_k]
    return found
