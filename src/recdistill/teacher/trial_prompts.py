"""Two prompts of random words and soft tokens, a short and a long one, in each layout that a teacher reads."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recdistill.teacher.experts import base_decoder
from recdistill.teacher.ranker import Ranker

SHORT, LONG = 9, 24
BEYOND = 5
"""Tokens by which the long prompt is longer than a window."""
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size")
"""What configurations call the tokens that a block attends to at most."""


@dataclass(frozen=True)
class TrialPrompts:
    """The embeddings of two prompts and what each rank of the experts is multiplied by.

    Attributes:
        tokens: of each prompt (1, T), 0 at soft tokens: every other one.
        inputs: of each prompt (1, T, H).
        gates: of each prompt (1, T, R); None without a gate.
        padding: what a teacher has at padding, (1, 1, H).
    """

    tokens: tuple[Tensor, Tensor]
    inputs: tuple[Tensor, Tensor]
    gates: tuple[Tensor, Tensor] | None
    padding: Tensor

    @classmethod
    def of(cls, ranker: Ranker, longest: int) -> "TrialPrompts":
        """Prompts for this teacher; the long one passes the model's windows where `longest` does."""
        decoder = base_decoder(ranker.llm)
        words: Any = decoder.get_input_embeddings()  # type: ignore[operator]
        generator = torch.Generator().manual_seed(0)
        lengths = (SHORT, long_length(decoder.config, longest))
        device, rank = words.weight.device, ranker.config.adapter.rank
        drawn = [torch.randint(1, words.num_embeddings, (1, length), generator=generator) for length in lengths]
        drawn = [one.to(device) for one in drawn]
        with torch.no_grad():
            # A soft token is a vector of a word's length that is no word's.
            inputs = tuple(words(one).roll(7, dims=2) * soft(one) + words(one) * ~soft(one) for one in drawn)
            padding = words(torch.zeros(1, 1, dtype=torch.int64, device=device))
        gates = tuple((0.5 + torch.rand(1, length, rank, generator=generator)).to(device) for length in lengths)
        tokens = tuple(one.masked_fill(soft(one).squeeze(2), 0) for one in drawn)
        return cls(tokens, inputs, None if ranker.gate is None else gates, padding)  # type: ignore[arg-type]

    @property
    def lengths(self) -> tuple[int, int]:
        """Tokens of each."""
        return self.inputs[0].shape[1], self.inputs[1].shape[1]

    def alone(self, ranker: Ranker, number: int) -> Tensor:
        """States (T, H) of one prompt alone."""
        gate = None if self.gates is None else self.gates[number]
        return ranker.run(self.inputs[number], self.tokens[number], gate, {})[0]

    def padded(self, ranker: Ranker) -> list[Tensor]:
        """States of both side by side, the shorter with padding to its right."""
        tokens, inputs, real, gate = self.piece([0, 0], list(self.lengths))
        hidden = ranker.run(inputs, tokens, gate, {})
        return [hidden[row, : int(real[row].sum())] for row in range(2)]

    def streams(self, ranker: Ranker, first: int) -> list[Tensor]:
        """States of both as streams, each token an item and the window longer than both; `first`: where they begin."""
        return self.packed(ranker, first, window=sum(self.lengths))

    def packed(self, ranker: Ranker, first: int = 0, window: int | None = None) -> list[Tensor]:
        """States of both end to end in one row; with a window, as streams."""
        inputs = torch.cat(self.inputs, dim=1)
        gate = None if self.gates is None else torch.cat(self.gates, dim=1)
        lengths = torch.tensor(self.lengths)
        positions = torch.cat([torch.arange(length) for length in self.lengths]).unsqueeze(0).to(inputs.device)
        mask = torch.ones_like(positions, dtype=torch.bool)
        steps = None if window is None else positions + 1
        options = ranker.layout_options("packed", lengths, positions + first, mask, inputs.dtype, steps, window)
        return list(
            torch.split(ranker.run(inputs, torch.cat(self.tokens, dim=1), gate, options)[0], list(self.lengths))
        )

    def piece(self, starts: list[int], counts: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Some tokens of each, padded to the right.

        Returns:
            Tokens (2, T), embeddings (2, T, H), which are real (2, T) on the CPU, gates (2, T, R).
        """
        width = max(counts)
        inputs = self.padding.repeat(2, width, 1)
        tokens = torch.zeros(2, width, dtype=torch.int64, device=inputs.device)
        real = torch.arange(width) < torch.tensor(counts).unsqueeze(1)
        gate = None
        if self.gates is not None:
            gate = torch.ones(2, width, self.gates[0].shape[2], device=inputs.device)
        for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
            tokens[row, :count] = self.tokens[row][0, start : start + count]
            inputs[row, :count] = self.inputs[row][0, start : start + count]
            if gate is not None and self.gates is not None:
                gate[row, :count] = self.gates[row][0, start : start + count]
        return tokens, inputs, real, gate


def soft(tokens: Tensor) -> Tensor:
    """Every other token, bool (1, T, 1)."""
    return (torch.arange(tokens.shape[1], device=tokens.device) % 2 == 1).view(1, -1, 1)


def long_length(config: Any, longest: int) -> int:
    """Tokens of the long prompt: more than a window has, where the run's longest prompt has more."""
    found = [getattr(config, name, None) for name in WINDOWS]
    windows = [one for one in found if isinstance(one, int) and LONG - BEYOND <= one < longest]
    length = max([LONG, *(min(longest, window + BEYOND) for window in windows)])
    places = getattr(config, "max_position_embeddings", None)
    return length if not isinstance(places, int) else max(SHORT + 1, min(length, places))
