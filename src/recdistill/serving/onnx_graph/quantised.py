"""A graph's weights in 8 bits; activations are quantised as they come."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnx import TensorProto

from recdistill.serving.onnx_library import import_onnxruntime


def quantise(path: Path, out: Path) -> None:
    """Write a graph with its matrices, item vectors included, as int8 with a scale each (dynamic quantisation)."""
    import_onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Its shape inference stops at operators of onnxruntime's own domain; what follows one is float all the same.
    options = {"DefaultTensorType": TensorProto.FLOAT}
    with _quiet_root():
        quantize_dynamic(path, out, weight_type=QuantType.QInt8, extra_options=options)


@contextmanager
def _quiet_root() -> Iterator[None]:
    """Keep advice for the graph's maker, which the library logs as a warning of nobody's, from whoever bundles."""
    root = logging.getLogger()
    level, handler = root.level, logging.NullHandler()
    root.addHandler(handler)  # without one, the library's warning would set logging up for the whole process
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
