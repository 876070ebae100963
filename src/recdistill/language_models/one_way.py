"""Whether a language model reads in one direction alone, found out by running it."""

from typing import Any

import torch

from recdistill.errors import UserError
from recdistill.language_models.blocks import few_blocks
from recdistill.language_models.libraries import MODEL_ERRORS, first_line
from recdistill.measure.facts import Checked

TWO_WAY = 0.02
"""Relative change of a state, beyond any precision's rounding, at which a model is taken to read ahead."""


@torch.inference_mode()
def check_one_way(llm: str, decoder: Any) -> Checked:
    """Refuse a model whose first token sees the tokens after it: it would see the targets, and the padding.

    Raises:
        UserError: it does, or the model does not run.
    """
    device = decoder.get_input_embeddings().weight.device
    tokens = torch.arange(1, 9, device=device).repeat(2, 1)
    tokens[1, 1:] = tokens[0, 1:].flip(0)
    tokens[1, 4] = 0
    try:
        with few_blocks(decoder) as blocks:
            one, other = decoder(input_ids=tokens, use_cache=False).last_hidden_state[:, 0].float()
    except MODEL_ERRORS as error:
        raise UserError(f"teacher.llm: {llm}: the model does not run ({first_line(error)})") from error
    if (one - other).norm() > TWO_WAY * one.norm():
        raise UserError(
            f"teacher.llm: {llm}: a token's state depends on the tokens after it, so this is no decoder and would read "
            "the targets; choose a causal language model"
        )
    return {"blocks": blocks}
