"""Embeddings of titles by a sentence encoder: a small model trained so that texts of like meaning lie close together.

Reimers & Gurevych (2019, arXiv 1908.10084): the mean of the last hidden states over a text, scaled to unit length.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from recdistill.errors import UserError
from recdistill.progress import progress_bar
from recdistill.teacher.libraries import as_user_error, libraries_quiet, refuse_gaps

FETCHED = "minilm"
"""The encoder that `recdistill fetch` knows: all-MiniLM-L6-v2, 384 wide."""
BATCH_TEXTS = 128
MOST_TOKENS = 256
"""What all-MiniLM-L6-v2 reads of a text; the rest is cut off."""


def encoder_location(encoder: str, cache: Path) -> str:
    """The folder or hub name that transformers loads for `teacher.title_encoder`.

    Raises:
        UserError: it was not fetched, or a path holds no model.
    """
    if encoder == FETCHED:
        folder = cache / FETCHED
        if not (folder / "model.safetensors").is_file():
            raise UserError("teacher.title_encoder: minilm is not in the cache; run `recdistill fetch minilm`")
        return str(folder)
    if encoder.startswith((".", "/", "~")):
        folder = Path(encoder).expanduser()
        if not (folder / "config.json").is_file():
            raise UserError(f"teacher.title_encoder: {encoder}: no such folder with a transformers model")
        return str(folder)
    return encoder


@torch.inference_mode()
def embed_sentences(location: str, texts: list[str], device: str) -> Tensor:
    """Embed each distinct text once: fp32 (N + 1, H), row 0 (padding) zero, all others of length 1.

    Raises:
        UserError: the encoder cannot be loaded, or its files lack weights of it.
    """
    from transformers import AutoModel, AutoTokenizer

    with as_user_error(location, "teacher.title_encoder"), libraries_quiet():
        tokenizer = AutoTokenizer.from_pretrained(location)
        # Other forms of weight files are pickles, and no pickle is ever loaded.
        model, loading = AutoModel.from_pretrained(location, use_safetensors=True, output_loading_info=True)
    # The pooler comes after the last hidden states, so nothing here reads it, and many encoders are saved without.
    missing = [name for name in loading["missing_keys"] if "pooler" not in name.split(".")]
    refuse_gaps(f"teacher.title_encoder: {location}", missing)
    model = model.eval().to(device)
    distinct = sorted(set(texts[1:]), key=lambda text: (len(text), text))
    rows = torch.zeros(1 + len(distinct), model.config.hidden_size)
    with progress_bar("title embeddings", len(distinct), "titles") as progress:
        for start in range(0, len(distinct), BATCH_TEXTS):
            batch = distinct[start : start + BATCH_TEXTS]
            tokens = tokenizer(batch, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
            tokens = tokens.to(device)
            hidden = model(**tokens).last_hidden_state.float()
            real = tokens["attention_mask"].unsqueeze(-1)
            means = (hidden * real).sum(dim=1) / real.sum(dim=1).clamp_min(1)
            rows[1 + start : 1 + start + len(batch)] = nn.functional.normalize(means, dim=1).cpu()
            progress.advance(len(batch))
    row_of = {text: row for row, text in enumerate(distinct, start=1)}
    return rows[[0, *(row_of[text] for text in texts[1:])]]
