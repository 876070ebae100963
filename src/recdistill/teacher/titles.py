"""What the language model makes of a title: its token ids, once, and one embedding from the whole model."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.files import atomic_path, read_tensors
from recdistill.progress import progress_bar
from recdistill.teacher.backbone import Backbone, choose_attention, load_backbone
from recdistill.teacher.fingerprints import encoder_digests, name_of
from recdistill.teacher.sentences import embed_sentences, encoder_location

logger = logging.getLogger("recdistill")

PREFIX = "Title:"
BATCH_TOKENS = 2048
ENCODER_SETTINGS = ("title_encoder", "llm", "precision", "quantization", "double_quantization")
"""Settings of the teacher that decide what an embedding is, but for rounding."""


def title_tokens(tokenizer: Any, titles: list[str], before: str = "\n") -> list[NDArray[np.int32]]:
    """Token ids of each title with `before` in front of it, without special tokens; titles[0] (padding) gives none."""
    texts = [before + title for title in titles[1:]]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [np.empty(0, dtype=np.int32), *(np.asarray(ids, dtype=np.int32) for ids in encoded)]


def title_embeddings(config: TeacherConfig, titles: list[str], cache: Path, device: str) -> Tensor:
    """Embeddings of all titles by `teacher.title_encoder`, from the cache when they were computed before.

    An item without a title has none: its id is no text, and ids that follow one another are like without any reason.

    With the whole language model, each title stands behind the word "Title:", and its embedding is the mean of the last
    hidden states over its own tokens: the first token of a sequence, on which decoder models park their attention, is
    never among them. See :mod:`recdistill.teacher.sentences` for the others.

    Returns:
        fp32 (N + 1, H); row 0 is zero, and so are the rows of items without a title; (N + 1, 1) where no item has one.

    Raises:
        UserError: the encoder cannot be had, or the file in the cache is broken.
    """
    titled = [row for row, title in enumerate(titles) if title]
    if not titled:
        return torch.zeros(len(titles), 1)
    key = hashlib.sha256("\x00".join([*_made_how(config, cache, device), *titles]).encode()).hexdigest()[:16]
    path = cache / "title_embeddings" / f"{key}.safetensors"
    if path.is_file():
        return read_tensors(path)["embeddings"]
    texts = ["", *(titles[row] for row in titled)]
    if config.title_encoder == "llm":
        embedded = embed_titles(load_backbone(config, cache, device, layers=None), texts)
    else:
        embedded = embed_sentences(encoder_location(config.title_encoder, cache), texts, device)
    embeddings = torch.zeros(len(titles), embedded.shape[1])
    embeddings[titled] = embedded[1:]
    with atomic_path(path) as temporary:
        save_file({"embeddings": embeddings}, temporary)
    return embeddings


def _made_how(config: TeacherConfig, cache: Path, device: str) -> list[str]:
    """Whatever changes a bit of the embeddings, so that what the cache holds from other runs never changes a result."""
    how = [name_of(encoder_digests(config, cache))]
    if config.title_encoder == "llm":
        how += [config.precision, config.quantization, str(config.double_quantization)]
        how += [config.compute_dtype] if config.compute_dtype != "auto" else []
        how += [choose_attention(config, device)[0]]
    return [*how, device, PREFIX]


@torch.inference_mode()
def embed_titles(backbone: Backbone, titles: list[str]) -> Tensor:
    """Run the language model over each distinct title once: fp32 (N + 1, H), row 0 zero."""
    device = backbone.decoder.get_input_embeddings().weight.device  # type: ignore[operator]
    prefix = np.asarray(backbone.tokenizer(PREFIX, add_special_tokens=False)["input_ids"], dtype=np.int32)
    distinct = ["", *sorted(set(titles[1:]))]
    tokens = title_tokens(backbone.tokenizer, distinct, before=" ")
    order = sorted(range(1, len(distinct)), key=lambda row: len(tokens[row]))
    rows = torch.zeros(len(distinct), backbone.hidden_dim)
    with progress_bar("title embeddings", len(order), "titles") as progress:
        for batch in _by_tokens(order, [len(prefix) + len(ids) for ids in tokens]):
            longest = max(len(tokens[row]) for row in batch)
            ids = np.zeros((len(batch), len(prefix) + longest), dtype=np.int64)
            ids[:, : len(prefix)] = prefix
            own = np.zeros(ids.shape, dtype=np.float32)
            for place, row in enumerate(batch):
                end = len(prefix) + len(tokens[row])
                ids[place, len(prefix) : end] = tokens[row]
                own[place, len(prefix) : end] = 1 / max(1, len(tokens[row]))
            # Padding stands to the right and attention is causal, so no title sees it and no mask is needed.
            hidden = backbone.decoder(input_ids=torch.from_numpy(ids).to(device)).last_hidden_state.float().cpu()
            rows[batch] = torch.einsum("bth,bt->bh", hidden, torch.from_numpy(own))
            progress.advance(len(batch))
    row_of = {title: row for row, title in enumerate(distinct)}
    return rows[[0, *(row_of[title] for title in titles[1:])]]


def _by_tokens(order: list[int], lengths: list[int]) -> list[list[int]]:
    """Cut rows, sorted by length, into batches of at most BATCH_TOKENS tokens after padding."""
    batches: list[list[int]] = [[]]
    for row in order:
        if batches[-1] and lengths[row] * (len(batches[-1]) + 1) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(row)
    return [batch for batch in batches if batch]
