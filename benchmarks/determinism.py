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
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray

from recdistill.config import RunConfig
from recdistill.config.settings import nested, run_config
from recdistill.data.prepared import PreparedData
from recdistill.interruption import Interrupted, handled_signals
from recdistill.pipeline import run as run_chain
from recdistill.printable import printable
from recdistill.serving.bundle import make_bundle
from recdistill.serving.onnx_engine import OnnxEngine
from recdistill.serving.torch_engine import TorchEngine
from recdistill.steps import Step
from recdistill.students.make import load_student
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import load_teacher
from tiny_llm import write_tiny_llm

Promise = Literal["same bits", "rounding", "not promised"]
Scores = dict[str, NDArray[np.float32]]
"""Model → scores (targets, N)."""
ROUNDING = 1e-4
"""Largest difference, as a share of the largest score, that another order of the same sums makes."""
SETTINGS = {
    "data.source": "planted",
    "data.planted.users": 120,
    "data.planted.items": 300,
    "data.planted.topics": 8,
    "device": "cpu",
    "threads": 1,
    "student.embedding_dim": 64,
    "student.num_layers": 1,
    "student.max_length": 10,
    "student.train.max_epochs": 4,
    "student.train.batch_size": 16,
    "teacher.layers": 2,
    "teacher.history_length": 10,
    "teacher.title_dim": 8,
    "teacher.title_encoder": "llm",
    "teacher.head_dim": 8,
    "teacher.train.max_epochs": 2,
    "teacher.train.batch_size": 16,
    "export.top_k": 10,
    "distill.top_k": 5,
    "distill.train.max_epochs": 2,
    "distill.train.batch_size": 16,
}


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


class Chain:
    """A chain in a folder, and the scores of its models."""

    def __init__(self, folder: Path, llm: Path, **settings: Any) -> None:
        said = SETTINGS | {"teacher.llm": str(llm), "run": str(folder)}
        self.folder, self.settings = folder, said | {key.replace("__", "."): one for key, one in settings.items()}
        self.config: RunConfig = run_config(nested(self.settings))

    def train(self, until: Step = "distill") -> "Chain":
        """Train it in this process."""
        run_chain(self.config, until=until)
        return self

    def train_elsewhere(self, until: Step = "distill") -> "Chain":
        """Train it in a process of its own."""
        words = [f"--{key}={value}" for key, value in self.settings.items()]
        subprocess.run([sys.executable, "-m", "recdistill", until, "--quiet", *words], check=True)
        return self

    def train_interrupted(self, seconds: float) -> tuple["Chain", int]:
        """Train it, with a SIGTERM again and again after some seconds; it, and how often it was stopped."""
        stops = 0
        while True:
            timer = threading.Timer(seconds * 1.15**stops, os.kill, (os.getpid(), signal.SIGTERM))
            timer.start()
            try:
                with handled_signals(quiet=True):
                    run_chain(self.config, until="distill")
                    timer.cancel()
                return self, stops
            except Interrupted:
                stops += 1
            finally:
                timer.cancel()

    @property
    def data(self) -> PreparedData:
        """The prepared data."""
        return PreparedData.load(self.folder / "prepare")

    def histories(self) -> list[list[int]]:
        """Histories before the validation targets."""
        data, targets = self.data, self.data.targets("validation")
        pairs = zip(targets.users.tolist(), targets.positions.tolist(), strict=True)
        return [data.history(user, position).tolist() for user, position in pairs]

    def student_scores(self, model: str, together: int = 10_000) -> NDArray[np.float32]:
        """A student's scores by torch, of so many histories at a time."""
        return engine_scores(TorchEngine(load_student(self.folder / model)), self.histories(), together)

    def teacher_scores(self, together: int = 10_000, **settings: Any) -> NDArray[np.float32]:
        """The teacher's scores, read with other settings than it was trained with, of so many histories at a time.

        The language model's part counts fully, whatever weight validation has given it, so that it is what is compared.
        """
        config, data = replace(self.config, teacher=replace(self.config.teacher, **settings)), self.data
        loaded = load_teacher(config, data, self.folder / "student", self.folder / "teacher", "cpu")
        targets, scorer = data.targets("validation"), TeacherScorer(loaded)
        with torch.inference_mode():
            loaded.ranker.head.correction_weight.fill_(1.0)
            rows = [slice(start, start + together) for start in range(0, len(targets), together)]
            parts = [scorer.score(targets.users[some], targets.positions[some]) for some in rows]
            return torch.cat(parts).numpy()[:, 1:]

    def scores(self) -> Scores:
        """All three models' scores, as they were trained to be read."""
        found = {model: self.student_scores(model) for model in ("student", "distilled")}
        return {"student": found["student"], "teacher": self.teacher_scores(), "distilled": found["distilled"]}


def engine_scores(engine: TorchEngine | OnnxEngine, histories: list[list[int]], together: int) -> NDArray[np.float32]:
    """Scores (histories, N) of an engine, of so many histories at a time."""
    parts = [engine.states(histories[start : start + together]) for start in range(0, len(histories), together)]
    # One by one, so that only the model itself and not the product behind it is given another batch.
    found: NDArray[np.float32] = np.stack([state @ engine.item_vectors[1:].T for state in np.concatenate(parts)])
    return found


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
    yield from compared("training", f"stopped {stops} times and gone on", "same bits", before, stopped.scores())
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
