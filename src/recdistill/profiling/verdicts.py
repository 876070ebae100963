"""For each setting whether it left a trace in what was seen (:mod:`recdistill.profiling.evidence`).

A setting is judged by what was seen, never by what was configured. One that left no trace is *not in effect*: a
measurement of it would be a measurement of nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recdistill.profiling.evidence import QUANTISED_KINDS


@dataclass(frozen=True)
class Judgement:
    """Whether one setting was in effect.

    Attributes:
        key: its dotted name.
        asked: its value.
        seen: what was seen of it, in words.
        in_effect: whether that is what was asked for.
    """

    key: str
    asked: Any
    seen: str
    in_effect: bool


TYPES = {
    "fp32": ("float32", "float32"), "bf16": ("bfloat16", "bfloat16"), "fp16": ("float16", "float16"),
    "bf16-mixed": ("float32", "bfloat16"), "fp16-mixed": ("float32", "float16"),
}  # fmt: skip
"""Precision → type of the frozen weights, type of the products."""


def judge(asked: Mapping[str, Any], seen: Mapping[str, Any]) -> list[Judgement]:
    """Compare settings with what was seen of them.

    Args:
        asked: dotted settings, as in :class:`recdistill.config.RunConfig`; those not known here are left out.
        seen: facts: `products`, `attention_kernels`, `attention_softmaxes`, `quantised_kernels`, `frozen_dtypes`,
            `quantised_layers`, `double_quantised_layers`, `compute_dtypes`, `block_calls`, `block_executions`,
            `compiled_graphs`, `graphs_after_warm_up`, `cuda_graphs`, `micro_batches_per_step`, `batches_by_worker`,
            `blocks`, `gate`, `title_encoder`, `train` and `export` (`TokenCount.plain`), and in a bench
            those of :mod:`recdistill.bench.facts`. A missing fact is no evidence.
    """
    found = [_JUDGES[key](asked[key], seen, asked) for key in _JUDGES if key in asked]
    return [
        Judgement(key, asked[key], words, effect)
        for key, (words, effect) in zip([key for key in _JUDGES if key in asked], found, strict=True)
    ]


Verdict = tuple[str, bool]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} x {number}" for name, number in sorted(counts.items(), key=lambda one: -one[1])) or "none"


def _precision(asked: str, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    products = seen.get("products", {})
    frozen, product = TYPES[asked]
    if others.get("teacher.quantization") == "nf4" and others.get("teacher.compute_dtype", "auto") != "auto":
        product = TYPES[others["teacher.compute_dtype"]][1]
    most = max(products, key=products.get, default=None)
    types = [name.removeprefix("torch.") for name in seen.get("frozen_dtypes", [])]
    right = most == product or (bool(seen.get("quantised_kernels")) and not products)
    return f"products: {_counted(products)}; frozen: {', '.join(types)}", right and frozen in types


def _quantization(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    layers, kernels = seen.get("quantised_layers", 0), seen.get("quantised_kernels", {})
    words = f"{layers} quantised layers; kernels: {_counted(kernels)}"
    if asked == "none":
        return words, seen.get("quantised_layers") == 0
    kinds = seen.get("quantised_kinds", [])
    return words, layers > 0 and bool(kernels) and kinds == [QUANTISED_KINDS[asked]]


def _double(asked: bool, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    nested, layers = seen.get("double_quantised_layers", 0), seen.get("quantised_layers", 0)
    if others.get("teacher.quantization") != "nf4":
        return "no 4-bit layers", False
    return f"{nested} of {layers} layers", layers > 0 and nested == (layers if asked else 0)


def _compute(asked: str, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    wanted = TYPES[others.get("teacher.precision", "fp32") if asked == "auto" else asked][1]
    types = [name.removeprefix("torch.") for name in seen.get("compute_dtypes", [])]
    return f"4-bit layers compute in {', '.join(types) or 'nothing: there are none'}", types == [wanted]


def _attention(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    kernels, softmax = seen.get("attention_kernels", {}), seen.get("attention_softmaxes", 0)
    words = f"kernels: {_counted(kernels)}" + (f"; {softmax} softmaxes" if softmax else "")
    fused = [name for name in kernels if "scaled_dot_product" in name]
    if asked == "eager":
        return words, softmax > 0 and not kernels
    if asked == "sdpa":
        return words, bool(fused)
    if asked == "auto":
        return words, bool(kernels)
    part = "flex_attention" if asked == "flex_attention" else "flash_attn"
    return words, any(part in name for name in kernels)


def _compile(asked: bool, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    graphs, late = seen.get("compiled_graphs", 0), seen.get("graphs_after_warm_up", 0)
    words = f"{graphs} graphs, {late} of them after the warm-up"
    return words, "compiled_graphs" in seen and (graphs > 0) == asked


def _cuda_graphs(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    graphs = seen.get("cuda_graphs")
    return f"{graphs or 0} CUDA graphs", graphs is not None and bool(graphs) == asked


def _checkpointing(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    calls, runs = seen.get("block_calls", 0), seen.get("block_executions", 0)
    return f"blocks ran {runs} times for {calls} calls", calls > 0 and (runs > calls) == asked


def _padding(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    train = seen.get("train", {})
    if not train.get("micro_batches"):
        return "nothing was read", False
    words = f"{train['padding']:.1%} padding, {train['widths']} widths, {train['packed']} packed batches"
    if asked == "packed":
        return words, train["packed"] > 0
    if asked == "fixed":
        return words, train["widths"] == 1 and not train["packed"]
    # Padding in several batches of one width is what `fixed` does, whatever was asked for. How rows were chosen, which
    # is what tells `bucketed` from `longest`, leaves no trace in these counts.
    as_fixed = train["widths"] == 1 and train["micro_batches"] > 1 and train["padding"] > 0
    return f"{words}; bucketed and longest are not told apart", not train["packed"] and not as_fixed


def _accumulate(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    most = seen.get("micro_batches_per_step", 0)
    return f"up to {most} micro-batches a step", most == asked


def _batch_tokens(asked: int | None, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    largest, processed = (seen.get("train", {}).get(name, 0) for name in ("largest", "processed"))
    # All there is may be less than one full micro-batch; else one of them must be more than half full.
    full = asked is None or (largest <= asked and 2 * largest > min(asked, processed))
    return f"micro-batches of up to {largest} tokens, {processed} in all", largest > 0 and full


def _batch_size(asked: int, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    most = seen.get("train", {}).get("most_prompts", 0)
    if others.get("teacher.train.batch_tokens") is not None:
        return "not read, since batch_tokens is set", False
    return f"micro-batches of up to {most} prompts", 0 < most == min(asked, seen["train"]["prompts"])


def _workers(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    workers = {name: number for name, number in seen.get("batches_by_worker", {}).items() if name != "main"}
    return f"batches by worker: {_counted(seen.get('batches_by_worker', {}))}", len(workers) == asked


def _export_batch(asked: Any, seen: Mapping[str, Any], others: Mapping[str, Any]) -> Verdict:
    most, prompts = (seen.get("export", {}).get(name, 0) for name in ("most_prompts", "prompts"))
    words = f"batches of up to {most} of {prompts} prompts"
    if asked == "auto":
        return f"{words}; any size is automatic", most > 0
    # With a cache a prompt is a user's history, and those that do not grow are read apart, so a batch may be smaller.
    # Each of the folds' teachers reads the prompts of its own users, so no batch holds more than the largest fold's.
    together = seen.get("export", {}).get("together", prompts)
    right = most <= asked if others.get("export.use_cache") else most == min(asked, together)
    return words, most > 0 and right


def _use_cache(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    reused = seen.get("export", {}).get("reused", 0)
    read = seen.get("export", {}).get("micro_batches", 0)
    return f"{reused} tokens came from the cache", read > 0 and (reused > 0) == asked


def _layers(asked: int | None, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    blocks = seen.get("blocks", 0)
    return f"{blocks} blocks", blocks > 0 and asked in (None, blocks)


def _history(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    longest = seen.get("longest_history", 0)
    return f"the longest history shown has {longest} items", longest == asked


def _gate(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    kind = seen.get("gate")
    return f"the gate in use is {kind}", kind == asked


def _title_decay(asked: float, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    weight = seen.get("titles_weight") or 0.0
    # A weight of 0 is validation's choice: the likeness was computed, and then left out of every score.
    words = f"validation gave the likeness of titles the weight {weight:g}; how fast it fades is not seen"
    return words, (weight > 0) == (asked > 0)


def _title_encoder(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    found = seen.get("title_encoder")
    if not found:
        return "nothing was embedded", False
    limit = "without a limit" if found["max_tokens"] is None else f"at most {found['max_tokens']} tokens a text"
    words = f"{found['pooling']}; {limit}, {found['cut']} of {found['texts']} texts cut"
    if found.get("prompt"):
        words += f"; behind {found['prompt']!r}"
    if not found.get("modules_file", True):
        words += "; its files do not say how texts are embedded (no modules.json)"
    return words, True


def _targets(asked: str, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    train = seen.get("train", {})
    prompts, targets = train.get("prompts", 0), train.get("targets", 0)
    return f"{targets} predictions of {prompts} prompts", prompts > 0 and (targets > prompts) == (asked == "every")


def _is(fact: str, what: str) -> Any:
    """A judge of a fact that must be what was asked for."""

    def judge_one(asked: Any, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
        found = seen.get(fact)
        return f"{what}: {found}", found == asked

    return judge_one


def _adapted(asked: Sequence[str], seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    found = seen.get("adapted", [])
    return f"layers with adapters: {', '.join(found) or 'none'}", sorted(asked) == found


def _top_k(asked: int, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    length, items = seen.get("list_length", 0), seen.get("items", asked)
    return f"lists of {length} of {items} items", length == min(asked, items)


def _states(asked: bool, seen: Mapping[str, Any], _: Mapping[str, Any]) -> Verdict:
    width = seen.get("stored_state_dim")
    return f"stored user states are {width} wide", width is not None and (width > 0) == asked


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
    "teacher.activation_checkpointing": _checkpointing,
    "teacher.train.batch_size": _batch_size,
    "teacher.train.batch_tokens": _batch_tokens,
    "teacher.train.accumulate_grad_batches": _accumulate,
    "teacher.train.num_workers": _workers,
    "export.batch_size": _export_batch,
    "export.use_cache": _use_cache,
    "teacher.adapter.rank": _is("adapter_rank", "adapters' rank"),
    "teacher.adapter.experts": _is("experts", "experts that the gate weighs"),
    "teacher.adapter.layers": _adapted,
    "teacher.prompt": _is("prompt", "an item's tokens are those of a prompt of kind"),
    "teacher.head": _is("head", "the head"),
    "export.top_k": _top_k,
    "export.states": _states,
}
