"""Distillation methods, one file each: how a student is drawn to the teacher's lists.

A new method is its settings and its name in `recdistill/config/distill.py`, a file here with its loss, and a line in
:func:`method_loss`.
"""

from typing import assert_never

from torch import Tensor

from recdistill.config.distill import DLLM2RecConfig, FullCatalogCE, Listwise, Method, TopkKL
from recdistill.distill.methods import dllm2rec, full_catalog_ce, listwise, topk_kl
from recdistill.distill.methods.batch import ListBatch

__all__ = ["ListBatch", "method_loss"]


def method_loss(method: Method, batch: ListBatch) -> Tensor:
    """The loss of the chosen method (`DistillConfig.chosen`), SUMMED over the batch's targets: scalar."""
    match method:
        case TopkKL():
            return topk_kl.loss(method, batch)
        case FullCatalogCE():
            return full_catalog_ce.loss(method, batch)
        case Listwise():
            return listwise.loss(method, batch)
        case DLLM2RecConfig():
            return dllm2rec.loss(method, batch)
        case _:
            assert_never(method)
