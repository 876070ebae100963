"""Histories that grow: keys and values of what was read are kept, and a new item costs its own tokens alone.

A teacher that ranks reads a prompt once and decodes nothing, so a key-value cache has nothing to offer it. It pays
where the same history is read again with one item more: an online service, or one prompt a target. It is exact where
the gate of a token does not change as the history grows (`causal`, or none) and nothing at the front of the prompt is
dropped (the window is not full); :class:`GrowingHistories` checks both. With streams (`teacher.windows: sliding`) the
window slides: each new item looks back over the last `history_length`, whose keys and values alone are kept.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.errors import UserError
from recdistill.language_models.per_layer import own_inputs
from recdistill.measure.evidence import TokenCount
from recdistill.teacher.experts import GATE_KEYWORD, base_decoder, expand_gate
from recdistill.teacher.last_items import newest
from recdistill.teacher.prompts import SOFT, PromptBuilder
from recdistill.teacher.ranker import AUTOCAST, Ranker


class GrowingHistories:
    """B histories, read item by item.

    Args:
        ranker: the teacher; put it into evaluation mode first.
        prompts: its prompts.
        rows: B.
        window: most items of a history: the smaller of the student's and the prompt's; of a stream, its length.
        read: counts what is read, each pass with its padding; a prompt is counted when it begins.
        earlier: int64 (B, E), items before the first that is read, none of them padding: what the student sees of a
            history that goes on in a new stream. None: the histories begin here.

    Attributes:
        items: int64 (B, L), what was read, 0 to the right of shorter histories.
        tokens_read, tokens_reused: tokens computed so far, and keys and values that were not computed again.

    Raises:
        UserError: the gate weighs all tokens by the whole history, or prompts hold candidates behind it.
    """

    def __init__(
        self,
        ranker: Ranker,
        prompts: PromptBuilder,
        rows: int,
        window: int,
        read: TokenCount | None = None,
        earlier: Tensor | None = None,
    ) -> None:
        from recdistill.teacher.cached_reading import CachedReading  # transformers' caches take seconds to import

        if ranker.config.gate.kind == "instance" or ranker.config.candidates:
            raise UserError(
                "teacher: a history can only grow in a cache where no earlier token changes with it: "
                "gate.kind causal or none, and no candidates"
            )
        self.ranker, self.prompts, self.window = ranker, prompts, window
        self.decoder = base_decoder(ranker.llm)
        self.device = self.decoder.get_input_embeddings().weight.device  # type: ignore[operator]
        self.slides = ranker.config.history_length if ranker.config.streams else None
        self.cached = CachedReading(self.decoder, rows, self.slides)
        self.items = torch.zeros(rows, 0, dtype=torch.int64)
        self.earlier = self.items if earlier is None else earlier
        self.tokens_read = self.tokens_reused = 0
        self.read = TokenCount() if read is None else read

    @property
    def lengths(self) -> Tensor:
        """Items of each history: int64 (B,)."""
        return (self.items > 0).sum(dim=1)

    @torch.inference_mode()
    def extend(self, new: Tensor) -> Tensor:
        """Read one more item of each history.

        Args:
            new: int64 (B,), 1..N; 0 where a history stays as it is (but not in the first call).

        Returns:
            User states (B, S) after the new items; rows where nothing is new hold nothing of meaning.

        Raises:
            UserError: a window is full; what comes next must be read anew.
        """
        lengths = self.lengths
        if int((lengths + (new > 0)).max()) > self.window:
            raise UserError(
                f"teacher: a cached history is full ({self.window} items); start anew with its latest items"
            )
        if not self.items.shape[1] and not bool((new > 0).all()):
            raise ValueError("each history must begin with an item")
        self._append(new, lengths)
        items = self.items.to(self.device)
        steps = self.lengths
        looked_at = items
        if self.slides is not None:
            looked_at = newest(torch.cat([self.earlier.to(self.device), items], dim=1), self.slides)
        states = self.ranker.student.states(looked_at)
        last = (torch.arange(len(new)), (looked_at > 0).sum(dim=1).cpu() - 1)
        hidden = self._read(new, states, steps, last[1])
        profile = self.ranker.title_profile(looked_at)
        return self.ranker.head.states(states[last], hidden, None if profile is None else profile[last])

    def _append(self, new: Tensor, lengths: Tensor) -> None:
        """Write the new items behind the histories."""
        if int((lengths + (new > 0)).max()) > self.items.shape[1]:
            self.items = torch.cat([self.items, torch.zeros(len(new), 1, dtype=torch.int64)], dim=1)
        rows = torch.nonzero(new > 0).squeeze(1)
        self.items[rows, lengths[rows]] = new[rows]

    def _read(self, new: Tensor, states: Tensor, steps: Tensor, last: Tensor) -> Tensor:
        """Run the language model over the new tokens: (B, H), the state at each history's last one.

        Args:
            new: the items.
            states: the student's (B, L, D).
            steps: items of each history.
            last: the column of `states` that stands for them.
        """
        ids, soft, token_steps, real = self._tokens(new, steps)
        before, first = self.cached.seen.sum(dim=1), not self.cached.seen.shape[1]
        useful, reused = int(real.sum()), int(before[new > 0].sum())
        self.tokens_read += useful
        self.tokens_reused += reused
        rows, width = real.shape
        self.read.add(useful, rows, width, prompts=len(new) if first else 0, targets=0)
        self.read.reused += reused
        words = self.decoder.get_input_embeddings()(ids.to(self.device))  # type: ignore[operator]
        tokens = self.ranker.soft_tokens(soft.to(self.device)).to(words.dtype)
        inputs = torch.where((soft > 0).to(self.device).unsqueeze(-1), tokens, words)
        options: dict[str, Tensor] = dict(own_inputs(self.decoder, ids.to(self.device)))
        if self.ranker.gate is not None:
            weights = self.ranker.gate.per_history_step(states, steps.to(self.device))
            gate = expand_gate(weights, self.ranker.config.adapter.rank)
            known = torch.where(token_steps > 0, last.unsqueeze(1) + 1, 0)
            options[GATE_KEYWORD] = gate[torch.arange(len(new)).unsqueeze(1), known]
        mixed = AUTOCAST.get(self.ranker.config.precision)
        with torch.autocast(inputs.device.type, dtype=mixed, enabled=mixed is not None):
            hidden = self.cached.read(inputs, real, None if self.slides is None else token_steps, **options)
        ends = real.sum(dim=1) - 1
        return hidden[torch.arange(len(new)), ends.clamp_min(0)]

    def _tokens(self, new: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The new tokens, padded to the right: ids, items of soft tokens, steps, which are real; each (B, T)."""
        first = not self.cached.seen.shape[1]
        rows: list[NDArray[np.int32]] = []
        for item in new.tolist():
            parts = [self.prompts.segment(self.prompts.head)] if first else []
            rows.append(np.concatenate([*parts, self.prompts.segment(item)]) if item else np.empty(0, dtype=np.int32))
        head = int(self.prompts.segment_lengths[self.prompts.head]) if first else 0
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), 0, dtype=torch.int64)
        real = torch.zeros(len(rows), width, dtype=torch.bool)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.from_numpy(row.astype(np.int64))
            real[number, : len(row)] = True
        soft = torch.where(ids == SOFT, new.unsqueeze(1), 0)
        token_steps = steps.unsqueeze(1).expand(-1, width).clone()
        token_steps[:, :head] = 0
        return ids.masked_fill(ids == SOFT, 0), soft, token_steps, real
