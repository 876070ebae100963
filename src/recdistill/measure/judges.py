"""How each setting is told from what was seen: the words for the report, and whether it was in effect."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recdistill.languages import Message, message
from recdistill.measure.evidence import QUANTISED_KINDS
from recdistill.measure.facts import Seen

Asked = Mapping[str, object]
"""Dotted settings with their values, beside which one is judged."""
NOTHING = message("none")
TYPES = {
    "fp32": ("float32", "float32"),
    "bf16": ("bfloat16", "bfloat16"),
    "fp16": ("float16", "float16"),
    "bf16-mixed": ("float32", "bfloat16"),
    "fp16-mixed": ("float32", "float16"),
}
"""Precision → type of the frozen weights, type of the products."""

Found = tuple[Message | tuple[Message, ...], bool]
Judge = Callable[[Any, Seen, Asked], Found]
"""A setting's value, what was seen, all settings → the words, and whether it was in effect."""


def _counted(counts: Mapping[str, int]) -> str | Message:
    ordered = sorted(counts.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} x {number}" for name, number in ordered) or NOTHING


def _listed(names: Sequence[str]) -> str | Message:
    return ", ".join(name.removeprefix("torch.") for name in names) or NOTHING


def precision_types(asked: str, seen: Seen, others: Asked) -> Found:
    products = seen.get("products", {})
    frozen, product = TYPES[asked]
    if others.get("teacher.quantization") == "nf4" and others.get("teacher.compute_dtype", "auto") != "auto":
        product = TYPES[str(others["teacher.compute_dtype"])][1]
    most = max(products, key=lambda name: products[name], default=None)
    types = seen.get("frozen_dtypes", [])
    right = most == product or (bool(seen.get("quantised_kernels")) and not products)
    words = message("seen_products", products=_counted(products), frozen=_listed(types))
    return words, right and f"torch.{frozen}" in types


def quantization(asked: str, seen: Seen, _: Asked) -> Found:
    layers, kernels = seen.get("quantised_layers", 0), seen.get("quantised_kernels", {})
    words: tuple[Message, ...] = (message("seen_quantised", layers=layers, kernels=_counted(kernels)),)
    if layers and "quantised_share" in seen:
        words += (message("seen_quantised_share", share=f"{seen['quantised_share']:.0%}"),)
    if asked == "none":
        return words, seen.get("quantised_layers") == 0
    kinds = seen.get("quantised_kinds", [])
    return words, layers > 0 and bool(kernels) and kinds == [QUANTISED_KINDS[asked]]


def double(asked: bool, seen: Seen, others: Asked) -> Found:
    nested, layers = seen.get("double_quantised_layers", 0), seen.get("quantised_layers", 0)
    if others.get("teacher.quantization") != "nf4":
        return message("seen_no_four_bit"), False
    return message("seen_double", nested=nested, layers=layers), layers > 0 and nested == (layers if asked else 0)


def compute(asked: str, seen: Seen, others: Asked) -> Found:
    wanted = TYPES[str(others.get("teacher.precision", "fp32")) if asked == "auto" else asked][1]
    types = seen.get("compute_dtypes", [])
    words = message("seen_compute", types=_listed(types)) if types else message("seen_no_four_bit")
    return words, types == [f"torch.{wanted}"]


def attention_kernel(asked: str, seen: Seen, _: Asked) -> Found:
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


def compiled(asked: bool, seen: Seen, others: Asked) -> Found:
    graphs, late = seen.get("compiled_graphs", 0), seen.get("graphs_after_warm_up", 0)
    words = message("seen_graphs", graphs=graphs, late=late)
    return words, "compiled_graphs" in seen and (graphs > 0) == asked


def cuda_graphs(asked: bool, seen: Seen, _: Asked) -> Found:
    graphs = seen.get("cuda_graphs")
    return message("seen_cuda_graphs", graphs=graphs or 0), graphs is not None and bool(graphs) == asked


def checkpointing(asked: bool, seen: Seen, _: Asked) -> Found:
    calls, runs = seen.get("block_calls", 0), seen.get("block_executions", 0)
    return message("seen_block_runs", runs=runs, calls=calls), calls > 0 and (runs > calls) == asked


def padding(asked: str, seen: Seen, _: Asked) -> Found:
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


def accumulate(asked: int, seen: Seen, _: Asked) -> Found:
    most = seen.get("micro_batches_per_step", 0)
    return message("seen_accumulated", most=most), most == asked


