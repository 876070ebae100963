"""For each setting whether it left a trace in what was seen (:mod:`recdistill.measure.evidence`).

A setting is judged by what was seen, never by what was configured. One that left no trace is *not in effect*: a
measurement of it would be a measurement of nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recdistill.languages import Message
from recdistill.measure import judges
from recdistill.measure.facts import Judged, Seen
from recdistill.measure.judges import Asked, Found


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
    found = [_JUDGES[key](asked[key], seen, asked) for key in _JUDGES if key in asked]
    return [
        Judgement(key, asked[key], words if isinstance(words, tuple) else (words,), effect)
        for key, (words, effect) in zip([key for key in _JUDGES if key in asked], found, strict=True)
    ]


_JUDGES: dict[str, Callable[[Any, Seen, Asked], Found]] = {
    "teacher.layers": judges.blocks,
    "teacher.history_length": judges.history,
    "teacher.gate.kind": judges.gate_kind,
    "teacher.targets": judges.targets,
    "teacher.title_decay": judges.title_decay,
    "teacher.llm_weights": judges.llm_weights,
    "teacher.title_encoder": judges.title_encoder,
    "teacher.title_encoder_weights": judges.title_encoder_weights,
    "teacher.title_tuning.steps": judges.title_tuning,
    "teacher.precision": judges.precision_types,
    "teacher.quantization": judges.quantization,
    "teacher.double_quantization": judges.double,
    "teacher.compute_dtype": judges.compute,
    "teacher.attention": judges.attention_kernel,
    "teacher.padding": judges.padding,
    "teacher.compile": judges.compiled,
    "teacher.cuda_graphs": judges.cuda_graphs,
    "teacher.gradient_checkpointing": judges.checkpointing,
    "teacher.train.batch_size": judges.batch_size,
    "teacher.train.batch_tokens": judges.batch_tokens,
    "teacher.train.accumulate_grad_batches": judges.accumulate,
    "teacher.train.num_workers": judges.workers,
    "export.batch_size": judges.export_batch,
    "export.use_cache": judges.use_cache,
    "teacher.adapter.rank": judges.is_exactly("adapter_rank"),
    "teacher.adapter.experts": judges.is_exactly("experts"),
    "teacher.adapter.layers": judges.adapted,
    "teacher.prompt": judges.is_exactly("prompt"),
    "teacher.head": judges.is_exactly("head"),
    "export.top_k": judges.top_k,
    "export.states": judges.states,
}
