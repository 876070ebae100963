"""From histories to what the language model reads: token ids, soft tokens, and where each prediction is made.

Everything a prompt can be made of is a segment with a number, tokenised once: segment i is item i (its title's tokens,
then one soft token; the soft token alone with `prompt: item`), and a few more hold the fixed words. A prompt is a list
of segment numbers, and a batch of prompts is one ragged gather; nothing is tokenised twice.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.data.windows import Batch
from recdistill.language_models.title_tokens import title_tokens
from recdistill.teacher.padding import Shape

SOFT = -1
"""Stands in a segment where the item's soft token goes."""
CANDIDATES_STREAM = 0xCA4D
"""Tells the lists in prompts from other draws for the same key, such as those that the evaluation ranks among."""


Side = Literal["right", "left", "packed"]


@dataclass(frozen=True)
class PromptBatch:
    """B prompts and the M predictions they make, laid out in P rows of T tokens.

    A row holds one prompt, padded to the right or to the left (P = B, or more with empty rows at the end), or all of
    them end to end (`packed`, P = 1).

    Attributes:
        token_ids: int64 (P, T), the language model's tokens; 0 at soft tokens and padding.
        soft_items: int64 (P, T), the item of each soft token; 0 elsewhere.
        steps: int64 (P, T), how many items of the history the token may know: the gate's entry for it.
        token_prompts: int64 (P, T), the prompt that each token belongs to; 0 at padding.
        token_positions: int64 (P, T), the token's place in its own prompt, from 0, what was skipped of a stream
            counted; 0 at padding.
        mask: bool (P, T), False at padding.
        soft_rows, soft_columns: int64 (S,), where the soft tokens stand.
        prompt_tokens: int64 (B,), tokens of each prompt.
        items: int64 (B, L), the student's view of the histories, right padded.
        lengths: int64 (B,), items in each of these histories.
        target_prompts: int64 (M,), the prompt that makes each prediction.
        target_rows, target_columns: int64 (M,), the token at which each prediction is made.
        target_steps: int64 (M,), items of the history known then; the student's state is `states[prompt, step - 1]`.
        target_items: int64 (M,), the item to predict.
        users, positions: int64 (M,), the target's key.
        events: int64 (B, L), the row number of each of `items` among all interactions, -1 at padding; None: not told.
        padding: the side on which padding stands.
    """

    token_ids: Tensor
    soft_items: Tensor
    steps: Tensor
    token_prompts: Tensor
    token_positions: Tensor
    mask: Tensor
    soft_rows: Tensor
    soft_columns: Tensor
    prompt_tokens: Tensor
    items: Tensor
    lengths: Tensor
    target_prompts: Tensor
    target_rows: Tensor
    target_columns: Tensor
    target_steps: Tensor
    target_items: Tensor
    users: Tensor
    positions: Tensor
    padding: Side = "right"
    events: Tensor | None = None

    def to(self, device: torch.device | str) -> "PromptBatch":
        """The same batch on `device`; `prompt_tokens` stays on the CPU, where layouts are made from it."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return PromptBatch(**(moved | {"prompt_tokens": self.prompt_tokens}), padding=self.padding)

    def size(self) -> dict[str, int]:
        """How much there is in it, for :meth:`recdistill.measure.evidence.TokenCount.add`."""
        rows, width = self.token_ids.shape
        return {
            "useful": int(self.prompt_tokens.sum()),
            "rows": rows,
            "width": width,
            "prompts": len(self.prompt_tokens),
            "targets": len(self.target_items),
        }


class PromptBuilder:
    """Turns batches of histories into prompts, as `teacher.prompt`, `history_length` and `candidates` say.

    With a candidate list, `teacher.candidates` random items are written behind the history and the prediction is made
    at the prompt's last token. The items are drawn for each target from a generator of its own, by seed, user and
    position, so that a target has the same list in every epoch; the history that is read and the target are never among
    them. That the target is never listed tells a little about it: 20 of 1,682 items are ruled out, 1.2 %.
    """

    def __init__(self, config: TeacherConfig, tokenizer: Any, titles: list[str], seed: int) -> None:
        self.config, self.seed, self.num_items = config, seed, len(titles) - 1
        soft = np.array([SOFT], dtype=np.int32)
        text = config.prompt == "text"
        item_tokens, self.cut_titles = [np.empty(0, dtype=np.int32)] * len(titles), 0
        if text:
            item_tokens, self.cut_titles = title_tokens(tokenizer, titles, most=config.title_tokens)
        items = [np.concatenate([tokens, soft]) for tokens in item_tokens[1:]]
        words = [config.instruction, "\nCandidates:", "\nNext:"] if text else ["", "", ""]
        head, listed, answer = (
            np.asarray(tokenizer(word, add_special_tokens=False)["input_ids"] if word else [], dtype=np.int32)
            for word in words
        )
        segments = [head, *items, listed, answer]
        self.head, self.listed, self.answer = 0, self.num_items + 1, self.num_items + 2
        self.segment_lengths = np.array([len(segment) for segment in segments], dtype=np.int64)
        self.segment_starts = np.cumsum(self.segment_lengths) - self.segment_lengths
        self.tokens = np.concatenate(segments)

    def segment(self, number: int) -> NDArray[np.int32]:
        """One segment's tokens, with :data:`SOFT` where its soft token goes: item 1..N, or `head`."""
        start = int(self.segment_starts[number])
        tokens: NDArray[np.int32] = self.tokens[start : start + int(self.segment_lengths[number])]
        return tokens

    def tokens_per_item(self) -> NDArray[np.int64]:
        """Tokens that each item takes in a prompt: (N + 1,), index 0 is the head's."""
        return self.segment_lengths[: self.num_items + 1]

    def tokens_beside_history(self) -> int:
        """Tokens of a prompt beside its history, at most: the words at its head, and the candidate list."""
        head, listed, answer = (int(self.segment_lengths[part]) for part in (self.head, self.listed, self.answer))
        if not self.config.candidates:
            return head
        return head + listed + answer + self.config.candidates * int(self.segment_lengths[1:-2].max())

    def build(
        self,
        batch: Batch,
        padding: Side = "right",
        shape: Shape | None = None,
        skipped: NDArray[np.int64] | None = None,
    ) -> PromptBatch:
        """Prompts for a batch of right-padded histories whose `targets` name what is predicted after which item.

        Args:
            batch: the histories.
            padding: where padding stands, or `packed`.
            shape: rows and width to fill up to; None: no more than there must be.
            skipped: (B,), tokens that would stand between the head and the history if it were read from its start.
        """
        items, targets = batch.items.numpy(), batch.targets.numpy()
        lengths = (items > 0).sum(axis=1)
        shown = items.shape[1] if self.config.streams else self.config.history_length
        first = np.maximum(lengths - shown, 0)
        rows, segments, steps, is_history = self._lay_out(batch, items, lengths, first)
        counts = self.segment_lengths[segments]
        totals = np.bincount(rows, weights=counts, minlength=len(items)).astype(np.int64)
        ends_flat = np.cumsum(counts)
        row_starts = np.cumsum(totals) - totals
        size = self._size(totals, padding, shape)
        # Where each prompt begins: the row of the layout, and the column in it.
        row_of = np.zeros(len(items), dtype=np.int64) if padding == "packed" else np.arange(len(items))
        shift = {"right": np.zeros_like(totals), "left": size[1] - totals, "packed": row_starts}[padding]
        ends = ends_flat - row_starts[rows] + shift[rows]

        within = np.arange(ends_flat[-1]) - np.repeat(ends_flat - counts, counts)
        flat = self.tokens[np.repeat(self.segment_starts[segments], counts) + within]
        prompts, columns = np.repeat(rows, counts), np.repeat(ends - counts, counts) + within
        place = (row_of[prompts], columns)
        soft = flat == SOFT
        token_ids = _spread(size, place, np.where(soft, 0, flat))
        soft_items = _spread(size, place, np.where(soft, np.repeat(segments, counts), 0))
        token_steps = _spread(size, place, np.repeat(steps, counts))
        own_places = columns - shift[prompts]
        if skipped is not None:
            own_places = own_places + skipped[prompts] * (np.repeat(steps, counts) > 0)
        mask = _spread(size, place, np.ones(len(flat), dtype=np.int64)).astype(bool)

        # The token that ends item number `step` of a row; a listed prompt predicts at its own end instead.
        end_of_step = np.zeros((len(items), items.shape[1] + 1), dtype=np.int64)
        end_of_step[rows[is_history], steps[is_history]] = ends[is_history] - 1
        target_prompts, target_index = np.nonzero((targets > 0) & (np.arange(items.shape[1]) >= first[:, None]))
        target_steps = target_index + 1
        at_end = (shift + totals - 1)[target_prompts]
        target_columns = at_end if self.config.candidates else end_of_step[target_prompts, target_steps]
        positions = batch.positions.numpy()[target_prompts, target_index] + 1
        tensors = {
            "token_ids": token_ids,
            "soft_items": soft_items,
            "steps": token_steps,
            "mask": mask,
            "token_prompts": _spread(size, place, prompts),
            "soft_rows": place[0][soft],
            "soft_columns": columns[soft],
            "token_positions": _spread(size, place, own_places),
            "prompt_tokens": totals,
            "items": items,
            "lengths": lengths,
            "target_prompts": target_prompts,
            "target_rows": row_of[target_prompts],
            "target_columns": target_columns,
            "target_steps": target_steps,
            "target_items": targets[target_prompts, target_index],
            "users": batch.users.numpy()[target_prompts],
            "positions": positions.astype(np.int64),
        }
        return PromptBatch(
            **{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()}, padding=padding
        )

    def _size(self, totals: NDArray[np.int64], padding: Side, shape: Shape | None) -> tuple[int, int]:
        """Rows and columns of the layout."""
        rows, width = (1, int(totals.sum())) if padding == "packed" else (len(totals), int(totals.max()))
        if shape is not None:
            rows, width = max(rows, shape.rows or 0), max(width, shape.width or 0)
        return rows, width

    def _lay_out(
        self, batch: Batch, items: NDArray[np.int64], lengths: NDArray[np.int64], first: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """The segments of all prompts, row after row: their rows, numbers, steps, and which belong to the history."""
        rows, segments, steps, history = [], [], [], []
        for row, (start, length) in enumerate(zip(first, lengths, strict=True)):
            shown = items[row, start:length]
            tail = self._candidate_segments(batch, row, items[row, :length])
            segments.append(np.concatenate([[self.head], shown, tail]).astype(np.int64))
            steps.append(
                np.concatenate([[0], np.arange(start, length) + 1, np.full(len(tail), length)]).astype(np.int64)
            )
            history.append(np.arange(len(segments[-1])) - 1 < len(shown))
            history[-1][0] = False
            rows.append(np.full(len(segments[-1]), row))
        return np.concatenate(rows), np.concatenate(segments), np.concatenate(steps), np.concatenate(history)

    def _candidate_segments(self, batch: Batch, row: int, history: NDArray[np.int64]) -> NDArray[np.int64]:
        """The candidate list's segments for one prompt; empty without a list."""
        if not self.config.candidates:
            return np.empty(0, dtype=np.int64)
        last = len(history) - 1
        target, user, position = (
            int(x) for x in (batch.targets[row, last], batch.users[row], batch.positions[row, last] + 1)
        )
        seed = (self.seed, CANDIDATES_STREAM, user, position)
        candidates = draw_candidates(self.num_items, self.config.candidates, history, target, seed)
        return np.concatenate([[self.listed], candidates, [self.answer]])


def _spread(
    size: tuple[int, int], place: tuple[NDArray[np.int64], NDArray[np.int64]], values: NDArray[Any]
) -> NDArray[np.int64]:
    """Values at their places in a layout of zeros."""
    layout = np.zeros(size, dtype=np.int64)
    layout[place] = values
    return layout


def draw_candidates(
    num_items: int, count: int, history: NDArray[np.int64], target: int, seed: tuple[int, ...]
) -> NDArray[np.int64]:
    """`count` distinct items (fewer where the catalog has no more) that are neither in `history` nor the `target`."""
    order = np.random.default_rng(seed).permutation(num_items) + 1
    return order[~np.isin(order, np.append(history, target))][:count]
