#!/usr/bin/env bash
# quantize_dynamic over a graph with one of onnxruntime's own operators.
#
# Expected: onnxruntime's quantiser takes graphs with onnxruntime's own operators, such as Attention, whose quantised
#           form (QAttention) it writes itself.
# Seen:     onnxruntime 1.32.0 raises 'Unable to find data type' at the first linear layer behind it: its shape inference
#           stops at operators of the domain com.microsoft, and types are taken from there. With the undocumented
#           extra option DefaultTensorType it works.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check ml_dtypes==0.6.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

logging.disable(logging.WARNING)
draw = np.random.default_rng(0)
shapes = {"w": (8, 24), "b": (24,), "w2": (8, 8), "b2": (8,)}
constants = [numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()]
rows = numpy_helper.from_array(np.array([-1, 8]), "rows")
graph = helper.make_graph(
    [
        helper.make_node("Attention", ["x", "w", "b"], ["a"], domain="com.microsoft", num_heads=2),
        helper.make_node("Reshape", ["a", "rows"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
    ],
    "block",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "L", 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["M", 8])],
    [*constants, rows],
)
sets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=10), "block.onnx")
try:
    quantize_dynamic("block.onnx", "int8.onnx", weight_type=QuantType.QInt8)
except RuntimeError as error:
    print("seen:", str(error).split(".")[0])
    assert "Unable to find data type" in str(error)
else:
    raise SystemExit("it is quantised now")
options = {"DefaultTensorType": TensorProto.FLOAT}
quantize_dynamic("block.onnx", "int8.onnx", weight_type=QuantType.QInt8, extra_options=options)
kinds = {node.op_type for node in onnx.load("int8.onnx").graph.node}
print("with DefaultTensorType:", sorted(kinds))
assert "QAttention" in kinds
PY
