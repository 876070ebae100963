"""Memory that did not suffice: one line with what `recdistill plan` says of this machine, in place of a traceback."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import torch

from recdistill.config import RunConfig
from recdistill.config.teacher_kind import LanguageModel
from recdistill.errors import UserError
from recdistill.plan.plan import GIB, make_plan
from recdistill.plan.plan_config import PlanConfig
from recdistill.steps import Step

SIGNS = ("can't allocate memory", "out of memory", "not enough memory", "std::bad_alloc")
"""What torch's own errors say, which on the CPU have no type of their own."""
SMALLER: dict[Step, str] = {
    "prepare": "data.limit_rows",
    "student": "student.train.batch_size",
    "teacher": "teacher.train.batch_size",
    "export": "export.batch_size",
    "distill": "distill.train.batch_size",
    "evaluate": "evaluate.batch_size",
    "report": "evaluate.bootstrap_samples",
}
"""The setting of each step that its memory grows with most."""


@contextmanager
def memory_errors(step: Step, config: RunConfig, device: str, items: int | None) -> Iterator[None]:
    """Tell a lack of memory in the block in one line.

    Args:
        step: what is done.
        config: of the run.
        device: `cpu` or `cuda`.
        items: N; None: not known yet.

    Raises:
        UserError: memory did not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_lack(error):
            raise
        raise UserError(lack_sentence(error, step, config, device, items)) from error


def lack_sentence(error: BaseException, step: Step, config: RunConfig, device: str, items: int | None) -> str:
    """What lacked and what to do, in a line; see :func:`memory_errors`."""
    told = (str(error).splitlines() or [""])[0][:120]
    where = f"{device}, {_memory_gib(device):.1f} GiB"
    return f"{step}: out of memory ({where}: {told}); {advice(step, config, device, items)}"


def advice(step: Step, config: RunConfig, device: str, items: int | None) -> str:
    """What to do where memory did not suffice: the plan's answer for this machine, or the setting to lower."""
    key = SMALLER[step]
    return _planned(step, config, device, items) or f"take a smaller {key} ({_value(config, key)})"


def is_lack(error: BaseException) -> bool:
    """Whether an error says that there was no memory left."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error) for sign in SIGNS)


def _planned(step: Step, config: RunConfig, device: str, items: int | None) -> str:
    """What the plan says of a language model's step on this machine; empty of other steps, or where it cannot tell."""
    if step not in ("teacher", "export") or not isinstance(config.teacher.chosen, LanguageModel) or not items:
        return ""
    try:
        asked = plan_config(config, device, items)
        plan = make_plan(asked)
    except UserError:
        return ""
    key = SMALLER[step]
    said = f"`recdistill plan` for this machine and prompts of {asked.tokens} tokens: "
    if step == "export":
        return f"{said}the export takes {plan.export_peak_gib:.1f} GiB; take a smaller {key} ({_value(config, key)})"
    if not plan.largest_batch:
        return f"{said}not one prompt fits; try teacher.quantization nf4, fewer teacher.layers or a smaller model"
    return f"{said}at most {plan.largest_batch} prompts at a time fit; {key} is {_value(config, key)}"


def plan_config(config: RunConfig, device: str, items: int) -> PlanConfig:
    """What a plan is asked of a run's teacher on this machine; prompts are as long as a plan's own, or as histories.

    A micro-batch of sequences (`teacher.windows: sliding`) has as many items as one of whole windows, so each sequence
    is taken to be as long as one.
    """
    teacher, adapter = config.teacher, config.teacher.adapter
    export = config.export.batch_size
    asked = PlanConfig(
        llm=teacher.llm,
        layers=teacher.layers,
        batch_size=teacher.train.batch_size,
        tokens=max(PlanConfig.tokens, teacher.history_length),
        targets_per_prompt=teacher.history_length if teacher.targets == "every" else 1,
        windows=teacher.windows,
        history_length=teacher.history_length,
        items=items,
        precision=teacher.precision,
        quantization=teacher.quantization,
        double_quantization=teacher.double_quantization,
        gradient_checkpointing=teacher.gradient_checkpointing,
        adapter_layers=adapter.layers,
        rank=adapter.rank,
        experts=adapter.experts,
        dropout=adapter.dropout,
        gate=teacher.gate.kind != "none",
        embedding_dim=config.student.embedding_dim,
        head_dim=teacher.head_dim,
        title_dim=teacher.title_dim,
        title_decay=teacher.title_decay,
        top_k=config.export.top_k,
        memory_gib=_memory_gib(device),
    )
    asked = replace(asked, device="cuda" if device == "cuda" else "cpu")
    return asked if export == "auto" else replace(asked, export_batch_size=export)


def _memory_gib(device: str) -> float:
    """Memory of the device, GiB: a card's, or what this process may take of the machine's."""
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[1]) / GIB
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    total = float(psutil.virtual_memory().total)
    return (total if limit == resource.RLIM_INFINITY else min(total, float(limit))) / GIB


def _value(config: RunConfig, key: str) -> object:
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found
