"""What really ran: kernels and types watched at work, tokens counted, and for each setting whether it left a trace.

A setting is judged by what was seen, never by what was configured. One that left no trace is *not in effect*: a
measurement of it would be a measurement of nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::_int_mm")
"""Matrix products by their names in torch."""
ATTENTION = ("scaled_dot_product", "flash_attn", "flash_attention", "flex_attention")
"""Parts of the names of fused attention kernels."""
QUANTISED = "bitsandbytes::"
QUANTISED_KINDS = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}
TURNED_TO_FLOATS = ("aten::mul", "aten::_to_copy")


class KernelWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what torch is asked to run while the block runs; forward and backward alike.

    Attributes:
        products: matrix products by type (`float32`, `bfloat16`, …), those of more than `narrow` columns alone, so
            that a small adapter does not hide what the frozen layers ran in.
        attention: fused attention kernels by name; those of a forward pass with gradients, so not the student's.
        quantised: bitsandbytes' kernels by name.
        softmax: softmaxes over four-dimensional scores: attention that is not fused.
    """

    supports_higher_order_operators = True

    def __init__(self, narrow: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.narrow = narrow
        self.products: Counter[str] = Counter()
        self.attention: Counter[str] = Counter()
        self.quantised: Counter[str] = Counter()
        self.softmax = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count, then run."""
        name = func.name().split(".")[0]
        if name in PRODUCTS:
            tensors = [one for one in args if isinstance(one, torch.Tensor)][-2:]
            if min(size for one in tensors for size in one.shape[-2:]) > self.narrow:
                self.products[str(tensors[-1].dtype).removeprefix("torch.")] += 1
        elif any(part in name for part in ATTENTION) and (torch.is_grad_enabled() or "scaled_dot" not in name):
            self.attention[name] += 1
        elif torch.is_grad_enabled() and name in ("aten::_softmax", "aten::_safe_softmax") and args[0].dim() == 4:
            self.softmax += 1
        # Without kernels of its own for a machine, bitsandbytes turns 8-bit weights into floats and multiplies those.
        if name.startswith(QUANTISED) or (name in TURNED_TO_FLOATS and _is_matrix_of_bytes(args[0])):
            self.quantised[name] += 1
        return func(*args, **(kwargs or {}))

    def seen(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "products": dict(self.products), "attention_kernels": dict(self.attention),
            "quantised_kernels": dict(self.quantised), "attention_softmaxes": self.softmax,
        }  # fmt: skip


def _is_matrix_of_bytes(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.int8 and value.dim() == 2


@dataclass
class TokenCount:
    """Tokens that went through the language model.

    Attributes:
        useful: tokens of prompts.
        processed: with padding.
        prompts: prompts read.
        targets: predictions made.
        micro_batches: forward passes.
        largest: tokens of the largest micro-batch, padding counted.
        most_prompts: prompts of the largest micro-batch.
        packed: micro-batches in which prompts stood end to end.
        widths: micro-batches by width.
        reused: tokens whose keys and values came from a cache and were not computed again.
    """

    useful: int = 0
    processed: int = 0
    prompts: int = 0
    targets: int = 0
    micro_batches: int = 0
    largest: int = 0
    most_prompts: int = 0
    packed: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    reused: int = 0

    def add(self, useful: int, rows: int, width: int, prompts: int, targets: int) -> None:
        """Count one micro-batch of `rows` x `width` tokens."""
        self.useful += useful
        self.processed += rows * width
        self.prompts += prompts
        self.targets += targets
        self.micro_batches += 1
        self.largest = max(self.largest, rows * width)
        self.most_prompts = max(self.most_prompts, prompts)
        self.packed += rows < prompts
        self.widths[width] += 1

    @property
    def padding(self) -> float:
        """Share of processed tokens that is padding; 0 before the first."""
        return 1 - self.useful / self.processed if self.processed else 0.0

    def state(self) -> dict[str, Any]:
        """All of it as JSON can hold it, for :meth:`restore`."""
        return vars(self) | {"widths": {str(width): number for width, number in self.widths.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where :meth:`state` was taken."""
        for name, value in state.items():
            setattr(self, name, value)
        self.widths = Counter({int(width): number for width, number in state["widths"].items()})

    def plain(self) -> dict[str, Any]:
        """As plain values; of the widths only their number."""
        return asdict(self) | {"widths": len(self.widths), "padding": round(self.padding, 5)}


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
            `blocks`, `gate`, `train` and `export` (:meth:`TokenCount.plain`), and in a bench those of
            :mod:`recdistill.bench.facts`. A missing fact is no evidence.
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
    right = most <= asked if others.get("export.use_cache") else most == min(asked, prompts)
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
