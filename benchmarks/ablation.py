"""The ablation from the naive teacher to the package's: a training step of each variant, alternating in one process.

    recdistill fetch smollm2 && recdistill prepare --run runs/bench
    python benchmarks/ablation.py --data runs/bench/prepare --out ablation.jsonl

Each variant gives up one option more (`benchmarks/naive/options.py`). Checked first, with dropout off: that its loss,
states and gradients are those of the package's teacher on the same prompts (variants with every target: those of the
naive teacher, target by target). Then training steps are timed: making the batch, forward, loss, backward, optimiser.
In a turn all variants of one target a prompt step on the same prompts; the turns go through short and long ones.
Variants with every target read windows of `--window` items, a quarter as many of them. `every_target` alone has a gate
that sees the
targets: it stands there for its time.

Beside the ablation: `plain_lora_without_head` is PEFT's own LoRA around the bare decoder on the token batches of
`cached_tokens`; `cached_tokens_again` is that variant a second time, whose ratio to the first is the noise of this run;
`item_prompts` is `causal_gate` with one soft token an item.

Prints one line of JSON for each check, the matmul peak, each variant, and last the ratios, each with its range over the
turns. Utilisation counts the useful tokens' work alone, by the rule of `recdistill.plan.flops`: the decoder blocks
forward and their inputs' gradients (attention over the causal half only; adapters, heads and recomputation count
nothing), as a share of the peak.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor, nn

from naive.checks import computed, excite, largest_difference, single_targets
from naive.compose import PlainLora, make_training, share_frozen
from naive.lines import Lines, ratio, spread, told
from naive.options import NAIVE, NaiveOptions, ablation, can_pack
from naive.prompts import FIXED_LENGTH
from recdistill.config import GateConfig, RunConfig, TeacherConfig
from recdistill.data.batches import bucketed_batches
from recdistill.data.prepared import PreparedData
from recdistill.measure.peak import matmul_peak
from recdistill.plan.flops import causal_length, train_flops
from recdistill.plan.llm_kinds import shapes_from_config
from recdistill.students.make import make_student, save_student
from recdistill.training.checkpoint import trained_parameters
from recdistill.training.teacher import TeacherTraining

SAME = 2e-3
"""Largest difference that a check lets pass, as a share of the largest value: fp32 through thirty blocks and back."""
CHECKED_PROMPTS, CHECKED_WINDOWS = 3, 2


@dataclass
class Variant:
    """One variant and what was measured of it, a number a turn."""

    name: str
    options: NaiveOptions | None
    training: Any
    optimizer: torch.optim.Optimizer
    seconds: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    useful: list[int] = field(default_factory=list)
    processed: list[int] = field(default_factory=list)
    flops: list[float] = field(default_factory=list)

    def each(self, of: str) -> list[float]:
        """What `of` names, a second, turn by turn."""
        return [count / seconds for count, seconds in zip(getattr(self, of), self.seconds, strict=True)]


def settings(arguments: argparse.Namespace) -> RunConfig:
    """What no option decides."""
    teacher = TeacherConfig(
        llm=arguments.llm,
        layers=arguments.layers or None,
        prompt="text",
        targets="last",
        gate=GateConfig(kind="instance"),
        history_length=arguments.history,
        title_encoder="llm",
        title_decay=0.0,
        compile=arguments.compile,
    )
    return RunConfig(teacher=replace(teacher, train=replace(teacher.train, batch_size=arguments.batch)))


def random_student(config: RunConfig, data: PreparedData, folder: Path) -> Path:
    """A student of the configured shape; speed does not ask what it has learned."""
    torch.manual_seed(0)
    save_student(make_student(config.student, data.num_items), folder)
    return folder


def make_variants(
    config: RunConfig, data: PreparedData, student: Path, arguments: argparse.Namespace
) -> dict[str, Variant]:
    """The ablation's variants and those beside it, on one copy of the frozen weights."""

    def training(options: NaiveOptions, **changes: Any) -> Any:
        every = {"history_length": arguments.window} if options.targets == "every" else {}
        own = replace(config, teacher=replace(config.teacher, **(every | changes)))
        return make_training(own, options, data, student, excite, arguments.fixed_length)

    variants = ablation(can_pack())
    if arguments.variants:
        variants = {
            name: options for name, options in variants.items() if name in (*arguments.variants, "cached_tokens")
        }
    found: dict[str, tuple[NaiveOptions | None, Any]] = {
        # Compiling belongs to the package; before `cached_tokens` hooks and einsums stand in the way.
        name: (options, training(options, compile=arguments.compile and not options.tokenise_in_loop))
        for name, options in variants.items()
    }
    cached, last = variants["cached_tokens"], list(variants.values())[-1]
    found["cached_tokens_again"] = cached, training(cached)
    found["plain_lora_without_head"] = None, PlainLora(config, found["cached_tokens"][1])
    if last.gate == "causal":
        found["item_prompts"] = last, training(last, prompt="item")
    share_frozen([one.module for _, one in found.values()])
    return {name: Variant(name, options, one, make_optimizer(one.module)) for name, (options, one) in found.items()}


