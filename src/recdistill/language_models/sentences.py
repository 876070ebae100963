"""Embeddings of titles by a sentence encoder: a small model trained so that texts of like meaning lie close together.

Reimers & Gurevych (2019, arXiv 1908.10084). The states of a text's tokens become one embedding as the encoder's files
ask (:mod:`recdistill.language_models.encoder_recipe`), and as sentence-transformers' `encode` does it.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recdistill.config.teacher import Weights
from recdistill.errors import UserError
from recdistill.language_models.control_weights import set_weights
from recdistill.language_models.encoder_modules import load_module
from recdistill.language_models.encoder_recipe import KEY, EncoderFiles, Recipe, read_recipe
from recdistill.language_models.libraries import as_user_error, libraries_quiet, load_config, refuse_gaps
from recdistill.language_models.locations import FETCHED
from recdistill.language_models.pooling import pool
from recdistill.language_models.title_lora import TitleTuning
from recdistill.measure.facts import TitleFacts, WeightFacts
from recdistill.progress import progress_bar

BATCH_TEXTS = 128
BATCH_TOKENS = 128 * 256
"""Tokens of a batch at most, padding counted, where texts are long."""
MINILM = Recipe(max_tokens=256)
"""What all-MiniLM-L6-v2's own files ask for; `recdistill fetch` takes its weights and tokenizer alone."""
NO_LIMIT = 1_000_000
"""Limits above this are how a tokenizer says that it knows none."""
T5_ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Kinds of models whose encoder alone is loaded."""
POSITION_TABLES = ("position_embeddings", "wpe")
"""What tables of learned positions are called in transformers' encoders and in GPT-2."""


@dataclass(frozen=True)
class Embedded:
    """Texts embedded.

    Attributes:
        rows: fp32 (N + 1, W); row 0 (padding) is zero.
        recipe: how.
        max_tokens: tokens of a text that were read at most, special ones and prompt included; None: no limit.
        cut: distinct texts that were longer and were cut.
        texts: distinct texts.
        weights: of the encoder.
    """

    rows: Tensor
    recipe: Recipe
    max_tokens: int | None
    cut: int
    texts: int
    weights: WeightFacts

    def facts(self) -> TitleFacts:
        """What was done, for :func:`recdistill.language_models.titles.tell_titles`."""
        return {
            "pooling": self.recipe.words(),
            "max_tokens": self.max_tokens,
            "texts": self.texts,
            "cut": self.cut,
            "prompt": self.recipe.prompt,
            "modules_file": self.recipe.stated,
            "weights": self.weights,
        }


def recipe_of(encoder: str, location: str) -> Recipe:
    """How the encoder that `teacher.title_encoder` names is to be read.

    Raises:
        UserError: its files ask for something that is not known here.
    """
    recipe = read_recipe(location)
    return MINILM if encoder == FETCHED and not recipe.stated else recipe


@torch.inference_mode()
def embed_sentences(
    location: str,
    texts: list[str],
    device: str,
    recipe: Recipe | None = None,
    weights: Weights = "pretrained",
    tuning: TitleTuning | None = None,
) -> Embedded:
    """Embed each distinct text once.

    Args:
        location: folder or hub name of the encoder.
        texts: N + 1 texts; index 0 is the padding's.
        device: `cpu` or `cuda`.
        recipe: how; None: as the encoder's files ask.
        weights: as pretrained, or a control's.
        tuning: what the encoder learned of the items beside its pretraining; None: nothing.

    Raises:
        UserError: the encoder cannot be loaded, its files lack weights of it, or they ask for what is not known here.
    """
    encoder = SentenceReader(location, recipe or read_recipe(location), device, weights)
    if tuning is not None:
        tuning.attach(encoder.model)
    distinct = sorted(set(texts[1:]), key=lambda text: (len(text), text))
    found = [torch.empty(0)] * len(distinct)
    with progress_bar("title embeddings", len(distinct), "titles") as progress:
        for start in range(0, len(distinct), BATCH_TEXTS):
            batch = distinct[start : start + BATCH_TEXTS]
            for places, vectors in encoder.embed(batch):
                for row, vector in zip(places, vectors, strict=True):
                    found[start + row] = vector
            progress.advance(len(batch))
    width = max((len(vector) for vector in found), default=0)
    # A text without a single token has nothing to be embedded by.
    table = torch.stack([torch.zeros(width), *(one if len(one) else torch.zeros(width) for one in found)])
    row_of = {text: row for row, text in enumerate(distinct, start=1)}
    rows = table[[0, *(row_of[text] for text in texts[1:])]]
    return Embedded(rows, encoder.recipe, encoder.limit, encoder.cut, len(distinct), encoder.weights)


