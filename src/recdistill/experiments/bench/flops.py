"""Floating-point operations that a teacher's work needs: real tokens, no padding, nothing that is computed twice."""

from recdistill.config import TeacherConfig
from recdistill.measure.evidence import TokenCount
from recdistill.plan import flops
from recdistill.plan.llm_shapes import LlmShapes
from recdistill.teacher.ranker import Ranker


def model_flops(shapes: LlmShapes, config: TeacherConfig, ranker: Ranker, count: TokenCount, *, train: bool) -> float:
    """For the tokens and predictions counted, at the prompts' mean length, attention over the causal half alone.

    Args:
        shapes: the language model's, with as many blocks as are in use.
        config: the adapters' layers and rank are read.
        ranker: gives the number of items and the width of the states.
        count: what was read.
        train: forward and backward; else forward alone.
    """
    length = flops.causal_length(count.useful / max(1, count.prompts))
    items, state_dim = ranker.head.student_vectors.shape[0], ranker.head.state_dim
    head = flops.head_flops(count.targets, items, state_dim, train)
    layers, rank = config.adapter.layers, config.adapter.rank
    if train:
        return flops.train_flops(shapes, count.useful, length, layers, rank) + head
    adapters = 2.0 * flops.adapter_parameters(shapes, layers, rank) * count.useful
    return flops.forward_flops(shapes, count.useful, length) + adapters + head
