"""For each setting whether it left a trace in what was seen (:mod:`recdistill.measure.evidence`).

A setting is judged by what was seen, never by what was configured. One that left no trace is *not in effect*: a
measurement of it would be a measurement of nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recdistill.languages import Message, message
from recdistill.measure.evidence import QUANTISED_KINDS


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


NOTHING = message("none")
TYPES = {
    "fp32": ("float32", "float32"),
    "bf16": ("bfloat16", "bfloat16"),
    "fp16": ("float16", "float16"),
    "bf16-mixed": ("float32", "bfloat16"),
    "fp16-mixed": ("float32", "float16"),
}
"""Precision → type of the frozen weights, type of the products."""


def judge(asked: Mapping[str, Any], seen: Mapping[str, Any]) -> list[Judgement]:
    """Compare settings with what was seen of them.

    Args:
        asked: dotted settings, as in :class:`recdistill.config.RunConfig`; those not known here are left out.
        seen: facts: `products`, `attention_kernels`, `attention_softmaxes`, `quantised_kernels`, `frozen_dtypes`,
            `quantised_layers`, `double_quantised_layers`, `compute_dtypes`, `block_calls`, `block_executions`,
            `compiled_graphs`, `graphs_after_warm_up`, `cuda_graphs`, `micro_batches_per_step`, `batches_by_worker`,
            `blocks`, `gate`, `title_encoder`, `train` and `export` (`TokenCount.plain`), and in a bench
            those of :mod:`recdistill.experiments.bench.facts`. A missing fact is no evidence.
    """
    found = [_JUDGES[key](asked[key], seen, asked) for key in _JUDGES if key in asked]
    return [
        Judgement(key, asked[key], words if isinstance(words, tuple) else (words,), effect)
        for key, (words, effect) in zip([key for key in _JUDGES if key in asked], found, strict=True)
    ]


Verdict = tuple[Message | tuple[Message, ...], bool]


def _counted(counts: Mapping[str, int]) -> str | Message:
    ordered = sorted(counts.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} x {number}" for name, number in ordered) or NOTHING


def _listed(names: Sequence[str]) -> str | Message:
    return ", ".join(name.removeprefix("torch.") for name in names) or NOTHING


def _precision(asked: str, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    products = seen.get("products", {})
    frozen, product = TYPES[asked]
    if others.get("teacher.quantization") == "nf4" and others.get("teacher.compute_dtype", "auto") != "auto":
        product = TYPES[others["teacher.compute_dtype"]][1]
    most = max(products, key=products.get, default=None)
    types = seen.get("frozen_dtypes", [])
    right = most == product or (bool(seen.get("quantised_kernels")) and not products)
    words = message("seen_products", products=_counted(products), frozen=_listed(types))
    return words, right and f"torch.{frozen}" in types


def _quantization(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    layers, kernels = seen.get("quantised_layers", 0), seen.get("quantised_kernels", {})
    words: tuple[Message, ...] = (message("seen_quantised", layers=layers, kernels=_counted(kernels)),)
    if layers and "quantised_share" in seen:
        words += (message("seen_quantised_share", share=f"{seen['quantised_share']:.0%}"),)
    if asked == "none":
        return words, seen.get("quantised_layers") == 0
    kinds = seen.get("quantised_kinds", [])
    return words, layers > 0 and bool(kernels) and kinds == [QUANTISED_KINDS[asked]]


def _double(asked: bool, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    nested, layers = seen.get("double_quantised_layers", 0), seen.get("quantised_layers", 0)
    if others.get("teacher.quantization") != "nf4":
        return message("seen_no_four_bit"), False
    return message("seen_double", nested=nested, layers=layers), layers > 0 and nested == (layers if asked else 0)


def _compute(asked: str, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    wanted = TYPES[others.get("teacher.precision", "fp32") if asked == "auto" else asked][1]
    types = seen.get("compute_dtypes", [])
    words = message("seen_compute", types=_listed(types)) if types else message("seen_no_four_bit")
    return words, types == [f"torch.{wanted}"]


def _attention(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    kernels, softmax = seen.get("attention_kernels", {}), seen.get("attention_softmaxes", 0)
    words: tuple[Message, ...] = (message("seen_kernels", kernels=_counted(kernels)),)
    words += (message("seen_softmaxes", softmaxes=softmax),) if softmax else ()
    fused = [name for name in kernels if "scaled_dot_product" in name]
    if asked == "eager":
        return words, softmax > 0 and not kernels
    if asked == "sdpa":
        return words, bool(fused)
    if asked == "auto":
        # Where transformers has nothing but eager for a language model, or that has no attention, no kernel is fused.
        return words, not kernels if seen.get("attention") == "eager" else bool(kernels)
    part = "flex_attention" if asked == "flex_attention" else "flash_attn"
    return words, any(part in name for name in kernels)


def _compile(asked: bool, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    graphs, late = seen.get("compiled_graphs", 0), seen.get("graphs_after_warm_up", 0)
    words = message("seen_graphs", graphs=graphs, late=late)
    return words, "compiled_graphs" in seen and (graphs > 0) == asked


def _cuda_graphs(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    graphs = seen.get("cuda_graphs")
    return message("seen_cuda_graphs", graphs=graphs or 0), graphs is not None and bool(graphs) == asked


def _checkpointing(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    calls, runs = seen.get("block_calls", 0), seen.get("block_executions", 0)
    return message("seen_block_runs", runs=runs, calls=calls), calls > 0 and (runs > calls) == asked


def _padding(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    train = seen.get("train", {})
    if not train.get("micro_batches"):
        return message("seen_nothing_read"), False
    share = f"{train['padding']:.1%}"
    words = message("seen_padding", share=share, widths=train["widths"], packed=train["packed"])
    if asked == "packed":
        return words, train["packed"] > 0
    if asked == "fixed":
        return words, train["widths"] == 1 and not train["packed"]
    # Padding in several batches of one width is what `fixed` does, whatever was asked for. How rows were chosen, which
    # is what tells `bucketed` from `longest`, leaves no trace in these counts.
    as_fixed = train["widths"] == 1 and train["micro_batches"] > 1 and train["padding"] > 0
    return (words, message("seen_not_told_apart")), not train["packed"] and not as_fixed


def _accumulate(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    most = seen.get("micro_batches_per_step", 0)
    return message("seen_accumulated", most=most), most == asked


def _batch_tokens(asked: int | None, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    largest, processed = (seen.get("train", {}).get(name, 0) for name in ("largest", "processed"))
    # All there is may be less than one full micro-batch; else one of them must be more than half full.
    full = asked is None or (largest <= asked and 2 * largest > min(asked, processed))
    return message("seen_batch_tokens", largest=largest, total=processed), largest > 0 and full


def _batch_size(asked: int, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    most = seen.get("train", {}).get("most_prompts", 0)
    if others.get("teacher.train.batch_tokens") is not None:
        return message("seen_batch_size_unread"), False
    return message("seen_batch_size", most=most), 0 < most == min(asked, seen["train"]["prompts"])


def _workers(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    workers = {name: number for name, number in seen.get("batches_by_worker", {}).items() if name != "main"}
    words = message("seen_workers", workers=_counted(seen.get("batches_by_worker", {})))
    return words, len(workers) == asked


def _export_batch(asked: Any, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    most, prompts = (seen.get("export", {}).get(name, 0) for name in ("most_prompts", "prompts"))
    words = message("seen_export_batch", most=most, prompts=prompts)
    if asked == "auto":
        return (words, message("seen_any_size")), most > 0
    # With a cache a prompt is a user's history, and those that do not grow are read apart, so a batch may be smaller.
    # Each of the folds' teachers reads the prompts of its own users, so no batch holds more than the largest fold's.
    together = seen.get("export", {}).get("together", prompts)
    right = most <= asked if others.get("export.use_cache") else most == min(asked, together)
    return words, most > 0 and right


def _use_cache(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    reused = seen.get("export", {}).get("reused", 0)
    read = seen.get("export", {}).get("micro_batches", 0)
    return message("seen_reused", tokens=reused), read > 0 and (reused > 0) == asked


def _layers(asked: int | None, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    blocks = seen.get("blocks", 0)
    return message("seen_blocks", blocks=blocks), blocks > 0 and asked in (None, blocks)


def _history(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    longest = seen.get("longest_history", 0)
    return message("seen_history", items=longest), longest == asked


def _gate(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    kind = seen.get("gate")
    return message("seen_gate", kind=str(kind)), kind == asked


def _title_decay(asked: float, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    weight = seen.get("titles_weight") or 0.0
    # A weight of 0 is validation's choice: the likeness was computed, and then left out of every score.
    words = (message("seen_titles_weight", weight=f"{weight:g}"), message("seen_no_decay"))
    return words, (weight > 0) == (asked > 0)


def _title_encoder(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    found = seen.get("title_encoder")
    if not found:
        return message("seen_nothing_embedded"), False
    most, cut = found["max_tokens"], {"cut": found["cut"], "texts": found["texts"]}
    words: tuple[Message, ...] = (
        message("seen_pooling", pooling=_pooling(found["pooling"])),
        message("seen_no_limit", **cut) if most is None else message("seen_limit", most=most, **cut),
    )
    words += (message("seen_behind", prompt=repr(found["prompt"])),) if found.get("prompt") else ()
    words += () if found.get("modules_file", True) else (message("seen_no_modules"),)
    return words, True


def _pooling(found: str | Mapping[str, Any]) -> str | Message:
    """How texts became vectors: a recipe's own words, or a message as it was kept beside the embeddings."""
    return found if isinstance(found, str) else message(found["key"], **found["values"])


