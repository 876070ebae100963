"""Embeddings of titles by a whole decoder: the mean of the last hidden states over a title's own tokens.

Each title stands behind the word "Title:", so that the first token of a sequence, on which decoder models park their
attention, is never among its own.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recdistill.language_models.backbone import Backbone
from recdistill.language_models.title_lora import TitleTuning
from recdistill.language_models.title_tokens import title_tokens
from recdistill.languages import message
from recdistill.measure.facts import TitleFacts
from recdistill.progress import progress_bar

PREFIX = "Title:"
BATCH_TOKENS = 2048


class DecoderReader:
    """A decoder that embeds texts; a text is cut at the model's own limit, or at :data:`BATCH_TOKENS` where that is
    less, the word before it included.

    Attributes:
        most: tokens of a text that are read at most.
        cut: texts that were longer, so far.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.device = backbone.decoder.get_input_embeddings().weight.device  # type: ignore[operator]
        self.prefix = np.asarray(backbone.tokenizer(PREFIX, add_special_tokens=False)["input_ids"], dtype=np.int32)
        places = getattr(backbone.decoder.config, "max_position_embeddings", None) or BATCH_TOKENS
        self.most = min(int(places), BATCH_TOKENS) - len(self.prefix)
        self.cut = 0

    @property
    def model(self) -> nn.Module:
        """The decoder."""
        return self.backbone.decoder

    def tokens(self, texts: list[str]) -> list[NDArray[np.int32]]:
        """Each text's own tokens, behind the padding's, which are none.

        Raises:
            UserError: a token that the model does not know.
        """
        found, cut = title_tokens(self.backbone.tokenizer, ["", *texts], before=" ", most=self.most)
        self.backbone.refuse_unknown(np.concatenate([self.prefix, *found]))
        self.cut += cut
        return found[1:]

    def embed(self, texts: list[str], pass_tokens: int = BATCH_TOKENS) -> Iterator[tuple[list[int], Tensor]]:
        """Embed texts, like lengths in one pass: rows and their vectors, fp32 (rows, H), on the CPU."""
        tokens = self.tokens(texts)
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        for rows in by_tokens(order, [len(self.prefix) + len(ids) for ids in tokens], pass_tokens):
            yield rows, self.vectors([tokens[row] for row in rows])

    def vectors(self, tokens: list[NDArray[np.int32]]) -> Tensor:
        """One pass over texts of these tokens: fp32 (texts, H), on the CPU."""
        start, longest = len(self.prefix), max(len(ids) for ids in tokens)
        inputs = np.zeros((len(tokens), start + longest), dtype=np.int64)
        inputs[:, :start] = self.prefix
        own = np.zeros(inputs.shape, dtype=np.float32)
        for place, ids in enumerate(tokens):
            end = start + len(ids)
            inputs[place, start:end] = ids
            own[place, start:end] = 1 / max(1, len(ids))
        # Padding stands to the right and attention is causal, so no title sees it and no mask is needed.
        hidden = self.model(input_ids=torch.from_numpy(inputs).to(self.device)).last_hidden_state.float().cpu()
        return torch.einsum("bth,bt->bh", hidden, torch.from_numpy(own))


@torch.inference_mode()
def embed_titles(backbone: Backbone, titles: list[str], tuning: TitleTuning | None = None) -> tuple[Tensor, TitleFacts]:
    """Run the language model over each distinct title once: fp32 (N + 1, H), row 0 zero; and what was read of them.

    Args:
        backbone: the whole language model.
        titles: N + 1 titles; index 0 is the padding's.
        tuning: what the model learned of the items beside its pretraining; None: nothing.
    """
    reader = DecoderReader(backbone)
    if tuning is not None:
        tuning.attach(reader.model)
    distinct = ["", *sorted(set(titles[1:]))]
    rows = torch.zeros(len(distinct), backbone.hidden_dim)
    with progress_bar("title embeddings", len(distinct) - 1, "titles") as progress:
        for places, vectors in reader.embed(distinct[1:]):
            rows[[place + 1 for place in places]] = vectors
            progress.advance(len(places))
    facts: TitleFacts = {
        "pooling": message("pooling_title_tokens").kept(),
        "max_tokens": reader.most,
        "texts": len(distinct) - 1,
        "cut": reader.cut,
        "weights": backbone.choices["llm_weights"],
    }
    row_of = {title: row for row, title in enumerate(distinct)}
    return rows[[0, *(row_of[title] for title in titles[1:])]], facts


def by_tokens(order: list[int], lengths: list[int], most: int = BATCH_TOKENS) -> list[list[int]]:
    """Cut rows, sorted by length, into batches of at most `most` tokens after padding."""
    batches: list[list[int]] = [[]]
    for row in order:
        if batches[-1] and lengths[row] * (len(batches[-1]) + 1) > most:
            batches.append([])
        batches[-1].append(row)
    return [batch for batch in batches if batch]
