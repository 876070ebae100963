"""Training the model that reads the titles on what follows what: its reading of an item then says what goes with it.

Behaviour-tuned language models as readers of the items were found to beat language models over the sequence, at no cost
when serving (Qu et al., *The Elephant in the Room*, RecSys 2024, arXiv 2404.08796). Here: two items that one user has
within a few interactions are a pair; a pair's second title is to be told from those of all other pairs of the step by
the cosine of their embeddings (InfoNCE, van den Oord et al. 2018), the popularity of the items taken out of the scores
(Yi et al., RecSys 2019). Only plain LoRA is trained.

A step's loss needs the embeddings of all its titles at once, and their graph does not fit into memory for a deep model.
So titles are embedded twice: without a graph for the loss and its gradient by each embedding, then a few at a time with
a graph for the gradient of the parameters (GradCache, Gao et al. 2021). The sum is the same.
"""

import hashlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from recdistill.config import TeacherConfig
from recdistill.config.title_tuning import TitleTuningConfig
from recdistill.data.prepared import IntArray, PreparedData
from recdistill.errors import UserError
from recdistill.language_models.decoder_titles import DecoderReader
from recdistill.language_models.sentences import SentenceReader
from recdistill.language_models.title_lora import TitleTuning, new_lora, read_tuning
from recdistill.language_models.titles import made_how, title_reader
from recdistill.progress import progress_bar
from recdistill.storage.kept_files import is_kept, keep
from recdistill.storage.run_folder import fingerprint

logger = logging.getLogger("recdistill")

PASS_TOKENS = 2048
"""Tokens, padding counted, whose graph is in memory at a time."""
WARM_UP = 0.1
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0
FOLDER = "title_tuning"
"""Where finished trainings are in the cache."""


@dataclass(frozen=True)
class Follows:
    """Pairs of items with titles, both ways round, that follow one another in what is trained on.

    Attributes:
        first: int32 (pairs,), item numbers.
        second: int32 (pairs,).
    """

    first: IntArray
    second: IntArray

    @classmethod
    def of(cls, data: PreparedData, window: int) -> "Follows":
        """All pairs of a user's training interactions at most `window` apart; an item is no pair with itself."""
        position = np.arange(len(data.items)) - np.repeat(data.offsets[:-1], np.diff(data.offsets))
        trained = position < np.repeat(data.trained_ends, np.diff(data.offsets))
        titled = np.array([bool(text) for text in data.texts])
        first, second = [], []
        for apart in range(1, window + 1):
            one, other = data.items[:-apart], data.items[apart:]
            # The later one is trained on and has `apart` interactions before it, so both are of one user.
            paired = trained[apart:] & (position[apart:] >= apart) & titled[one] & titled[other] & (one != other)
            first.append(one[paired])
            second.append(other[paired])
        there, back = np.concatenate(first), np.concatenate(second)
        return cls(np.concatenate([there, back]).astype(np.int32), np.concatenate([back, there]).astype(np.int32))

    def log_popularity(self, num_items: int) -> Tensor:
        """Logarithm of the share of the pairs in which an item is the second: fp32 (N + 1,)."""
        counts = np.bincount(self.second, minlength=num_items + 1) + 1.0
        return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))


def tune_titles(config: TeacherConfig, data: PreparedData, seed: int, cache: Path, device: str) -> TitleTuning | None:
    """Train the model that reads the titles as `teacher.title_tuning` says, or take it from the cache.

    Args:
        config: the teacher's.
        data: histories and texts; validation and test are not looked at.
        seed: of the first weights and of the pairs.
        cache: the user's.
        device: `cpu` or `cuda`.

    Returns:
        What was learned; None where nothing is to be trained, or no item has a title.

    Raises:
        UserError: the encoder cannot be had or has no linear layers, no two items with titles follow one another, or
            training diverged.
    """
    settings = config.title_tuning
    if not settings.steps or not any(data.texts):
        return None
    follows = Follows.of(data, settings.window)
    if not len(follows.first):
        raise UserError("teacher.title_tuning: no two items with titles follow one another; set steps: 0")
    path = cache / FOLDER / f"{_key(config, data, follows, seed, cache, device)}.safetensors"
    if is_kept(path, without_record=True):
        return read_tuning(path)
    tuning = train(title_reader(config, cache, device), data.texts, follows, settings, seed)
    tuning.save(path)
    keep(path)
    return tuning


