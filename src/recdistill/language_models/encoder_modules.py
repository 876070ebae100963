"""The modules behind a sentence encoder's pooling, as functions of the pooled vectors."""

from collections.abc import Callable
from typing import assert_never

from torch import Tensor, nn
from torch.nn import functional

from recdistill.language_models.encoder_recipe import Behind, Dense, EncoderFiles, LayerNorm, Normalize
from recdistill.storage.files import read_tensors

Vectors = Callable[[Tensor], Tensor]
"""fp32 (B, V) to fp32 (B, W)."""
WEIGHTS = "model.safetensors"
NORM_EPSILON = 1e-5
"""torch's default, with which sentence-transformers makes its layer norms."""


def load_module(module: Behind, files: EncoderFiles, device: str) -> Vectors:
    """A module with its weights.

    Raises:
        UserError: its weights are not there in safetensors, or lack a tensor.
    """
    if isinstance(module, Normalize):
        return lambda vectors: functional.normalize(vectors, dim=1)
    if isinstance(module, LayerNorm):
        weights = _weights(files, module.folder, device, "norm.weight", "norm.bias")
        norm, bias = weights["norm.weight"], weights["norm.bias"]
        return lambda vectors: functional.layer_norm(vectors, norm.shape, norm, bias, NORM_EPSILON)
    if isinstance(module, Dense):
        return _dense(module, _weights(files, module.folder, device, "linear.weight"))
    assert_never(module)


def _dense(module: Dense, weights: dict[str, Tensor]) -> Vectors:
    activation: nn.Module = getattr(nn, module.activation)()
    linear, bias, residual = weights["linear.weight"], weights.get("linear.bias"), weights.get("residual.weight")

    def dense(vectors: Tensor) -> Tensor:
        out: Tensor = activation(functional.linear(vectors, linear, bias))
        if module.residual:
            out = out + (vectors if residual is None else functional.linear(vectors, residual))
        return out

    return dense


def _weights(files: EncoderFiles, folder: str, device: str, *needed: str) -> dict[str, Tensor]:
    path = files.find(f"{folder}/{WEIGHTS}")
    if path is None:
        raise files.refusal(f"{folder} has no {WEIGHTS}; no pickled weights are loaded")
    tensors = read_tensors(path)
    for name in needed:
        if name not in tensors:
            raise files.refusal(f"{folder}/{WEIGHTS} lacks {name}")
    return {name: tensor.float().to(device) for name, tensor in tensors.items()}