class SentenceReader:
    """A loaded encoder with its tokenizer and the modules behind it."""

    def __init__(self, location: str, recipe: Recipe, device: str, weights: Weights = "pretrained") -> None:
        self.files, self.recipe, self.device, self.cut = EncoderFiles(location), recipe, device, 0
        self.tokenizer, self.model = _load(location, recipe)
        self.weights = set_weights(self.model, weights, "teacher.title_encoder_weights", location)
        self.model.eval().to(device)
        self.takes = set(inspect.signature(self.model.forward).parameters)
        self.limit = _limit(recipe, self.tokenizer, self.model)
        self.modules = [load_module(module, self.files, device) for module in recipe.behind]
        self.without = 0 if recipe.pooling.include_prompt or not recipe.prompt else self._prompt_tokens()

    def embed(self, texts: list[str], pass_tokens: int = BATCH_TOKENS) -> Iterator[tuple[list[int], Tensor]]:
        """Embed a batch in as many passes as its length asks for: rows and their vectors, fp32 (rows, W)."""
        tokens = self._tokens([self.recipe.prompt + text for text in texts])
        lengths = [len(ids) for ids in tokens["input_ids"]]
        for rows in _passes(lengths, pass_tokens):
            inputs = {name: self._padded([values[row] for row in rows], name) for name, values in tokens.items()}
            mask = self._padded([[1] * lengths[row] for row in rows], "attention_mask")
            hidden = self._states(inputs | {"attention_mask": mask})
            mask = mask.clone()
            mask[:, : self.without] = 0
            vectors = pool(self.recipe.pooling.modes, hidden, mask)
            for module in self.modules:
                vectors = module(vectors)
            yield rows, vectors[:, : self.recipe.truncate_dim].cpu()

    def _states(self, inputs: dict[str, Tensor]) -> Tensor:
        """The last hidden states, fp32 (B, T, H)."""
        output = self.model(**{name: value for name, value in inputs.items() if name in self.takes})
        hidden = getattr(output, "last_hidden_state", None)
        if hidden is None:
            raise self.files.refusal("its model has no last hidden states of a text's tokens")
        return hidden.float()  # type: ignore[no-any-return]

    def _tokens(self, texts: list[str]) -> dict[str, list[list[int]]]:
        """Each text's tokens, cut at the limit, not padded; texts that were cut are counted."""
        if self.recipe.lower_case:
            texts = [text.lower() for text in texts]
        options: dict[str, object] = {} if self.limit is None else {"truncation": True, "max_length": self.limit}
        encoded = self.tokenizer(texts, **options)
        full = [text for text, ids in zip(texts, encoded["input_ids"], strict=True) if len(ids) == self.limit]
        if full:
            with libraries_quiet():  # that these are too long for the model is what is asked
                self.cut += sum(len(ids) > (self.limit or 0) for ids in self.tokenizer(full)["input_ids"])
        return {name: values for name, values in encoded.items() if name != "attention_mask"}

    def _padded(self, rows: list[list[int]], name: str) -> Tensor:
        """Padding to the right, whatever the tokenizer would do: a text's places then do not depend on its batch."""
        fill = 0
        if name == "input_ids":
            known = (self.tokenizer.pad_token_id, getattr(self.model.config, "pad_token_id", None))
            fill = next((token for token in known if token is not None), 0)
        longest = max(len(row) for row in rows)
        return torch.tensor([row + [fill] * (longest - len(row)) for row in rows], device=self.device)

    def _prompt_tokens(self) -> int:
        """Tokens of the prompt before a text, without the special token that ends a text.

        Raises:
            UserError: the prompt alone is as long as a text may be.
        """
        (ids,) = self._tokens([self.recipe.prompt])["input_ids"]
        count = len(ids) - (bool(ids) and ids[-1] in self.tokenizer.all_special_ids)
        if self.limit is not None and count >= self.limit - 1:
            raise self.files.refusal(f"its prompt takes {count} of the {self.limit} tokens that a text may have")
        return count


def _load(location: str, recipe: Recipe) -> tuple[Any, Any]:
    """Tokenizer and transformer."""
    import transformers

    where: dict[str, object] = {"subfolder": recipe.transformer} if recipe.transformer else {}
    config = load_config(location, KEY, **where)
    kind: Any = transformers.AutoModel
    if config.model_type in T5_ENCODERS:
        kind = getattr(transformers, T5_ENCODERS[config.model_type])
    elif getattr(config, "is_encoder_decoder", False):
        raise UserError(f"{KEY}: {location}: of models with an encoder and a decoder only T5's are known")
    where["trust_remote_code"] = False
    with as_user_error(location, KEY), libraries_quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(location, **where, **recipe.tokenizer_options)
        # Other forms of weight files are pickles, and no pickle is ever loaded.
        model, loading = kind.from_pretrained(location, use_safetensors=True, output_loading_info=True, **where)
    # The pooler comes after the last hidden states, so nothing here reads it, and many encoders are saved without.
    missing = [name for name in loading["missing_keys"] if "pooler" not in name.split(".")]
    refuse_gaps(f"{KEY}: {location}", missing)
    return tokenizer, model


def _limit(recipe: Recipe, tokenizer: Any, model: Any) -> int | None:
    """Tokens that are read of a text: as the recipe says, else as tokenizer and configuration do; never more than the
    model has places for.
    """
    stated = [recipe.max_tokens]
    if recipe.max_tokens is None:
        stated = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    known = [int(one) for one in stated if one is not None and 0 < one < NO_LIMIT]
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in POSITION_TABLES and isinstance(module, nn.Embedding):
            # In RoBERTa's family places are counted from behind the padding's.
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            known.append(module.num_embeddings - first)
    return min(known, default=None)


def _passes(lengths: list[int], most: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Rows with tokens, in order, in passes of at most `most` tokens after padding."""
    rows: list[int] = []
    longest = 0
    for row, length in enumerate(lengths):
        if not length:
            continue
        if rows and max(longest, length) * (len(rows) + 1) > most:
            yield rows
            rows, longest = [], 0
        rows.append(row)
        longest = max(longest, length)
    if rows:
        yield rows
