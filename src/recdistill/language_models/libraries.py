"""Models through transformers: its errors in one line that names the setting, its chatter silenced, no gaps filled."""

import logging
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from recdistill.errors import UserError


def load_config(location: str, key: str = "teacher.llm", **options: Any) -> Any:
    """A model's configuration, by transformers; `options` are those of `from_pretrained`.

    Code that comes with a model is never run: unless it is told so, transformers asks the person at the terminal.

    Raises:
        UserError: it cannot be found or read.
    """
    from transformers import AutoConfig

    with libraries_quiet(), as_user_error(location, key):
        return AutoConfig.from_pretrained(location, trust_remote_code=False, **options)


MODEL_ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError, StrictDataclassError)
"""What a model's own code raises where it is used in a way that its authors did not think of."""


def first_line(error: BaseException) -> str:
    """What went wrong, in one line: the library's first, which often has many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return (
        f"{type(error).__name__}: {lines[0]}" if isinstance(error, KeyError | AttributeError | TypeError) else lines[0]
    )


@contextmanager
def as_user_error(llm: str, key: str = "teacher.llm") -> Iterator[None]:
    """A model that cannot be found or read is told in one line: the first of the library's, which often has many."""
    try:
        yield
    except (OSError, ImportError, struct.error, *MODEL_ERRORS) as error:
        raise UserError(f"{key}: {llm}: {first_line(error)}") from error
    except Exception as error:
        if type(error) is not Exception:  # which is all that tokenizers raises
            raise
        raise UserError(f"{key}: {llm}: {first_line(error)}") from error


@contextmanager
def libraries_quiet() -> Iterator[None]:
    """Silence what transformers and the hub's client print about retries, weights left out and loading bars."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    levels = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])


def refuse_gaps(model: str, missing: Collection[str]) -> None:
    """Weights that the files lack would be random, which transformers mentions in a warning only.

    Args:
        model: the setting and what it says, for the message.
        missing: names of tensors that were not found.

    Raises:
        UserError: there are some.
    """
    if missing:
        raise UserError(f"{model}: its weight files lack {len(missing)} of the model's tensors, {min(missing)} first")
