"""Training steps of the naive teacher, in the form of the package's own."""

from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

from naive.options import NaiveOptions
from naive.prompts import FIXED_LENGTH, NaiveBatch, NaivePrompts
from naive.ranker import NaiveRanker
from recdistill.data.windows import Windows, collate
from recdistill.teacher.teacher import Teacher


class NaiveTraining:
    """The naive teacher around the same data and starting weights as a package's teacher.

    Args:
        teacher: gives data, targets (`last`), tokenizer and weights.
        tokenizer: the language model's.
        options: padding (not packed) and gate are read; of the other options it has all.
        length: the fixed length, in tokens.
    """

    def __init__(self, teacher: Teacher, tokenizer: Any, options: NaiveOptions, length: int = FIXED_LENGTH) -> None:
        if options.padding == "packed":
            raise ValueError("the naive teacher does not pack; compose that variant from the package's parts")
        self.data, self.windows = teacher.data, teacher.training_windows()
        self.lengths = teacher.prompt_lengths(self.windows)
        self.module = NaiveRanker(teacher.ranker, causal=options.gate == "causal")
        self.prompts = NaivePrompts(teacher.config, tokenizer, teacher.data.titles, options.padding, length)

    def batch(self, windows: Windows, rows: np.ndarray) -> NaiveBatch:
        """The prompts of some windows with one target each."""
        return self.prompts.build(collate(self.data, windows, rows))

    def collate(self, rows: np.ndarray) -> NaiveBatch:
        """One batch of prompts, tokenised now."""
        return self.batch(self.windows, rows)

    def num_targets(self, batch: NaiveBatch) -> int:
        """Predictions the batch makes."""
        return len(batch.target_items)

    def loss(self, batch: NaiveBatch) -> Tensor:
        """Cross-entropy over all scores, (B, N) at once, summed."""
        scores = self.module(batch) @ self.module.item_vectors()[1:].T
        return cross_entropy(scores, batch.target_items - 1, reduction="sum")
