"""Prompts as strings, tokenised in the training loop by the language model's own tokenizer, padded by it too."""

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.data.windows import Batch

PLACEHOLDER = "[ItemEmb]"
"""Stands in the text where an item's soft token goes (LLaRA, iLoRA)."""
FIXED_LENGTH = 128
"""Tokens that every prompt is padded to, as in the report."""


@dataclass(frozen=True)
class NaiveBatch:
    """B prompts with one target each.

    Attributes:
        token_ids: int64 (B, T); 0 at placeholders.
        mask: bool (B, T), False at padding, which stands to the right.
        soft_items: int64 (B, T), the item of each placeholder; 0 elsewhere.
        steps: int64 (B, T), items of the history up to the token; 0 in the instruction.
        items: int64 (B, L), the student's view of the histories, right padded.
        lengths: int64 (B,), items in each of these histories.
        target_items: int64 (B,).
        users, positions: int64 (B,), the target's key.
    """

    token_ids: Tensor
    mask: Tensor
    soft_items: Tensor
    steps: Tensor
    items: Tensor
    lengths: Tensor
    target_items: Tensor
    users: Tensor
    positions: Tensor


class NaivePrompts:
    """Writes one string a prompt: the instruction, then title and placeholder of each of the latest items.

    Args:
        config: instruction and history length.
        tokenizer: the language model's; copied, since it gets the placeholder as a token.
        titles: of items 0..N.
        padding: fixed, or bucketed: to the longest of the batch.
        length: the fixed length, in tokens.
    """

    def __init__(
        self,
        config: TeacherConfig,
        tokenizer: Any,
        titles: list[str],
        padding: Literal["fixed", "bucketed"] = "fixed",
        length: int = FIXED_LENGTH,
    ) -> None:
        self.config, self.titles, self.padding, self.length = config, titles, padding, length
        self.tokenizer = copy.deepcopy(tokenizer)
        self.tokenizer.add_tokens([PLACEHOLDER], special_tokens=True)
        self.tokenizer.padding_side = "right"
        self.placeholder = self.tokenizer.convert_tokens_to_ids(PLACEHOLDER)
        self.head_tokens = len(self.tokenizer(config.instruction, add_special_tokens=False)["input_ids"])

    def build(self, batch: Batch) -> NaiveBatch:
        """Prompts for histories with a target after their last item each.

        Raises:
            ValueError: a prompt is longer than the fixed length, and cutting it would change it.
        """
        lengths = (batch.items > 0).sum(dim=1)
        shown, texts = [], []
        for history, length in zip(batch.items.tolist(), lengths.tolist(), strict=True):
            latest = history[max(0, length - self.config.history_length) : length]
            shown.append(latest)
            texts.append(self.config.instruction + "".join(f"\n{self.titles[item]}{PLACEHOLDER}" for item in latest))
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            padding="max_length" if self.padding == "fixed" else "longest",
            max_length=self.length if self.padding == "fixed" else None,
        )
        longest = max(len(ids) for ids in encoded["input_ids"])
        if self.padding == "fixed" and longest > self.length:
            raise ValueError(f"a prompt of {longest} tokens does not fit the fixed length of {self.length}")
        ids, mask = torch.tensor(encoded["input_ids"]), torch.tensor(encoded["attention_mask"]).bool()
        soft = ids == self.placeholder
        soft_items = torch.zeros_like(ids)
        soft_items[soft] = torch.tensor([item for latest in shown for item in latest])
        hidden = lengths - torch.tensor([len(latest) for latest in shown])
        # A placeholder ends its item, so the tokens after it belong to the next one.
        steps = (soft.long().cumsum(dim=1) - soft.long() + 1 + hidden.unsqueeze(1)).minimum(lengths.unsqueeze(1))
        steps[:, : self.head_tokens] = 0
        rows, last = torch.arange(len(lengths)), lengths - 1
        return NaiveBatch(
            ids.masked_fill(soft, 0),
            mask,
            soft_items,
            steps,
            batch.items,
            lengths,
            batch.targets[rows, last],
            batch.users,
            batch.positions[rows, last].long() + 1,
        )
