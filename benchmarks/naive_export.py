"""The package's export against a naive one, by the same language model and weights, alternating in one process.

    recdistill fetch smollm2 && recdistill prepare --run runs/bench
    python benchmarks/naive_export.py --data runs/bench/prepare --out export.jsonl

The naive variant reads one prompt a target, padded to a fixed length, with the vocabulary head, and writes for each
batch a file with the scores of all items and the language model's state in fp32. The package's variants write top-K
lists and states to their store: `text_last` from the same prompts, `text_every` and `item_every` with a prediction
after every item of a window, from titles or from one soft token an item.

Checked first: of the same targets, the lists of `text_last` are those of the naive score matrix; those of `text_every`
are the ones of the naive teacher that reads each target's history by itself (with the causal gate). Then each variant
exports in turn, those of one target a prompt fewer rows. Prints a line of JSON for each check and variant, and last the
ratios. Bytes a row leave out the titles' embeddings, which are written once however many rows there are (`bytes_once`).
`peak_rss_growth_mib` is by how much the peak of the resident set of the first whole export lies above that of one batch
of the longest prompts, exported before it; `benchmarks/export.py` follows the store's memory up to a million rows.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from ablation import random_student
from export import PeakMemory
from naive.checks import excite, single_targets
from naive.compose import load_tokenizer, share_frozen
from naive.export import naive_export, read_naive_export
from naive.lines import Lines, ratio, spread, told
from naive.options import NAIVE
from naive.prompts import FIXED_LENGTH
from naive.training import NaiveTraining
from recdistill.config import ExportConfig, GateConfig, RunConfig, TeacherConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Windows
from recdistill.distill.export import export_outputs
from recdistill.distill.exportable import Growing
from recdistill.distill.outputs import EMBEDDINGS_FILE, Fingerprints, OutputsReader
from recdistill.distill.reading import top_items
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.teacher.teacher import Teacher

PRINTS = Fingerprints("benchmark", "benchmark", "random weights")
SAME = 2e-3
"""Largest difference of scores that a check lets pass: fp32 through thirty blocks."""
CHECKED = 6


class Part:
    """A teacher that exports some windows only."""

    def __init__(self, teacher: Teacher, windows: Windows) -> None:
        self.teacher, self.windows = teacher, windows
        self.state_dim, self.prompt_lengths, self.predict = teacher.state_dim, teacher.prompt_lengths, teacher.predict
        self.read, self.readers, self.trial = teacher.read, teacher.readers, teacher.trial
        self.inputs_per_prompt = teacher.inputs_per_prompt

    @property
    def growing(self) -> Growing:
        """The teacher's own."""
        return self.teacher.growing

    def export_windows(self) -> Windows:
        """The windows of this part."""
        return self.windows


@dataclass
class Variant:
    """One way to export, and what was measured of it."""

    windows: Windows
    export: Callable[[Windows, Path], tuple[int, int]]
    """Exports windows to a folder; gives the bytes that grow with the rows, and those that do not."""
    longest: Windows
    """A batch of the longest prompts among them."""
    batch_peak: float = 0.0
    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)

    @property
    def rows(self) -> int:
        """Targets of an export."""
        return int(self.windows.num_targets.sum())

    def rates(self) -> list[float]:
        """Rows a second, turn by turn."""
        return [self.rows / seconds for seconds in self.seconds]


def of_users(windows: Windows, users: np.ndarray) -> Windows:
    """The windows of some users."""
    return windows.take(np.flatnonzero(np.isin(windows.users, users)))


def spread_out(windows: Windows, count: int) -> Windows:
    """Some of the windows, evenly from all of them."""
    return windows.take(np.unique(np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(np.int64)))


def package_export(teacher: Teacher, windows: Windows, folder: Path, config: ExportConfig) -> tuple[int, int]:
    """The package's own export of some windows."""
    with Profiler() as profiler:
        export_outputs(
            Part(teacher, windows), teacher.data, teacher.titles, config, RunContext("cpu", profiler, folder), PRINTS
        )
    once = (folder / EMBEDDINGS_FILE).stat().st_size
    return json.loads((folder / "outputs.json").read_text())["bytes"] - once, once


