"""What commands import and make at their beginning, for processes to be forked from one that has done so."""

import importlib

from recdistill.cli.parser import build_parser

for _name in (
    "recdistill.pipeline",
    "recdistill.parallel.joining",
    "recdistill.reporting.report",
    "peft",
    "torch.utils.tensorboard",
    "transformers.models.llama.modeling_llama",
):
    importlib.import_module(_name)
for _name in ("run", "student", "evaluate"):
    build_parser(_name)
