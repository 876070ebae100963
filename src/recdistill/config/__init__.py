"""Every setting there is, one frozen dataclass a step. The defaults are the demo: MovieLens-100K with SmolLM2-135M.

Values out of range and combinations that make no sense are refused when the object is made, before any work, with a
`UserError` that names the dotted key. One file a section; :mod:`recdistill.config.rules` holds the checks.
"""

from recdistill.config.data import BadRowsChoice, DataConfig, Duplicates, Split
from recdistill.config.distill import DistillConfig, DLLM2RecConfig, Selection
from recdistill.config.evaluate import BASELINES, BaselineName, EvaluateConfig
from recdistill.config.experts import AdapterConfig, GateConfig
from recdistill.config.export import ExportConfig
from recdistill.config.loss import LossConfig, LossName
from recdistill.config.report import ReportConfig
from recdistill.config.rules import require
from recdistill.config.run import RunConfig
from recdistill.config.source import ColumnsConfig, Decimal, ItemsFormConfig, PlantedConfig, Source, plain_separator
from recdistill.config.student import StudentBlock, StudentConfig, StudentModel
from recdistill.config.teacher import (
    Attention,
    ComputeType,
    Padding,
    Precision,
    Quantization,
    TeacherConfig,
)
from recdistill.config.train import TrainConfig

__all__ = [
    "BASELINES",
    "AdapterConfig",
    "Attention",
    "BadRowsChoice",
    "BaselineName",
    "ColumnsConfig",
    "ComputeType",
    "DLLM2RecConfig",
    "DataConfig",
    "Decimal",
    "DistillConfig",
    "Duplicates",
    "EvaluateConfig",
    "ExportConfig",
    "GateConfig",
    "ItemsFormConfig",
    "LossConfig",
    "LossName",
    "Padding",
    "PlantedConfig",
    "Precision",
    "Quantization",
    "ReportConfig",
    "RunConfig",
    "Selection",
    "Source",
    "Split",
    "StudentBlock",
    "StudentConfig",
    "StudentModel",
    "TeacherConfig",
    "TrainConfig",
    "plain_separator",
    "require",
]