def compare(naive: NaiveTraining, teacher: Teacher, windows: Windows, config: ExportConfig) -> float:
    """Export the windows by the package and their targets one by one naively; the largest difference of scores.

    For each target the K best scores are compared place by place, and the package's items each with the naive score of
    that very item, so that lists may differ only in the order of items that score alike.
    """
    if config.batch_size == "auto":
        raise ValueError("the naive export takes a number as its batch size")
    singles = single_targets(windows, np.arange(len(windows)))
    with new_folder() as one, new_folder() as other:
        naive_export(naive, singles, one, config.batch_size)
        package_export(teacher, windows, other, config)
        written, data = read_naive_export(one), teacher.data
        users, positions = written["keys"].astype(np.int32).T
        records = OutputsReader(other, PRINTS).require(users, positions)
        scores = torch.from_numpy(written["scores"])
        expected = top_items(scores.clone(), data, Targets(users, positions), records.top_items.shape[1], True)
        listed = scores.numpy()[np.arange(len(users))[:, None], records.top_items]
        assert (expected.items > 0).all(), "a list is shorter than K"
        by_place = np.abs(records.top_scores - expected.scores).max()
        by_item = np.abs(records.top_scores - listed).max()
    return float(np.maximum(by_place, by_item))  # NaN where either is


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that does not exist yet, in one that is removed afterwards."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "outputs"


def run(variant: Variant, windows: Windows) -> tuple[float, float]:
    """Export once: seconds, and the peak of the resident set in MiB."""
    with new_folder() as folder, PeakMemory() as memory:
        began = time.perf_counter()
        variant.size = variant.export(windows, folder)
        seconds = time.perf_counter() - began
    return seconds, memory.peak


def measure(variants: dict[str, Variant], repeats: int) -> None:
    """One batch of each variant to warm up, then all rows in turn, each turn in another random order."""
    for variant in variants.values():
        variant.batch_peak = run(variant, variant.longest)[1]
    orders, names = np.random.default_rng(1), list(variants)
    for _ in range(repeats):
        for name in [names[place] for place in orders.permutation(len(names))]:
            seconds, peak = run(variants[name], variants[name].windows)
            variants[name].seconds.append(seconds)
            variants[name].peaks.append(peak)


def variant_line(name: str, variant: Variant) -> dict[str, Any]:
    """What was measured of a variant."""
    return {
        "variant": name,
        "rows": variant.rows,
        "prompts": len(variant.windows),
        "rows_per_second": spread(variant.rates()),
        "bytes_per_row": round(variant.size[0] / variant.rows, 1),
        "bytes_once": variant.size[1],
        "peak_rss_mib": round(max(variant.peaks)),
        "peak_rss_growth_mib": round(variant.peaks[0] - variant.batch_peak, 1),
    }


def ratios_line(variants: dict[str, Variant]) -> dict[str, Any]:
    """Each variant against the naive one."""
    naive = variants["naive"]
    found = {
        name: {
            "rows_per_second": ratio(variant.rates(), naive.rates()) | {"wanted": "at least 20"},
            "naive_bytes_per_byte": round(naive.size[0] / naive.rows / (variant.size[0] / variant.rows), 1),
        }
        for name, variant in variants.items()
        if name != "naive"
    }
    return {"ratios": found, "naive_bytes_per_byte_wanted": "at least 50"}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `prepare`")
    parser.add_argument("--out", type=Path, help="file that gets the lines too")
    parser.add_argument("--llm", default="smollm2", help="as `teacher.llm`")
    parser.add_argument("--layers", type=int, default=0, help="decoder blocks; 0: all")
    parser.add_argument("--history", type=int, default=10, help="items of a prompt with one target")
    parser.add_argument("--window", type=int, default=50, help="items of a prompt with every target")
    parser.add_argument("--users", type=int, default=8, help="users whose targets are exported")
    parser.add_argument("--single-rows", type=int, default=64, help="of these targets, those one target a prompt reads")
    parser.add_argument("--batch", type=int, default=16, help="prompts of a batch")
    parser.add_argument("--top-k", type=int, default=ExportConfig().top_k)
    parser.add_argument("--fixed-length", type=int, default=FIXED_LENGTH, help="tokens the naive teacher pads to")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def make_teachers(data: PreparedData, arguments: argparse.Namespace) -> dict[str, Teacher]:
    """The package's teacher in three settings, with the same random weights."""
    one = TeacherConfig(
        llm=arguments.llm,
        layers=arguments.layers or None,
        prompt="text",
        targets="last",
        gate=GateConfig(kind="instance"),
        history_length=arguments.history,
        title_encoder="llm",
        title_decay=0.0,
    )
    every = replace(one, targets="every", gate=GateConfig(kind="causal"), history_length=arguments.window)
    settings = {"text_last": one, "text_every": every, "item_every": replace(every, prompt="item")}
    with tempfile.TemporaryDirectory() as folder:
        student = random_student(RunConfig(), data, Path(folder))
        teachers = {name: Teacher(RunConfig(teacher=own), data, student, "cpu") for name, own in settings.items()}
    for teacher in teachers.values():
        excite(teacher.ranker)
    return teachers


