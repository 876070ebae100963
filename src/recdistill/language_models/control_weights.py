"""A language model without what it learned: the control that tells what its knowledge is worth.

    pretrained   the weights as they are
    shuffled     within each matrix, the values in a random order; vectors (norms, biases) as they are
    random       weights as transformers draws them for a new model

A shuffled model has the shape, the norms and the distribution of every matrix of the pretrained one and none of its
knowledge, so that a gain of the pretrained over the shuffled one is due to what was learned and to nothing else.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, assert_never

import torch
from torch import nn

from recdistill.config.teacher import Weights
from recdistill.errors import UserError
from recdistill.measure.facts import WeightFacts

RULES = 1
"""Raised when the values drawn change, so that embeddings in the cache are made again."""


def set_weights(model: nn.Module, kind: Weights, key: str, name: str) -> WeightFacts:
    """Turn a loaded model's weights, in place, into those of the control that `kind` names.

    What is drawn follows from the parameters' names alone, so it is the same in every run and for any number of blocks.

    Args:
        model: a transformers model with its pretrained weights.
        kind: which weights.
        key: the setting that asks, for messages.
        name: the model, for messages.

    Returns:
        What was changed, and how alike the matrices are to the pretrained ones.

    Raises:
        UserError: the weights are packed in fewer bits, so that their values cannot be moved; or a matrix stays as it
            was, because transformers has no rule for new weights of it.
    """
    if kind == "pretrained":
        return {"kind": kind, "matrices": 0, "values": 0, "correlation": None}
    _refuse_packed(model, kind, key, name)
    with torch.no_grad(), torch.random.fork_rng([]):
        if kind == "shuffled":
            return _changed(model, kind, key, name, _shuffle)
        if kind == "random":
            return _changed(model, kind, key, name, _draw)
    assert_never(kind)


def _refuse_packed(model: nn.Module, kind: Weights, key: str, name: str) -> None:
    packed = [one for one, value in model.named_parameters() if not value.is_floating_point()]
    if packed or getattr(getattr(model, "config", None), "quantization_config", None) is not None:
        raise UserError(f"{key}: {kind} needs weights in full or half precision, and those of {name} are quantised")


def _changed(model: nn.Module, kind: Weights, key: str, name: str, change: Any) -> WeightFacts:
    """Change the model and compare its matrices with what they were."""
    before = {one: value.detach().clone() for one, value in _matrices(model)}
    change(model)
    products = torch.zeros(3, dtype=torch.float64)
    for one, value in _matrices(model):
        old, new = before.pop(one).flatten().double(), value.detach().flatten().double()
        if torch.equal(old, new) and bool((old != old[0]).any()):
            raise UserError(f"{key}: {kind}: {one} of {name} stays as it was, so it is no control; use the other kind")
        old, new = old - old.mean(), new - new.mean()
        products += torch.stack([old @ new, old @ old, new @ new]).cpu()
    return {
        "kind": kind,
        "matrices": sum(1 for _ in _matrices(model)),
        "values": sum(value.numel() for _, value in _matrices(model)),
        "correlation": float(products[0] / (products[1] * products[2]).sqrt().clamp_min(1e-30)),
    }


def _matrices(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters of two dimensions or more, by name."""
    return ((name, value) for name, value in model.named_parameters() if value.dim() > 1)


def _shuffle(model: nn.Module) -> None:
    for name, value in _matrices(model):
        order = torch.randperm(value.numel(), generator=_generator(name))
        value.copy_(value.flatten()[order.to(value.device)].view_as(value))


def _draw(model: nn.Module) -> None:
    """New weights by transformers' own rules, which pass over what is marked as loaded."""
    with _unmarked(model):
        torch.manual_seed(_seed("new weights"))
        model.initialize_weights()  # type: ignore[operator]


@contextmanager
def _unmarked(model: nn.Module) -> Iterator[None]:
    """Without transformers' marks of what was loaded, which are put back afterwards."""
    mark = "_is_hf_initialized"
    marked: list[Any] = [*model.modules(), *model.parameters(), *model.buffers()]
    marked = [one for one in marked if hasattr(one, mark)]
    for one in marked:
        delattr(one, mark)
    try:
        yield
    finally:
        for one in marked:
            setattr(one, mark, True)


def _generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(name))


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
