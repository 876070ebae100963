"""Checkpoints of a training run in one safetensors file: what is trained, the optimiser, the random state, the counts.

One file, written atomically, so that tensors and counts never disagree; no pickle is written or read.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recdistill.errors import UserError
from recdistill.files import atomic_path

CHECKPOINT_FILE = "checkpoint.safetensors"
BEST_FILE = "best.safetensors"


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def save_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, counts: dict[str, Any], fingerprint: str
) -> None:
    """Write the whole state of the run to `checkpoint.safetensors`; `counts` is anything JSON can hold."""
    parameters = trained_parameters(module)
    names = {id(parameter): name for name, parameter in parameters.items()}
    tensors = {f"model.{name}": parameter.detach() for name, parameter in parameters.items()}
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            tensors[f"optimizer.{names[id(parameter)]}.{key}"] = torch.as_tensor(value).detach()
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    metadata = {"fingerprint": fingerprint, "counts": json.dumps(counts)}
    with atomic_path(folder / CHECKPOINT_FILE) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, temporary, metadata)


def load_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, fingerprint: str
) -> dict[str, Any] | None:
    """Put a run back to where its checkpoint was written.

    Returns:
        The counts; None where there is no checkpoint.

    Raises:
        UserError: it was made with other settings, or its names or shapes are not this module's.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    if metadata["fingerprint"] != fingerprint:
        raise UserError(f"{path}: made with other settings or other data; remove it to start anew")
    tensors = load_file(path)
    _copy_strictly(path, module, {name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    for name, parameter in trained_parameters(module).items():
        prefix = f"optimizer.{name}."
        values = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        if values:
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in values.items()
            }
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return json.loads(metadata["counts"])  # type: ignore[no-any-return]


def save_best(folder: Path, module: nn.Module) -> None:
    """Write the trained parameters alone to `best.safetensors`."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in trained_parameters(module).items()}
    with atomic_path(folder / BEST_FILE) as temporary:
        save_file(tensors, temporary)


def load_best(folder: Path, module: nn.Module) -> None:
    """Load what :func:`save_best` wrote, strictly.

    Raises:
        UserError: names or shapes are not this module's.
    """
    _copy_strictly(folder / BEST_FILE, module, load_file(folder / BEST_FILE))


def discard_checkpoints(folder: Path) -> None:
    """Remove both files, once the trained model has been saved in its own form."""
    for name in (CHECKPOINT_FILE, BEST_FILE):
        (folder / name).unlink(missing_ok=True)


def _copy_strictly(path: Path, module: nn.Module, saved: dict[str, Tensor]) -> None:
    own = trained_parameters(module)
    wrong = sorted(set(own) ^ set(saved)) or [name for name in own if own[name].shape != saved[name].shape]
    if wrong:
        raise UserError(f"{path}: does not fit this model (first difference: {wrong[0]})")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])