def _targets(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    train = seen.get("train", {})
    prompts, targets = train.get("prompts", 0), train.get("targets", 0)
    return message("seen_targets", targets=targets, prompts=prompts), prompts > 0 and (targets > prompts) == (
        asked == "every"
    )


def _is(fact: str) -> Any:
    """A judge of a fact that must be what was asked for."""

    def judge_one(asked: Any, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
        found = seen.get(fact)
        return message(f"seen_{fact}", found=NOTHING if found is None else str(found)), found == asked

    return judge_one


def _adapted(asked: Sequence[str], seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    found = seen.get("adapted", [])
    return message("seen_adapted", layers=_listed(found)), sorted(asked) == found


def _top_k(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    length, items = seen.get("list_length", 0), seen.get("items", asked)
    return message("seen_lists", length=length, items=items), length == min(asked, items)


def _states(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    width = seen.get("stored_state_dim")
    return message("seen_states", width=NOTHING if width is None else str(width)), width is not None and (
        width > 0
    ) == asked


_JUDGES: dict[str, Any] = {
    "teacher.layers": _layers,
    "teacher.history_length": _history,
    "teacher.gate.kind": _gate,
    "teacher.targets": _targets,
    "teacher.title_decay": _title_decay,
    "teacher.title_encoder": _title_encoder,
    "teacher.precision": _precision,
    "teacher.quantization": _quantization,
    "teacher.double_quantization": _double,
    "teacher.compute_dtype": _compute,
    "teacher.attention": _attention,
    "teacher.padding": _padding,
    "teacher.compile": _compile,
    "teacher.cuda_graphs": _cuda_graphs,
    "teacher.gradient_checkpointing": _checkpointing,
    "teacher.train.batch_size": _batch_size,
    "teacher.train.batch_tokens": _batch_tokens,
    "teacher.train.accumulate_grad_batches": _accumulate,
    "teacher.train.num_workers": _workers,
    "export.batch_size": _export_batch,
    "export.use_cache": _use_cache,
    "teacher.adapter.rank": _is("adapter_rank"),
    "teacher.adapter.experts": _is("experts"),
    "teacher.adapter.layers": _adapted,
    "teacher.prompt": _is("prompt"),
    "teacher.head": _is("head"),
    "export.top_k": _top_k,
    "export.states": _states,
}
