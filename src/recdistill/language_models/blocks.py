"""A decoder's blocks: where they are, which kinds there are, and a run of as few of them as show every kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from recdistill.errors import UserError

FEWEST = 2
"""Blocks that are run at least: the second one reads what the first has written."""
COUNTED = ("idx", "id", "index", "number")
"""Ends of the names of a module's attributes that count blocks, so that they differ where the kind does not."""

TABLES = ("hidden_size_per_layer_input",)
"""Settings of a configuration that say that a table outside of the blocks has columns for each of them."""


def block_list(model: nn.Module) -> nn.ModuleList:
    """The decoder blocks: the outermost list of as many modules as the configuration counts blocks.

    The longest list would be another one in a model of few blocks with many experts of its own.

    Raises:
        UserError: the model has no such list.
    """
    found = _blocks(model)
    if found is None:
        raise UserError("teacher.llm: this model has no list of decoder blocks to put experts in")
    return found


def _blocks(model: Any) -> nn.ModuleList | None:
    count = getattr(model.config, "num_hidden_layers", None)
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    return next((one for one in lists if len(one) == count), None)


def decoder_blocks(model: nn.Module) -> list[nn.Module]:
    """The decoder blocks, in order.

    Raises:
        UserError: the model has no list of them.
    """
    return list(block_list(model))


@contextmanager
def few_blocks(decoder: Any) -> Iterator[int]:
    """Have the decoder run its first blocks alone, as many as show every kind of block it has, and give their number.

    What a check finds out about a block holds for all of its kind, and a language model of 32 equal blocks would take
    sixteen times as long. Where blocks have rows in tables outside of them, or cannot be found, all are run.
    """
    config, blocks = decoder.config, _blocks(decoder)
    total = 0 if blocks is None else len(blocks)
    count = total if blocks is None or any(getattr(config, one, 0) for one in TABLES) else _enough(blocks, config)
    if count < total:  # some configurations count their blocks in another way, and keep their number
        config.num_hidden_layers = count
    if blocks is None or count == total or config.num_hidden_layers != count:
        yield total
        return
    kept = dict(blocks._modules)
    for name in list(kept)[count:]:
        del blocks._modules[name]
    try:
        yield count
    finally:
        blocks._modules.update(kept)
        config.num_hidden_layers = total


def _enough(blocks: nn.ModuleList, config: Any) -> int:
    """How many of the first blocks show each kind."""
    types = getattr(config, "layer_types", None) or []
    firsts: dict[Any, int] = {}
    for number, block in enumerate(blocks):
        kind = (_kind(block), types[number] if len(types) == len(blocks) else None)
        firsts.setdefault(kind, number)
    return min(len(blocks), max(FEWEST, 1 + max(firsts.values())))


def _kind(block: nn.Module) -> tuple[Any, ...]:
    """What a block is made of: its modules with the switches and numbers that they keep, and the shapes of weights."""
    modules = tuple(
        (name, type(module).__name__, tuple(sorted(_plain(module).items(), key=repr)))
        for name, module in block.named_modules()
    )
    return modules, tuple((name, tuple(value.shape)) for name, value in block.named_parameters())


def _plain(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str | None) and name[0] != "_" and not name.lower().endswith(COUNTED)
    }
