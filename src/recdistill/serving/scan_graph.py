"""The graph of a scan over 8-bit item vectors, written without the library onnx, which serving does not install.

One node: `MatMulInteger(q, table, zero)`, states uint8 (B, D) and table int8 (D, N + 1) to int32 (B, N + 1). The table
itself is handed to onnxruntime beside the graph. On AVX2 onnxruntime adds pairs of products in 16 bits, saturated; so
the states stay within 0..127 (zero 64): 127 · 127 · 2 fits, 255 · 127 · 2 would not.
"""

ZERO = 64
"""What stands for 0 in the states."""
INT8, UINT8, INT32 = 3, 2, 6
"""ONNX's numbers of these types."""
IR_VERSION, OPERATORS = 10, 18
TABLE = "table"
EXTERNAL = 1


def scan_graph(rows: int, dim: int) -> bytes:
    """The graph for a table int8 (dim, rows) named :data:`TABLE`, as ONNX's protobuf."""
    node = b"".join(_text(1, name) for name in ("q", TABLE, "zero")) + _text(2, "scores") + _text(4, "MatMulInteger")
    # External data without a file: the initializer is replaced before anything is read.
    outside = _message(13, _text(1, "location") + _text(2, "none"))
    table = _number(1, dim) + _number(1, rows) + _number(2, INT8) + _text(8, TABLE) + outside + _number(14, EXTERNAL)
    zero = _number(2, UINT8) + _text(8, "zero") + _bytes(9, bytes([ZERO]))
    graph = _message(1, node) + _text(2, "scan") + _message(5, table) + _message(5, zero)
    graph += _message(11, _value("q", UINT8, dim)) + _message(12, _value("scores", INT32, rows))
    return _number(1, IR_VERSION) + _message(7, graph) + _message(8, _number(2, OPERATORS))


def _value(name: str, kind: int, columns: int) -> bytes:
    """A ValueInfoProto: a tensor (B, columns)."""
    shape = _message(1, _text(2, "B")) + _message(1, _number(1, columns))
    return _text(1, name) + _message(2, _message(1, _number(1, kind) + _message(2, shape)))


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _message(field: int, value: bytes) -> bytes:
    return _bytes(field, value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