def single_rows(teacher: Teacher, users: np.ndarray, arguments: argparse.Namespace) -> Windows:
    """Some targets of these users, one a window, whose prompts fit the fixed length."""
    windows = of_users(teacher.export_windows(), users)
    tokens = teacher.prompt_lengths(windows)
    return spread_out(windows.take(np.flatnonzero(tokens <= arguments.fixed_length)), arguments.single_rows)


def longest_prompts(teacher: Teacher, windows: Windows, count: int) -> Windows:
    """The windows with the longest prompts."""
    return windows.take(np.argsort(-teacher.prompt_lengths(windows), kind="stable")[:count])


def main() -> None:
    """Check, measure, print."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    data, tell = PreparedData.load(arguments.data), Lines(arguments.out)
    teachers = make_teachers(data, arguments)
    config = ExportConfig(batch_size=arguments.batch, top_k=min(arguments.top_k, data.num_items), exclude_seen=True)
    tokenizer = load_tokenizer(RunConfig(teacher=teachers["text_last"].config))
    naive, stepwise = (
        NaiveTraining(teachers[name], tokenizer, options, arguments.fixed_length)
        for name, options in (("text_last", NAIVE), ("text_every", replace(NAIVE, padding="bucketed", gate="causal")))
    )
    share_frozen([*(teacher.ranker for teacher in teachers.values()), naive.module, stepwise.module])

    users = np.unique(np.linspace(0, data.num_users - 1, arguments.users).astype(np.int64))
    windows = {name: of_users(teacher.export_windows(), users) for name, teacher in teachers.items()}
    windows["text_last"] = single_rows(teachers["text_last"], users, arguments)
    shortest = windows["text_every"].take(np.argsort(windows["text_every"].lengths, kind="stable")[:1])
    for name, reader, some in (
        ("text_last", naive, spread_out(windows["text_last"], CHECKED)),
        ("text_every", stepwise, shortest),
    ):
        difference = compare(reader, teachers[name], some, config)
        tell({"check": name, "against": "naive", "largest_difference_of_scores": float(f"{difference:.2e}")})
        if not difference <= SAME:
            raise SystemExit(f"{name}: the package's scores are not those of the naive teacher")

    def naively(chosen: Windows, folder: Path) -> tuple[int, int]:
        return naive_export(naive, chosen, folder, arguments.batch), 0

    longest = {name: longest_prompts(teachers[name], windows[name], arguments.batch) for name in teachers}
    variants = {"naive": Variant(windows["text_last"], naively, longest["text_last"])}
    for name, teacher in teachers.items():
        variants[name] = Variant(windows[name], partial(package_export, teacher, config=config), longest[name])
    measure(variants, arguments.repeats)
    for name, variant in variants.items():
        tell(variant_line(name, variant))
    tell(ratios_line(variants) | {"settings": told(arguments)})


if __name__ == "__main__":
    main()
