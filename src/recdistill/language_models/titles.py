"""One embedding of each title, by the model that `teacher.title_encoder` names; kept in the cache."""

import hashlib
import json
import logging
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from recdistill.config import TeacherConfig
from recdistill.language_models.attention import choose_attention
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.control_weights import RULES
from recdistill.language_models.decoder_titles import PREFIX, DecoderReader, embed_titles
from recdistill.language_models.fingerprints import encoder_digests, name_of
from recdistill.language_models.libraries import load_config
from recdistill.language_models.locations import encoder_location, llm_location
from recdistill.language_models.sentences import SentenceReader, embed_sentences, recipe_of
from recdistill.language_models.title_lora import TitleTuning
from recdistill.languages import message
from recdistill.measure.facts import TitleFacts
from recdistill.steps import RESULTS
from recdistill.storage.files import atomic_path, read_tensors
from recdistill.storage.kept_files import is_kept, keep
from recdistill.storage.typed import typed

logger = logging.getLogger("recdistill")

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


def title_embeddings(
    config: TeacherConfig, titles: list[str], cache: Path, device: str, tuning: TitleTuning | None = None
) -> Tensor:
    """Embeddings of all titles by `teacher.title_encoder`, from the cache when they were computed before.

    An item without a title has none: its id is no text, and ids that follow one another are like without any reason.

    See :mod:`recdistill.language_models.decoder_titles` for the whole language model, and
    :mod:`recdistill.language_models.sentences` for the others. `tuning` is what the model learned of the items beside
    its pretraining (:mod:`recdistill.language_models.title_tuning`); None: it reads as it is.

    Returns:
        fp32 (N + 1, H); row 0 is zero, and so are the rows of items without a title; (N + 1, 1) where no item has one.

    Raises:
        UserError: the encoder cannot be had, or the file in the cache is broken.
    """
    if not any(titles):
        return torch.zeros(len(titles), 1)
    return read_tensors(_embedded(config, titles, cache, device, tuning))["embeddings"]


def title_facts(
    config: TeacherConfig, titles: list[str], cache: Path, device: str, tuning: TitleTuning | None = None
) -> TitleFacts:
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
    path = _embedded(config, titles, cache, device, tuning)
    with safe_open(path, "pt") as file:
        facts = typed(json.loads(file.metadata()[FACTS]), TitleFacts, str(path))
    return facts if tuning is None else {**facts, "tuning": tuning.facts}


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


def _embedded(config: TeacherConfig, titles: list[str], cache: Path, device: str, tuning: TitleTuning | None) -> Path:
    """The file in the cache with the embeddings and how they came about; made when it is not there."""
    how = made_how(config, cache, device) + ([] if tuning is None else [tuning.digest])
    key = hashlib.sha256("\x00".join([*how, *titles]).encode()).hexdigest()[:16]
    path = cache / "title_embeddings" / f"{key}.safetensors"
    if is_kept(path, without_record=True):
        return path
    titled = [row for row, title in enumerate(titles) if title]
    texts = ["", *(titles[row] for row in titled)]
    if config.title_encoder == "llm":
        found, facts = embed_titles(load_backbone(config, cache, device, layers=None), texts, tuning)
    else:
        location = encoder_location(config.title_encoder, cache)
        recipe = recipe_of(config.title_encoder, location)
        embedded = embed_sentences(location, texts, device, recipe, config.title_encoder_weights, tuning)
        found, facts = embedded.rows, embedded.facts()
    embeddings = torch.zeros(len(titles), found.shape[1])
    embeddings[titled] = found[1:]
    with atomic_path(path) as temporary:
        save_file({"embeddings": embeddings}, temporary, {FACTS: json.dumps(facts)})
    keep(path)
    return path


def made_how(config: TeacherConfig, cache: Path, device: str) -> list[str]:
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


def title_reader(config: TeacherConfig, cache: Path, device: str) -> DecoderReader | SentenceReader:
    """The model that embeds the titles, as it is.

    Raises:
        UserError: it cannot be had.
    """
    if config.title_encoder == "llm":
        return DecoderReader(load_backbone(config, cache, device, layers=None))
    location = encoder_location(config.title_encoder, cache)
    recipe = recipe_of(config.title_encoder, location)
    return SentenceReader(location, recipe, device, config.title_encoder_weights)
