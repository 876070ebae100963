"""What kind of model a configuration describes: refused where it is no decoder of text, cut to its first blocks."""

from typing import Any

from recdistill.errors import UserError

PER_LAYER = "hidden_size_per_layer_input"
"""Gemma's (3n, 4) width of an input that every block has of its own, from a table with columns for each block."""
SHARING = "num_kv_shared_layers"
"""Gemma's number of last blocks that read the keys and values of earlier ones."""


def text_config(llm_config: Any) -> Any:
    """The configuration of the text decoder: a part of a model that reads images too, else the whole."""
    return llm_config.get_text_config(decoder=True)


def refuse_no_decoder(llm: str, llm_config: Any) -> None:
    """Refuse what has no decoder of text that could be run alone.

    Raises:
        UserError: it is an encoder with a decoder, or knows no words.
    """
    kind = llm_config.model_type
    if getattr(llm_config, "is_encoder_decoder", False):
        raise UserError(
            f"teacher.llm: {llm} is an encoder with a decoder ({kind}), whose decoder does not run alone; "
            "choose a causal language model"
        )
    if getattr(text_config(llm_config), "vocab_size", None) is None:
        raise UserError(f"teacher.llm: {llm} is no language model ({kind}); choose a causal language model")


def count_blocks(llm_config: Any) -> int:
    """Decoder blocks.

    Raises:
        UserError: its configuration does not say.
    """
    count = getattr(text_config(llm_config), "num_hidden_layers", None)
    if not isinstance(count, int):
        raise UserError(
            f"teacher.layers: {llm_config.model_type} models do not say how many blocks they have; use null"
        )
    return count


ORIGINAL = "original_max_position_embeddings"
GROWING_ROPES = ("dynamic", "longrope")
"""Rotary positions whose frequencies change once a batch holds a longer prompt than the model was first trained on."""


def places(llm_config: Any) -> int | None:
    """Tokens of a prompt at most; None: no limit.

    With some rotary positions a longer prompt changes the states of all others in its batch, so it would change their
    scores.
    """
    config = text_config(llm_config)
    found = [getattr(config, "max_position_embeddings", None)]
    ropes = getattr(config, "rope_parameters", None) or {}
    for rope in (ropes, *(one for one in ropes.values() if isinstance(one, dict))):
        if rope.get("rope_type") in GROWING_ROPES:
            found += [rope.get(ORIGINAL), getattr(config, ORIGINAL, None)]
    known = [one for one in found if isinstance(one, int)]
    return min(known, default=None)


def keep_layers(llm_config: Any, layers: int) -> None:
    """Cut the configuration to its first `layers` blocks, so that only those are ever loaded.

    Lists with an entry a block are cut with it. Some configurations work such a list out of the number of blocks
    instead, and some work the number out of the list.

    Raises:
        UserError: it has fewer blocks, or cannot be cut.
    """
    config, total = text_config(llm_config), count_blocks(llm_config)
    if layers > total:
        raise UserError(f"teacher.layers: {layers} is more than the {total} blocks of this language model")
    if layers == total:
        return
    for name, value in list(vars(config).items()):
        if isinstance(value, list | tuple) and len(value) == total:
            setattr(config, name, value[:layers])
    if getattr(config, SHARING, 0):
        setattr(config, SHARING, max(0, layers - (total - getattr(config, SHARING))))
    if config.num_hidden_layers != layers:
        config.num_hidden_layers = layers
    types = getattr(config, "layer_types", None)
    if config.num_hidden_layers != layers or (types is not None and len(types) != layers):
        raise UserError(
            f"teacher.layers: a {llm_config.model_type} model of {total} blocks cannot be cut to {layers}; "
            "use null (all)"
        )
