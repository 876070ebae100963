"""Plain LoRA (Hu et al. 2021) around the linear layers of the model that reads the titles.

What is learned is kept beside the model, never in it, so that a file of a few MiB makes the tuned reading of a
pretrained model that everybody has.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import linear

from recdistill.errors import UserError
from recdistill.measure.facts import TuningFacts
from recdistill.storage.files import atomic_path, read_tensors, require_finite
from recdistill.storage.typed import typed

TUNING_FILE = "title_tuning.safetensors"
FACTS = "facts"
SCALE = 2.0
"""What the product of the two matrices is multiplied by: alpha / R with alpha = 2 R."""
NOT_READ = ("pooler", "lm_head")
"""Parts of a model that no title's states pass through."""


@dataclass(frozen=True)
class TitleTuning:
    """What a model has learned of the items beside its pretraining.

    Attributes:
        tensors: `<layer>.down` (R, in) and `<layer>.up` (out, R) of each linear layer, fp32.
        facts: how it was learned.
    """

    tensors: dict[str, Tensor]
    facts: TuningFacts

    @property
    def digest(self) -> str:
        """Names the values."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            digest.update(name.encode())
            digest.update(self.tensors[name].contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def attach(self, model: nn.Module) -> None:
        """Add to each layer's output what was learned for it.

        Raises:
            UserError: the model has other layers than what was learned.
        """
        layers = linear_layers(model)
        names = {name.rpartition(".")[0] for name in self.tensors}
        if names != layers.keys():
            raise UserError(f"{TUNING_FILE}: made for another title encoder (teacher.title_encoder)")
        for name, layer in layers.items():
            down, up = (self.tensors[f"{name}.{part}"].to(layer.weight.device) for part in ("down", "up"))
            if down.shape[1] != layer.in_features or up.shape[0] != layer.out_features:
                raise UserError(f"{TUNING_FILE}: made for another title encoder (teacher.title_encoder)")
            hook(layer, down, up)

    def save(self, path: Path) -> None:
        """Write it to a file."""
        tensors = {name: one.contiguous() for name, one in self.tensors.items()}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {FACTS: json.dumps(self.facts)})


def load_tuning(folder: Path) -> TitleTuning | None:
    """What a step's folder holds of it; None where its titles were read by the model as it is.

    Raises:
        UserError: the file is broken.
    """
    path = folder / TUNING_FILE
    return read_tuning(path) if path.is_file() else None


def read_tuning(path: Path) -> TitleTuning:
    """The same of a file that must be there."""
    tensors = read_tensors(path)
    require_finite(tensors, path)
    with safe_open(path, "pt") as file:
        facts = typed(json.loads((file.metadata() or {}).get(FACTS, "{}")), TuningFacts, str(path))
    return TitleTuning(tensors, facts)


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers, by name, that a text's states pass through."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not set(NOT_READ) & set(name.split("."))
    }


def new_lora(model: nn.Module, rank: int, generator: torch.Generator) -> dict[str, nn.Parameter]:
    """Attach untrained LoRA, which changes nothing yet, and give its parameters by name.

    Raises:
        UserError: the model has no linear layer.
    """
    layers = linear_layers(model)
    if not layers:
        raise UserError("teacher.title_tuning: the title encoder has no linear layers to adapt; set steps: 0")
    parameters: dict[str, nn.Parameter] = {}
    for name, layer in layers.items():
        drawn = torch.randn(rank, layer.in_features, generator=generator) / math.sqrt(layer.in_features)
        down = nn.Parameter(drawn.to(layer.weight.device))
        up = nn.Parameter(torch.zeros(layer.out_features, rank, device=layer.weight.device))
        parameters |= {f"{name}.down": down, f"{name}.up": up}
        hook(layer, down, up)
    return parameters


def hook(layer: nn.Linear, down: Tensor, up: Tensor) -> None:
    """Have a layer add the product of its input with both matrices, computed in their type."""

    def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0].to(down.dtype)
        return output + SCALE * linear(linear(x, down), up).to(output.dtype)

    layer.register_forward_hook(add)
