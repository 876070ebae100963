"""Whether what a cell asked for was there when it ran.

The package's own evidence is believed first (`settings`, `tokens` of :func:`recdistill.training.evidence.evidence`);
what it says nothing about is looked for here. A setting that nobody has seen is not in effect.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from recdistill.bench.sampling import Counts, SampledTeacher
from recdistill.teacher.experts import decoder_blocks

COMPUTES = {
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "bf16-mixed": torch.bfloat16,
    "fp16-mixed": torch.float16,
}  # fmt: skip
QUANTISED = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}


@dataclass
class Seen:
    """What was looked at while the cell ran."""

    teacher: SampledTeacher
    asked: dict[str, Any]
    """Every setting of the cell's configuration, by dotted keys."""
    train: Counts = field(default_factory=Counts)
    export: Counts = field(default_factory=Counts)
    steps: int = 0
    dtypes: set[str] = field(default_factory=set)
    """Of what the first adapted layer's frozen product gave while warming up."""
    runs_of_block: int = 0
    """How often that layer ran for one micro-batch forward and backward: twice with recomputation."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the first block while one micro-batch goes forward and backward; not through compiled code."""
        layer = _first_linear(self.teacher)
        if layer is None or self.asked.get("teacher.compile"):
            yield
            return

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self.dtypes.add(str(output.dtype))
            self.runs_of_block += 1

        self.runs_of_block = 0
        handle = layer.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()


def _first_linear(teacher: SampledTeacher) -> nn.Module | None:
    for name, module in decoder_blocks(teacher.ranker.llm)[0].named_modules():
        if isinstance(module, nn.Linear) and "lora_" not in name:
            return module
    return None


def settings_evidence(found: Mapping[str, Any], settings: Mapping[str, Any], seen: Seen) -> list[dict[str, Any]]:
    """For each setting of a cell what was asked, what was seen, and whether that is the same.

    Args:
        found: the package's evidence.
        settings: what the cell sets, by dotted keys.
        seen: what the bench saw.
    """
    known = {entry["key"]: entry for entry in found.get("settings", []) if "in_effect" in entry}
    rows = []
    for key, asked in settings.items():
        if key in known:
            rows.append({"key": key, "asked": asked, "seen": known[key].get("seen"),
                         "in_effect": bool(known[key]["in_effect"])})  # fmt: skip
            continue
        look = LOOKS.get(key)
        what = look(seen, found) if look else None
        in_effect = what is not None and (what == asked or asked == "auto")
        rows.append({"key": key, "asked": asked, "seen": what, "in_effect": in_effect})
    return rows


def _precision(seen: Seen, found: Mapping[str, Any]) -> str | None:
    """The name of the precision whose weights and products these are."""
    asked = seen.asked["teacher.precision"]
    frozen = found.get("frozen_dtypes", [])
    weights = "torch.float32" if asked.endswith("-mixed") else str(COMPUTES[asked])
    quantised = seen.asked.get("teacher.quantization", "none") != "none"
    right_weights = frozen == [weights] or (quantised and weights in frozen)
    right_products = seen.dtypes == {str(COMPUTES[asked])} or (not seen.dtypes and not asked.endswith("-mixed"))
    return asked if right_weights and right_products else None


def _quantization(seen: Seen, found: Mapping[str, Any]) -> str:
    names = {type(module).__name__ for module in seen.teacher.ranker.llm.modules()}
    return next((kind for kind, layer in QUANTISED.items() if layer in names), "none")


def _compile(seen: Seen, found: Mapping[str, Any]) -> bool:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"]) > 0


def _targets(seen: Seen, found: Mapping[str, Any]) -> str:
    return "every" if seen.train.targets > seen.train.prompts else "last"


def _gate(seen: Seen, found: Mapping[str, Any]) -> Any:
    return "none" if seen.teacher.ranker.gate is None else seen.asked["teacher.gate.kind"]


def _accumulate(seen: Seen, found: Mapping[str, Any]) -> int | None:
    return -(-seen.train.micro_batches // seen.steps) if seen.steps else None


LOOKS: dict[str, Callable[[Seen, Mapping[str, Any]], Any]] = {
    "teacher.precision": _precision,
    "teacher.quantization": _quantization,
    "teacher.attention": lambda seen, found: found.get("attention_in_use"),
    "teacher.layers": lambda seen, found: found.get("blocks"),
    "teacher.activation_checkpointing": lambda seen, found: seen.runs_of_block > 1 if seen.runs_of_block else None,
    "teacher.compile": _compile,
    "teacher.targets": _targets,
    "teacher.gate.kind": _gate,
    "teacher.train.batch_size": lambda seen, found: seen.train.largest,
    "teacher.train.accumulate_grad_batches": _accumulate,
    "teacher.train.num_workers": lambda seen, found: seen.train.workers,
    "export.batch_size": lambda seen, found: seen.export.largest,
}
"""How the bench itself finds out about a setting."""