def make_optimizer(module: nn.Module) -> torch.optim.Optimizer:
    """AdamW with a learning rate that changes nothing to speak of."""
    return torch.optim.AdamW(trained_parameters(module).values(), lr=1e-7, fused=True)


def check_variants(variants: dict[str, Variant], naive: Callable[[NaiveOptions], Any], tell: Lines) -> None:
    """Report how far each variant is from what it must equal; stop if that is further than rounding explains."""
    reference = variants["cached_tokens"].training
    few = np.argsort(reference.lengths, kind="stable")[:: max(1, len(reference.lengths) // 7)][1 : CHECKED_PROMPTS + 1]
    expected = computed(reference, reference.collate(few))
    for name, variant in variants.items():
        if variant.options is None or name in ("cached_tokens", "item_prompts"):
            continue
        if variant.options.targets == "last":
            against, differ = (
                "package",
                largest_difference(computed(variant.training, variant.training.collate(few)), expected),
            )
        else:
            against, differ = "naive, target by target", every_difference(variant.training, variant.options, naive)
        tell({"check": name, "against": against, "largest_difference": float(f"{differ:.2e}")})
        if not differ <= SAME:
            raise SystemExit(f"{name}: this variant does not compute what it must, so its time would mean nothing")


def every_difference(training: TeacherTraining, options: NaiveOptions, naive: Callable[[NaiveOptions], Any]) -> float:
    """A variant with every target against the naive teacher; where its gate leaks, the last target's states alone."""
    windows = training.windows
    rows = np.flatnonzero((windows.lengths >= 3) & (windows.lengths <= 8))[:CHECKED_WINDOWS]
    if not len(rows):
        rows = np.argsort(windows.lengths, kind="stable")[:1]
    singles = single_targets(windows, rows)
    other = naive(replace(NAIVE, padding="bucketed", gate=options.gate))
    batch = other.batch(singles, np.arange(len(singles)))
    one, two = computed(training, training.collate(rows)), computed(other, batch)
    if not options.leaks:
        return largest_difference(one, two)
    ends = np.cumsum(windows.num_targets[rows]) - 1
    return largest_difference({"states": one["states"][ends]}, {"states": two["states"][ends]})


def batches(training: Any, size: int, turns: int, longest: int | None) -> list[np.ndarray]:
    """Whole batches of prompts of like lengths, as in training; the turns go from short to long ones.

    Args:
        training: has the prompts' lengths.
        size: prompts of a batch.
        turns: batches wanted.
        longest: leave prompts out that have more tokens; None: leave none out.
    """
    lengths = training.lengths
    kept = np.arange(len(lengths)) if longest is None else np.flatnonzero(lengths <= longest)
    plan = [kept[rows] for rows in bucketed_batches(lengths[kept], size, np.random.default_rng(0)) if len(rows) == size]
    if not plan:
        raise SystemExit(f"the data has no {size} prompts for a batch; choose smaller batches")
    plan.sort(key=lambda rows: int(lengths[rows].sum()))
    return [plan[int((turn + 0.5) * len(plan) / turns)] for turn in range(turns)]


def prompt_tokens(batch: Any) -> Tensor:
    """Tokens of each prompt, padding left out."""
    if getattr(batch, "padding", "right") == "packed":
        return torch.bincount(batch.token_prompts[batch.mask])
    tokens: Tensor = batch.mask.sum(dim=1)
    return tokens


class UsefulFlops:
    """Work of the decoder blocks on real tokens, forward and backward to the inputs."""

    def __init__(self, ranker: Any) -> None:
        self.llm = shapes_from_config(ranker.llm.config, "the language model")
        self.shapes = sorted({(outputs, inputs) for inputs, outputs in self.llm.linear_layers().values()})

    def __call__(self, tokens: Tensor) -> float:
        """FLOPs of a step on prompts of these lengths."""
        return sum(train_flops(self.llm, count, causal_length(count)) for count in tokens.tolist())


def step(variant: Variant, rows: np.ndarray) -> tuple[Any, float]:
    """One training step: the batch it was made on, and its seconds."""
    training = variant.training
    training.module.train()
    began = time.perf_counter()
    batch = training.collate(rows)
    (training.loss(batch) / training.num_targets(batch)).backward()
    variant.optimizer.step()
    variant.optimizer.zero_grad()
    return batch, time.perf_counter() - began


def measure(variants: dict[str, Variant], flops: UsefulFlops, arguments: argparse.Namespace) -> None:
    """Time all variants in turn, each turn in another random order; the first turn warms up and counts nothing."""
    lasts = batches(variants["cached_tokens"].training, arguments.batch, arguments.repeats, arguments.fixed_length)
    plans = {
        name: batches(variant.training, every_batch(name, arguments), arguments.repeats, None)
        if variant.options is not None and variant.options.targets == "every"
        else lasts
        for name, variant in variants.items()
    }
    # In a random order no variant always runs on what the same other one has left in caches and memory.
    orders, names = np.random.default_rng(1), list(variants)
    for turn in range(-1, arguments.repeats):
        for name in [names[place] for place in orders.permutation(len(names))]:
            variant, rows = variants[name], plans[name][turn]
            batch, seconds = step(variant, rows)
            if turn < 0:
                continue
            tokens = prompt_tokens(batch)
            variant.seconds.append(seconds)
            variant.rows.append(len(rows))
            variant.targets.append(variant.training.num_targets(batch))
            variant.useful.append(int(tokens.sum()))
            variant.processed.append(batch.token_ids.numel())
            variant.flops.append(flops(tokens))


def every_batch(name: str, arguments: argparse.Namespace) -> int:
    """Windows of a batch: text windows of many items are several prompts' worth of tokens."""
    size: int = arguments.batch
    return size if name == "item_prompts" else max(1, size // 4)


def variant_line(variant: Variant, peak: float) -> dict[str, Any]:
    """What was measured of a variant."""
    return {
        "variant": variant.name,
        "options": None if variant.options is None else vars(variant.options),
        **({"for_its_time_only": "the gate sees the targets"} if variant.options and variant.options.leaks else {}),
        "seconds_per_step": spread(variant.seconds, 4),
        "rows_per_second": spread(variant.each("rows")),
        "targets_per_second": spread(variant.each("targets")),
        "useful_tokens_per_second": spread(variant.each("useful"), 1),
        "padding_share": round(1 - sum(variant.useful) / sum(variant.processed), 4),
        "flops_utilisation": spread([rate / peak for rate in variant.each("flops")]),
    }


def ratios_line(variants: dict[str, Variant], peak: float) -> dict[str, Any]:
    """The figures that are asked for, of the variants that ran, with what is wanted of each."""
    cached, plain = variants["cached_tokens"], variants["plain_lora_without_head"]
    found: dict[str, Any] = {
        "step_against_plain_lora": ratio(cached.seconds, plain.seconds) | {"wanted": "at most 1.05"},
        "same_variant_twice": ratio(variants["cached_tokens_again"].seconds, cached.seconds),
        "useful_token_share": round(sum(cached.useful) / sum(cached.processed), 4),
        "flops_utilisation": spread([rate / peak for rate in cached.each("flops")]) | {"wanted": "at least 0.65"},
    }
    for name in ("every_target", "causal_gate"):
        if name in variants:
            found[f"useful_token_share_{name}"] = round(sum(variants[name].useful) / sum(variants[name].processed), 4)
            found[f"flops_utilisation_{name}"] = spread([rate / peak for rate in variants[name].each("flops")])
    if "naive" in variants:
        naive = variants["naive"]
        found["naive_step_against_ours"] = ratio(naive.seconds, cached.seconds) | {"wanted": "at least 3"}
        for name in ("causal_gate", "item_prompts"):
            if name in variants:
                gained = ratio(variants[name].each("targets"), naive.each("targets"))
                found[f"targets_per_second_{name}_against_naive"] = gained | {"wanted": "at least 30"}
        in_ablation = [
            name for name in variants if variants[name].options and name not in ("cached_tokens_again", "item_prompts")
        ]
        found["targets_per_second_against_the_arm_before"] = {
            name: ratio(variants[name].each("targets"), variants[before].each("targets"))
            for before, name in pairwise(in_ablation)
        }
    return {"ratios": found}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `prepare`")
    parser.add_argument("--out", type=Path, help="file that gets the lines too")
    parser.add_argument("--llm", default="smollm2", help="as `teacher.llm`")
    parser.add_argument("--layers", type=int, default=0, help="decoder blocks; 0: all")
    parser.add_argument("--batch", type=int, default=16, help="prompts of a step")
    parser.add_argument("--history", type=int, default=10, help="items of a prompt with one target")
    parser.add_argument("--window", type=int, default=50, help="items of a prompt with every target")
    parser.add_argument("--fixed-length", type=int, default=FIXED_LENGTH, help="tokens the naive teacher pads to")
    parser.add_argument("--repeats", type=int, default=7, help="turns that count")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak-seconds", type=float, default=2.0, help="time for each shape of the matmul peak")
    parser.add_argument(
        "--compile", action="store_true", help="compile the blocks of the variants from cached_tokens on"
    )
    parser.add_argument(
        "--variants", nargs="*", help="variants of the ablation to run, with cached_tokens; all if left out"
    )
    return parser.parse_args()


def measure_peak(flops: UsefulFlops, arguments: argparse.Namespace) -> dict[str, float]:
    """FLOP/s of matrix products: the blocks' own shapes with about the tokens of a step, and a large square one."""
    tokens = arguments.batch * arguments.history * 7
    own = [(tokens, inputs, outputs) for outputs, inputs in flops.shapes]
    return {
        "model_shapes": matmul_peak(torch.float32, "cpu", own, arguments.peak_seconds),
        "square_2048": matmul_peak(torch.float32, "cpu", None, arguments.peak_seconds),
    }


def main() -> None:
    """Check, measure, print."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    config, data, tell = settings(arguments), PreparedData.load(arguments.data), Lines(arguments.out)
    if not can_pack():
        tell({"left_out": "packed", "why": "TeacherConfig has no field `padding`; the variants after it are bucketed"})
    with tempfile.TemporaryDirectory() as temporary:
        student = random_student(config, data, Path(temporary))
        variants = make_variants(config, data, student, arguments)

        def naive(options: NaiveOptions) -> Any:
            own = replace(config, teacher=replace(config.teacher, history_length=arguments.window))
            return make_training(own, options, data, student, excite, arguments.fixed_length)

        check_variants(variants, naive, tell)
    flops = UsefulFlops(variants["cached_tokens"].training.module)
    peaks = measure_peak(flops, arguments)
    measure(variants, flops, arguments)
    # Once more behind the variants, so that other work on the machine at one moment does not make the peak a low one.
    peaks = {name: max(peaks[name], rate) for name, rate in measure_peak(flops, arguments).items()}
    tell({"matmul_peak_gflops": {name: round(rate / 1e9, 1) for name, rate in peaks.items()}})
    for variant in variants.values():
        tell(variant_line(variant, max(peaks.values())))
    tell(ratios_line(variants, max(peaks.values())) | {"settings": told(arguments)})


if __name__ == "__main__":
    main()
