"""What the language model makes of a title: its token ids, once, and one embedding from the whole model."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.language_models.attention import choose_attention
from recdistill.language_models.backbone import Backbone, load_backbone
from recdistill.language_models.control_weights import RULES
from recdistill.language_models.fingerprints import encoder_digests, name_of
from recdistill.language_models.libraries import libraries_quiet, load_config
from recdistill.language_models.locations import encoder_location, llm_location
from recdistill.language_models.sentences import embed_sentences, recipe_of
from recdistill.languages import message
from recdistill.measure.facts import TitleFacts
from recdistill.progress import progress_bar
from recdistill.steps import RESULTS
from recdistill.storage.files import atomic_path, read_tensors
from recdistill.storage.typed import typed

logger = logging.getLogger("recdistill")

PREFIX = "Title:"
BATCH_TOKENS = 2048
FACTS = "facts"
"""Where a file of embeddings has what was read of the titles, as JSON."""
ENCODER_SETTINGS = (
    "title_encoder",
    "title_encoder_weights",
    "llm",
    "llm_weights",
    "precision",
    "quantization",
    "double_quantization",
)
"""Settings of the teacher that decide what an embedding is, but for rounding."""


def title_tokens(
    tokenizer: Any, titles: list[str], before: str = "\n", most: int | None = None
) -> tuple[list[NDArray[np.int32]], int]:
    """Token ids of each title with `before` in front of it, without special tokens; titles[0] (padding) gives none.

    Args:
        tokenizer: the language model's.
        titles: N + 1 titles.
        before: text in front of each.
        most: tokens of a title at most, `before` included; the rest is cut off. None: all.

    Returns:
        The tokens, and how many titles were cut.
    """
    texts = [before + title for title in titles[1:]]
    with libraries_quiet():  # A title may be longer than the model's window: it is cut, or the prompt refused.
        encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    cut = sum(most is not None and len(ids) > most for ids in encoded)
    return [np.empty(0, dtype=np.int32), *(np.asarray(ids[:most], dtype=np.int32) for ids in encoded)], cut


def title_embeddings(config: TeacherConfig, titles: list[str], cache: Path, device: str) -> Tensor:
    """Embeddings of all titles by `teacher.title_encoder`, from the cache when they were computed before.

    An item without a title has none: its id is no text, and ids that follow one another are like without any reason.

    With the whole language model, each title stands behind the word "Title:", and its embedding is the mean of the last
    hidden states over its own tokens: the first token of a sequence, on which decoder models park their attention, is
    never among them. See :mod:`recdistill.language_models.sentences` for the others.

    Returns:
        fp32 (N + 1, H); row 0 is zero, and so are the rows of items without a title; (N + 1, 1) where no item has one.

    Raises:
        UserError: the encoder cannot be had, or the file in the cache is broken.
    """
    if not any(titles):
        return torch.zeros(len(titles), 1)
    return read_tensors(_embedded(config, titles, cache, device))["embeddings"]


def title_facts(config: TeacherConfig, titles: list[str], cache: Path, device: str) -> TitleFacts:
    """What was read of the titles, embedded now if they were not before.

    Returns:
        `pooling` in a recipe's own words or as a :class:`recdistill.languages.Message`, `max_tokens` of
        a text, `texts` (distinct ones), `cut` of them, `prompt`, and
        `modules_file`: whether the encoder's files state all this. The whole language model has no last two.

    Raises:
        UserError: see :func:`title_embeddings`.
    """
    if not any(titles):
        return {"pooling": message("pooling_no_titles").kept(), "max_tokens": None, "texts": 0, "cut": 0}
    path = _embedded(config, titles, cache, device)
    with safe_open(path, "pt") as file:
        return typed(json.loads(file.metadata()[FACTS]), TitleFacts, str(path))


def tell_titles(encoder: str, facts: TitleFacts) -> None:
    """Say in the log what of the titles the encoder does not read, and where its files do not say how to.

    Args:
        encoder: `teacher.title_encoder`.
        facts: of :func:`title_facts`.
    """
    if not facts.get("modules_file", True):
        logger.warning(
            "teacher.title_encoder: %s has no modules.json that says how texts are embedded; the mean of their tokens' "
            "states is taken and scaled to length 1",
            encoder,
        )
    if facts["cut"]:
        logger.warning(
            "teacher.title_encoder: %d of %d texts are longer than the %d tokens that %s reads; the rest of them was "
            "cut off",
            facts["cut"],
            facts["texts"],
            facts["max_tokens"],
            encoder,
        )


def _embedded(config: TeacherConfig, titles: list[str], cache: Path, device: str) -> Path:
    """The file in the cache with the embeddings and how they came about; made when it is not there."""
    key = hashlib.sha256("\x00".join([*_made_how(config, cache, device), *titles]).encode()).hexdigest()[:16]
    path = cache / "title_embeddings" / f"{key}.safetensors"
    if path.is_file():
        return path
    titled = [row for row, title in enumerate(titles) if title]
    texts = ["", *(titles[row] for row in titled)]
    if config.title_encoder == "llm":
        found, facts = embed_titles(load_backbone(config, cache, device, layers=None), texts)
    else:
        location = encoder_location(config.title_encoder, cache)
        recipe = recipe_of(config.title_encoder, location)
        embedded = embed_sentences(location, texts, device, recipe, config.title_encoder_weights)
        found, facts = embedded.rows, embedded.facts()
    embeddings = torch.zeros(len(titles), found.shape[1])
    embeddings[titled] = found[1:]
    with atomic_path(path) as temporary:
        save_file({"embeddings": embeddings}, temporary, {FACTS: json.dumps(facts)})
    return path


def _made_how(config: TeacherConfig, cache: Path, device: str) -> list[str]:
    """Whatever changes a bit of the embeddings, so that what the cache holds from other runs never changes a result."""
    how = [name_of(encoder_digests(config, cache)), f"results {RESULTS['teacher']}"]
    if config.title_encoder != "llm":
        how += [repr(recipe_of(config.title_encoder, encoder_location(config.title_encoder, cache)))]
    if config.title_encoder == "llm":
        how += [config.precision, config.quantization, str(config.double_quantization)]
        how += [config.compute_dtype] if config.compute_dtype != "auto" else []
        how += [choose_attention(config, load_config(llm_location(config.llm, cache)), device)[0]]
    weights = config.llm_weights if config.title_encoder == "llm" else config.title_encoder_weights
    return [*how, f"{weights} weights {RULES}", device, PREFIX]


@torch.inference_mode()
def embed_titles(backbone: Backbone, titles: list[str]) -> tuple[Tensor, TitleFacts]:
    """Run the language model over each distinct title once: fp32 (N + 1, H), row 0 zero; and what was read of them.

    A text is cut at the model's own limit, or at :data:`BATCH_TOKENS` where that is less, the word before it included.
    """
    device = backbone.decoder.get_input_embeddings().weight.device  # type: ignore[operator]
    prefix = np.asarray(backbone.tokenizer(PREFIX, add_special_tokens=False)["input_ids"], dtype=np.int32)
    places = getattr(backbone.decoder.config, "max_position_embeddings", None) or BATCH_TOKENS
    most = min(int(places), BATCH_TOKENS) - len(prefix)
    distinct = ["", *sorted(set(titles[1:]))]
    tokens, cut = title_tokens(backbone.tokenizer, distinct, before=" ", most=most)
    backbone.refuse_unknown(np.concatenate([prefix, *tokens]))
    facts: TitleFacts = {
        "pooling": message("pooling_title_tokens").kept(),
        "max_tokens": most,
        "texts": len(distinct) - 1,
        "cut": cut,
        "weights": backbone.choices["llm_weights"],
    }
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
    return rows[[0, *(row_of[title] for title in titles[1:])]], facts


def _by_tokens(order: list[int], lengths: list[int]) -> list[list[int]]:
    """Cut rows, sorted by length, into batches of at most BATCH_TOKENS tokens after padding."""
    batches: list[list[int]] = [[]]
    for row in order:
        if batches[-1] and lengths[row] * (len(batches[-1]) + 1) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(row)
    return [batch for batch in batches if batch]
