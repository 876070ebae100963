"""For each setting whether it left a trace in what was seen (:mod:`recdistill.measure.evidence`).

A setting is judged by what was seen, never by what was configured. One that left no trace is *not in effect*: a
measurement of it would be a measurement of nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from recdistill.config import RunConfig
from recdistill.config.rules import evidence_of
from recdistill.languages import Message
from recdistill.measure import judges, title_judges
from recdistill.measure.facts import Judged, Seen
from recdistill.measure.judges import Asked, Judge


@dataclass(frozen=True)
class Judgement:
    """Whether one setting was in effect.

    Attributes:
        key: its dotted name.
        asked: its value.
        seen: what was seen of it; each is told in the report's language.
        in_effect: whether that is what was asked for.
    """

    key: str
    asked: Any
    seen: tuple[Message, ...]
    in_effect: bool

    def kept(self) -> Judged:
        """As JSON holds it."""
        seen = [one.kept() for one in self.seen]
        return {"key": self.key, "asked": self.asked, "seen": seen, "in_effect": self.in_effect}


def judge(asked: Asked, seen: Seen) -> list[Judgement]:
    """Compare settings with what was seen of them.

    Args:
        asked: dotted settings, as in :class:`recdistill.config.RunConfig`; those not known here are left out.
        seen: facts: `products`, `attention_kernels`, `attention_softmaxes`, `quantised_kernels`, `frozen_dtypes`,
            `quantised_layers`, `double_quantised_layers`, `compute_dtypes`, `block_calls`, `block_executions`,
            `compiled_graphs`, `graphs_after_warm_up`, `cuda_graphs`, `micro_batches_per_step`, `batches_by_worker`,
            `blocks`, `gate`, `llm_weights`, `title_encoder`, `train` and `export` (`TokenCount.plain`), and in a bench
            those of :mod:`recdistill.experiments.bench.facts`. A missing fact is no evidence.
    """
    found = {key: judge_one(asked[key], seen, asked) for key, judge_one in judged_settings().items() if key in asked}
    return [
        Judgement(key, asked[key], words if isinstance(words, tuple) else (words,), effect)
        for key, (words, effect) in found.items()
    ]


@cache
def judged_settings() -> dict[str, Judge]:
    """Dotted setting of a teacher or of its export → its judge, as their fields name them (`evidence`)."""
    default = RunConfig()
    named = {name: key for part in ("teacher", "export") for key, name in _evidence(getattr(default, part), f"{part}.")}
    return {named[name]: judge_one for name, judge_one in JUDGES.items()}


def _evidence(section: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Dotted key and judge's name of each setting of a section that has one."""
    for one in fields(section):
        value = getattr(section, one.name)
        if is_dataclass(value):
            yield from _evidence(value, f"{prefix}{one.name}.")
        elif name := evidence_of(one):
            yield f"{prefix}{one.name}", name


JUDGES: dict[str, Judge] = {
    "blocks": judges.blocks,
    "history": judges.history,
    "windows": judges.windows,
    "gate": judges.gate_kind,
    "targets": judges.targets,
    "title_decay": title_judges.title_decay,
    "llm_weights": title_judges.llm_weights,
    "title_encoder": title_judges.title_encoder,
    "title_encoder_weights": title_judges.title_encoder_weights,
    "title_tuning": title_judges.title_tuning,
    "precision": judges.precision_types,
    "quantization": judges.quantization,
    "double": judges.double,
    "compute": judges.compute,
    "attention": judges.attention_kernel,
    "padding": judges.padding,
    "compiled": judges.compiled,
    "cuda_graphs": judges.cuda_graphs,
    "checkpointing": judges.checkpointing,
    "batch_size": judges.batch_size,
    "batch_tokens": judges.batch_tokens,
    "accumulate": judges.accumulate,
    "workers": judges.workers,
    "export_batch": judges.export_batch,
    "use_cache": judges.use_cache,
    "adapter_rank": judges.is_exactly("adapter_rank"),
    "experts": judges.is_exactly("experts"),
    "adapted": judges.adapted,
    "prompt": judges.is_exactly("prompt"),
    "head": judges.is_exactly("head"),
    "top_k": judges.top_k,
    "states": judges.states,
}
"""Judges by the name that a setting's field has (`evidence`), in the order in which they are told."""
