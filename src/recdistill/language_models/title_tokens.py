"""Titles as token ids."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recdistill.language_models.libraries import libraries_quiet


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
