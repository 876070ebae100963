"""Nodes and constants of an ONNX graph, one line each."""

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

RUNTIME = "com.microsoft"
"""The domain of onnxruntime's own operators."""
VERSIONS = {"": 18, RUNTIME: 1}
"""Operator sets: domain → version."""


class Builder:
    """Collects a graph's nodes and constants; values are passed by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """Add an operator with one output; its name comes back."""
        return self.ops(kind, 1, *inputs, domain=domain, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, domain: str = "", **attributes: object) -> list[str]:
        """Add an operator with several outputs."""
        names = [f"{kind}_{len(self.nodes)}_{output}" for output in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, inputs, names, domain=domain, **attributes))  # type: ignore[arg-type]
        return names

    def constant(self, value: ArrayLike | Tensor, name: str = "") -> str:
        """Add a constant: float32 or int64, whichever it is nearer to."""
        array = np.asarray(value.detach().numpy() if isinstance(value, Tensor) else value)
        array = np.ascontiguousarray(array, dtype=np.int64 if array.dtype.kind == "i" else np.float32)
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(array, name))
        return name

    def numbers(self, *values: int) -> str:
        """Add a constant int64 vector."""
        return self.constant(np.array(values, dtype=np.int64))

    def linear(self, x: str, layer: nn.Linear) -> str:
        """A linear layer over rows: (M, in) → (M, out)."""
        bias: Tensor | None = layer.bias
        return self.affine(x, layer.weight.detach().numpy(), None if bias is None else bias.detach().numpy())

    def affine(self, x: str, weight: NDArray[np.floating], bias: NDArray[np.floating] | None) -> str:
        """X · weightᵀ + bias: (M, in) → (M, out), weight (out, in)."""
        last = () if bias is None else (self.constant(bias),)
        return self.op("Gemm", x, self.constant(weight.T), *last)

    def norm(self, x: str, layer: nn.LayerNorm) -> str:
        """Layer normalisation over the last axis."""
        weights = self.constant(layer.weight), self.constant(layer.bias)
        return self.op("LayerNormalization", x, *weights, axis=-1, epsilon=layer.eps)

    def flat(self, x: str, dim: int) -> str:
        """(…, dim) → (M, dim)."""
        return self.op("Reshape", x, self.numbers(-1, dim))

    def silu(self, x: str) -> str:
        """X · σ(x)."""
        return self.op("Mul", x, self.op("Sigmoid", x))
