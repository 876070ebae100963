"""A trained student as an ONNX graph."""

from recdistill.serving.onnx_graph.graph import student_graph, write_graph

__all__ = ["student_graph", "write_graph"]