def batch_tokens(asked: int | None, seen: Seen, _: Asked) -> Found:
    train = seen.get("train", {})
    largest, processed = train.get("largest", 0), train.get("processed", 0)
    # All there is may be less than one full micro-batch; else one of them must be more than half full.
    share = asked if asked is None else -(-asked // seen.get("processes", 1))
    full = asked is None or share is None or (largest <= asked and 2 * largest > min(share, processed))
    return message("seen_batch_tokens", largest=largest, total=processed), largest > 0 and full


def batch_size(asked: int, seen: Seen, others: Asked) -> Found:
    most = seen.get("train", {}).get("most_prompts", 0)
    if others.get("teacher.train.batch_tokens") is not None:
        return message("seen_batch_size_unread"), False
    share = -(-min(asked, seen["train"]["prompts"]) // seen.get("processes", 1))
    return message("seen_batch_size", most=most), 0 < most == share


def workers(asked: int, seen: Seen, _: Asked) -> Found:
    workers = {name: number for name, number in seen.get("batches_by_worker", {}).items() if name != "main"}
    words = message("seen_workers", workers=_counted(seen.get("batches_by_worker", {})))
    return words, len(workers) == asked


def export_batch(asked: Any, seen: Seen, others: Asked) -> Found:
    export = seen.get("export", {})
    most, prompts = export.get("most_prompts", 0), export.get("prompts", 0)
    words = message("seen_export_batch", most=most, prompts=prompts)
    if asked == "auto":
        return (words, message("seen_any_size")), most > 0
    # With a cache a prompt is a user's history, and those that do not grow are read apart, so a batch may be smaller.
    # Each of the folds' teachers reads the prompts of its own users, so no batch holds more than the largest fold's.
    together = seen.get("together", prompts)
    right = most <= asked if others.get("export.use_cache") else most == min(asked, together)
    return words, most > 0 and right


def use_cache(asked: bool, seen: Seen, _: Asked) -> Found:
    reused = seen.get("export", {}).get("reused", 0)
    read = seen.get("export", {}).get("micro_batches", 0)
    return message("seen_reused", tokens=reused), read > 0 and (reused > 0) == asked


def blocks(asked: int | None, seen: Seen, _: Asked) -> Found:
    blocks = seen.get("blocks", 0)
    return message("seen_blocks", blocks=blocks), blocks > 0 and asked in (None, blocks)


def history(asked: int, seen: Seen, _: Asked) -> Found:
    longest = seen.get("longest_history", 0)
    return message("seen_history", items=longest), longest == asked


def windows(asked: str, seen: Seen, _: Asked) -> Found:
    """Attention slides where a sequence is longer than its window; else a sequence is a window like any other."""
    longest, window = seen.get("longest_sequence", 0), seen.get("longest_history", 0)
    slides = longest > window > 0
    return message("seen_sequences", items=longest, window=window), slides == (asked == "sliding")


def gate_kind(asked: str, seen: Seen, _: Asked) -> Found:
    kind = seen.get("gate")
    return message("seen_gate", kind=str(kind)), kind == asked


def targets(asked: str, seen: Seen, _: Asked) -> Found:
    train = seen.get("train", {})
    prompts, targets = train.get("prompts", 0), train.get("targets", 0)
    return message("seen_targets", targets=targets, prompts=prompts), prompts > 0 and (targets > prompts) == (
        asked == "every"
    )


def is_exactly(fact: str) -> Judge:
    """A judge of a fact that must be what was asked for."""

    def judge_one(asked: Any, seen: Seen, _: Asked) -> Found:
        found = seen.get(fact)
        return message(f"seen_{fact}", found=NOTHING if found is None else str(found)), found == asked

    return judge_one


def adapted(asked: Sequence[str], seen: Seen, _: Asked) -> Found:
    found = seen.get("adapted", [])
    return message("seen_adapted", layers=_listed(found)), sorted(asked) == found


def top_k(asked: int, seen: Seen, _: Asked) -> Found:
    length, items = seen.get("list_length", 0), seen.get("items", asked)
    return message("seen_lists", length=length, items=items), length == min(asked, items)


def states(asked: bool, seen: Seen, _: Asked) -> Found:
    width = seen.get("stored_state_dim")
    return message("seen_states", width=NOTHING if width is None else str(width)), width is not None and (
        width > 0
    ) == asked
