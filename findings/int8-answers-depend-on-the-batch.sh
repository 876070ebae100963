#!/usr/bin/env bash
# A model in 8 bits by onnxruntime's quantize_dynamic, asked for one row and for two.
#
# Expected: a row's output does not depend on the row beside it; the model is one linear layer.
# Seen:     onnxruntime 1.32.0 takes one scale for the activations of a whole pass, from their least and largest value.
#           A row beside a row of large values is rounded more coarsely: its output changes by 2.5 % of its largest
#           value. A service that groups requests gives other answers under load.
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
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

logging.disable(logging.WARNING)
weight = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "linear",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 16])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 4])],
    [numpy_helper.from_array(weight, "w")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "exact.onnx")
quantize_dynamic("exact.onnx", "int8.onnx", weight_type=QuantType.QInt8)
small = np.random.default_rng(1).normal(size=(1, 16)).astype(np.float32)
both = np.concatenate([small, 20 * np.ones((1, 16), dtype=np.float32)])
worst = {}
for name in ("exact", "int8"):
    session = onnxruntime.InferenceSession(f"{name}.onnx", providers=["CPUExecutionProvider"])
    alone, beside = (session.run(None, {"x": rows})[0][0] for rows in (small, both))
    worst[name] = float(np.abs(alone - beside).max() / np.abs(alone).max())
    print(f"{name}: largest change, as a share of the largest output: {worst[name]:.2g}")
assert worst["exact"] < 1e-5
assert worst["int8"] > 0.01
PY