def _key(config: TeacherConfig, data: PreparedData, follows: Follows, seed: int, cache: Path, device: str) -> str:
    digest = hashlib.sha256("\x00".join([*made_how(config, cache, device), *data.texts]).encode())
    digest.update(fingerprint(asdict(config.title_tuning), seed).encode())
    for one in (follows.first, follows.second):
        digest.update(np.ascontiguousarray(one).data)
    return digest.hexdigest()[:16]


def train(
    reader: DecoderReader | SentenceReader, texts: list[str], follows: Follows, settings: TitleTuningConfig, seed: int
) -> TitleTuning:
    """Train LoRA around the reader's layers.

    Args:
        reader: the model as it is.
        texts: N + 1 texts; index 0 is the padding's.
        follows: the pairs.
        settings: steps, pairs, temperature, learning rate, rank.
        seed: of the first weights and of the pairs.

    Raises:
        UserError: the loss is no number.
    """
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    parameters = new_lora(reader.model, settings.rank, generator)
    optimiser = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    popularity = follows.log_popularity(len(texts) - 1)
    losses = []
    with progress_bar("title tuning", settings.steps, "steps") as progress:
        for step in range(settings.steps):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * schedule(step, settings.steps)
            drawn = rng.integers(0, len(follows.first), settings.pairs)
            first, second = follows.first[drawn], follows.second[drawn]
            losses.append(_step(reader, texts, first, second, popularity, settings.temperature))
            if not np.isfinite(losses[-1]):
                raise UserError(
                    f"teacher.title_tuning: the loss is {losses[-1]} at step {step + 1}; lower "
                    "teacher.title_tuning.learning_rate"
                )
            nn.utils.clip_grad_norm_(parameters.values(), MAX_GRAD_NORM)
            optimiser.step()
            optimiser.zero_grad()
            progress.advance(1)
    tenth = max(1, settings.steps // 10)
    before, after = float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))
    logger.info("title tuning: loss %.3f in the first steps, %.3f in the last", before, after)
    tensors = {name: value.detach().float().cpu() for name, value in parameters.items()}
    return TitleTuning(
        tensors,
        {
            "steps": settings.steps,
            "pairs": settings.pairs,
            "distinct": len(np.unique(np.stack([follows.first, follows.second]), axis=1).T),
            "parameters": sum(value.numel() for value in tensors.values()),
            "first_loss": before,
            "last_loss": after,
        },
    )


def schedule(step: int, steps: int) -> float:
    """Learning rate at a step as a share of the peak: up in a line, then down in a line to 0."""
    warm = max(1, round(WARM_UP * steps))
    return (step + 1) / warm if step < warm else (steps - step) / (steps - warm + 1)


def _step(
    reader: DecoderReader | SentenceReader,
    texts: list[str],
    first: IntArray,
    second: IntArray,
    log_popularity: Tensor,
    temperature: float,
) -> float:
    """Add a step's gradients to the parameters', and give its loss."""
    items, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    own = [texts[item] for item in items]
    with torch.no_grad():
        passes = list(reader.embed(own, PASS_TOKENS))
    found = torch.zeros(len(own), passes[0][1].shape[1])
    for rows, vectors in passes:
        found[rows] = vectors
    found.requires_grad_()
    pairs = torch.from_numpy(places).view(2, -1)  # (2, pairs): places of the items and of what follows them
    loss = following_loss(found, pairs, log_popularity[torch.from_numpy(items).long()], temperature)
    (gradient,) = torch.autograd.grad(loss, found)
    for rows, vectors in reader.embed(own, PASS_TOKENS):
        (vectors * gradient[rows]).sum().backward()
    return float(loss.detach())


def following_loss(embeddings: Tensor, pairs: Tensor, log_popularity: Tensor, temperature: float) -> Tensor:
    """InfoNCE over the second items of all pairs, in nats.

    Args:
        embeddings: fp32 (M, H), of the M distinct items of a step.
        pairs: int64 (2, P), rows of the first and the second items.
        log_popularity: fp32 (M,), taken off the scores of second items, so that popular ones are not pushed away for
            standing in many pairs.
        temperature: what cosines are divided by.

    Returns:
        Mean over the pairs. A pair's own second item in another pair, and its first item, are no negatives of it.
    """
    first, second = pairs
    vectors = normalize(embeddings, dim=1)
    scores = vectors[first] @ vectors[second].T / temperature - log_popularity[second]
    own = torch.eye(len(first), dtype=torch.bool, device=scores.device)
    not_negative = ((second[None] == second[:, None]) | (second[None] == first[:, None])) & ~own
    scores = scores.masked_fill(not_negative, -torch.inf)
    return cross_entropy(scores, torch.arange(len(first), device=scores.device))
