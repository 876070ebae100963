"""What the teacher takes from PEFT, imported without torch's compiler.

PEFT imports bitsandbytes where that is installed, which asks for a function to be compiled while it is imported; torch
imports its compiler for that, a tenth of the time that a command takes to begin. Here it waits for the first call.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from typing import Any

import torch

__all__ = [
    "LoraConfig",
    "LoraLayer",
    "PeftModel",
    "get_peft_model",
    "get_peft_model_state_dict",
    "set_peft_model_state_dict",
]

_compile = torch.compile


@contextmanager
def compiled_when_called() -> Iterator[None]:
    """What is given to `torch.compile` in the block is compiled when it is called first, with the options given."""
    vars(torch)["compile"] = _later
    try:
        yield
    finally:
        vars(torch)["compile"] = _compile


def _later(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Stands for `torch.compile`, also as a decorator with options."""
    if function is None:
        return partial(_later, **options)
    compiled = cache(partial(_compile, function, **options))

    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        return compiled()(*arguments, **keywords)

    return call


with compiled_when_called():
    from peft import LoraConfig, PeftModel, get_peft_model
    from peft.tuners.lora import LoraLayer
    from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
