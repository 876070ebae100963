"""Which settings keep the same numbers? A small chain is trained and scored in many ways, and compared; Markdown.

    python benchmarks/determinism.py --out docs/determinism_table.md

Each row changes one thing and compares the scores of all items after the validation histories: with those of the same
chain trained again (`training`), or with those of the same trained models (`scoring`). The difference is the largest of
a score, as a share of the largest score. A row promises the same bits, rounding (at most 1e-4), or nothing; the script
ends with status 1 where a promise is broken. Everything runs on the CPU, in a temporary folder, in some minutes.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from determinism_chain import Chain, Scores, engine_scores
from recdistill.printable import printable
from recdistill.serving.bundle import make_bundle
from recdistill.serving.onnx_engine import OnnxEngine
from tiny_llm import write_tiny_llm

Promise = Literal["same bits", "rounding", "not promised"]
ROUNDING = 1e-4
"""Largest difference, as a share of the largest score, that another order of the same sums makes."""


@dataclass(frozen=True)
class Row:
    """What was changed, and what came of it.

    Attributes:
        part: `training` or `scoring`.
        changed: what was changed.
        model: whose scores.
        promise: what holds of them.
        difference: largest difference of a score, as a share of the largest.
        same_lists: share of the lists of ten that are the same.
    """

    part: str
    changed: str
    model: str
    promise: Promise
    difference: float
    same_lists: float

    @property
    def is_kept(self) -> bool:
        """Whether the promise holds."""
        limits = {"same bits": 0.0, "rounding": ROUNDING, "not promised": float("inf")}
        return self.difference <= limits[self.promise]


def compared(part: str, changed: str, promise: Promise, before: Scores, after: Scores) -> list[Row]:
    """A row for each model."""
    rows = []
    for model, scores in after.items():
        largest = float(np.abs(before[model]).max())
        difference = float(np.abs(scores - before[model]).max()) / largest
        lists = [np.argsort(-one, axis=1, kind="stable")[:, :10] for one in (before[model], scores)]
        same = float((lists[0] == lists[1]).all(axis=1).mean())
        rows.append(Row(part, changed, model, promise, difference, same))
    return rows


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of torch for the time of the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_rows(folder: Path, llm: Path, first: Chain) -> Iterator[Row]:
    """The same chain trained in other ways."""
    before = first.scores()
    again = Chain(folder / "again", llm).train_elsewhere()
    yield from compared("training", "another process", "same bits", before, again.scores())
    stopped, stops = Chain(folder / "stopped", llm).train_interrupted(1.0)
    if not stops:
        raise SystemExit("determinism: the chain was over before it could be stopped")
    yield from compared("training", f"stopped {stops} times and resumed", "same bits", before, stopped.scores())
    workers: dict[str, Any] = {f"{one}__train__num_workers": 1 for one in ("student", "teacher", "distill")}
    helped = Chain(folder / "workers", llm, **workers).train()
    yield from compared("training", "batches made by a worker (`num_workers: 1`)", "same bits", before, helped.scores())
    exported = Chain(folder / "export", llm, export__batch_size=3).train()
    yield from compared("training", "`export.batch_size: 3`", "not promised", before, exported.scores())
    two = Chain(folder / "threads", llm, threads=2).train()
    yield from compared("training", "`threads: 2`", "not promised", before, two.scores())
    pieces: dict[str, Any] = {"student__train__batch_size": 8, "student__train__accumulate_grad_batches": 2}
    pieced = Chain(folder / "pieces", llm, **pieces).train()
    name = "`student.train.batch_size: 8`, `accumulate_grad_batches: 2` in place of 16 and 1"
    yield from compared("training", name, "not promised", before, pieced.scores())
    torch.set_num_threads(1)


def student_rows(chain: Chain, model: str = "distilled") -> Iterator[Row]:
    """A trained student, read in other ways."""
    folder, histories = make_bundle(chain.folder, int8=True), chain.histories()

    def row(changed: str, promise: Promise, before: Any, after: Any) -> Iterator[Row]:
        yield from compared("scoring", changed, promise, {model: before}, {model: after})

    torch_scores = chain.student_scores(model)
    yield from row("a history alone, by torch", "rounding", torch_scores, chain.student_scores(model, together=1))
    with threads(2):
        yield from row("two threads, by torch", "rounding", torch_scores, chain.student_scores(model))
    engine = OnnxEngine(folder / "model.onnx", folder / "item_vectors.npy", 10)
    onnx_scores = engine_scores(engine, histories, 10_000)
    yield from row("a bundle (onnxruntime) in torch's place", "rounding", torch_scores, onnx_scores)
    yield from row("a history alone, in a bundle", "rounding", onnx_scores, engine_scores(engine, histories, 1))
    small = OnnxEngine(folder / "model.int8.onnx", folder / "item_vectors.npy", 10, alone=True)
    int8_scores = engine_scores(small, histories, 10_000)
    yield from row("a bundle in 8 bits", "not promised", onnx_scores, int8_scores)
    yield from row("a history alone, in 8 bits", "same bits", int8_scores, engine_scores(small, histories, 1))


def teacher_rows(chain: Chain, with_compile: bool) -> Iterator[Row]:
    """A trained teacher, read in other ways."""
    changes: list[tuple[str, Promise, dict[str, Any]]] = [
        ("the same again", "same bits", {}),
        ("a prompt alone", "rounding", {"together": 1}),
        ("`teacher.padding: fixed`", "rounding", {"padding": "fixed"}),
        ("`teacher.padding: longest`", "rounding", {"padding": "longest"}),
        ("`teacher.padding: packed`", "rounding", {"padding": "packed"}),
        ("`teacher.attention: eager`", "rounding", {"attention": "eager"}),
        ("`teacher.precision: bf16`", "not promised", {"precision": "bf16"}),
        ("`teacher.quantization: nf4`", "not promised", {"quantization": "nf4"}),
    ]
    if with_compile:
        changes.append(("`teacher.compile: true`", "rounding", {"compile": True}))
    before = {"teacher": chain.teacher_scores()}
    with threads(2):
        yield from compared("scoring", "two threads", "rounding", before, {"teacher": chain.teacher_scores()})
    for changed, promise, settings in changes:
        yield from compared("scoring", changed, promise, before, {"teacher": chain.teacher_scores(**settings)})


def as_markdown(rows: list[Row]) -> str:
    """The table."""
    lines = ["| | changed | model | what holds | largest difference | same lists |", "|---|---|---|---|---|---|"]
    for row in rows:
        difference = "0" if row.difference == 0 else f"{row.difference:.1e}"
        cells = (row.part, row.changed, row.model, row.promise, difference, f"{100 * row.same_lists:.0f} %")
        lines.append(f"| {' | '.join(cells)} |")
    return printable("\n".join(lines)) + "\n"


def measured(folder: Path, training: bool, with_compile: bool, told: Callable[[Row], object]) -> list[Row]:
    """All rows, each told as it is there."""
    os.environ["RECDISTILL_CACHE"] = str(folder / "cache")
    torch.set_num_threads(1)
    llm = write_tiny_llm(folder / "llm")
    first = Chain(folder / "first", llm).train()
    rows: list[Row] = []
    parts = [student_rows(first), teacher_rows(first, with_compile)]
    for part in [training_rows(folder, llm, first), *parts] if training else parts:
        for row in part:
            told(row)
            rows.append(row)
    return rows


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="Markdown file to write.")
    parser.add_argument("--scoring-only", action="store_true", help="Train once, and only read in other ways.")
    parser.add_argument("--compile", action="store_true", help="Also compiled: minutes of the C++ compiler.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = measured(
            Path(name),
            not options.scoring_only,
            options.compile,
            lambda row: sys.stdout.write(json.dumps(asdict(row), ensure_ascii=False) + "\n"),
        )
    if options.out:
        options.out.write_text(as_markdown(rows), encoding="utf-8")
    sys.exit(int(not all(row.is_kept for row in rows)))


if __name__ == "__main__":
    main()
