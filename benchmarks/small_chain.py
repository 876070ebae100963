"""A chain of all commands on data of a few dozen users, run in processes that are forked from one with all imports.

`torture.py` and `damage.py` disturb it. A process costs a tenth of a second instead of ten: the parent has imported the
package and has run nothing of torch.
"""

import csv
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recdistill.cli import main
from recdistill.experiments.bench import cell, runner
from recdistill.experiments.tune import tune  # noqa: F401 (imported before the fork)
from recdistill.serving import bundle, new_items  # noqa: F401
from recdistill.serving.onnx_graph import student_graph  # noqa: F401
from tiny_llm import write_tiny_llm

ITEMS, USERS = 24, 40
SETTINGS: dict[str, object] = {
    "threads": 1,
    "device": "cpu",
    "data.source": "csv",
    "student.embedding_dim": 16,
    "student.num_layers": 1,
    "student.max_length": 10,
    "student.train.max_epochs": 2,
    "student.train.batch_size": 16,
    "student.train.checkpoint_seconds": 0,
    "teacher.layers": 1,
    "teacher.history_length": 10,
    "teacher.title_dim": 8,
    "teacher.title_encoder": "llm",
    "teacher.title_decay": 0.0,
    "teacher.head_dim": 8,
    "teacher.train.max_epochs": 1,
    "teacher.train.batch_size": 16,
    "teacher.train.checkpoint_seconds": 0,
    "export.top_k": 10,
    "export.batch_size": 8,
    "export.shard_rows": 64,
    "distill.top_k": 5,
    "distill.train.max_epochs": 1,
    "distill.train.batch_size": 16,
    "distill.train.checkpoint_seconds": 0,
    "evaluate.candidates": 5,
    "evaluate.bootstrap_samples": 20,
    "evaluate.permutations": 20,
}
STUDY = """
name: small
config: base.yaml
seeds: [1]
base: {{teacher.kind: second_student, teacher.train.max_epochs: 1}}
variants: {{main: {{}}, heavier: {{distill.weight: 2.0}}}}
"""
BENCH = """
name: small
rows: 16
validation_users: 6
test_rows: 4
export_rows: 8
repeats: 3
threads: 1
cell_seconds: 100
base:
{base}
cells: {{base: {{}}, base-again: {{}}}}
sections: [{{name: all, cells: [base-again]}}]
"""
THE_BENCHS_OWN = ("threads", "evaluate.candidates", "teacher.train.max_epochs", "teacher.train.checkpoint_seconds")
ONLY: list[str] = []
"""Commands of a lap; empty: all. Filled by `--only`, for tests."""
VOLATILE = ("manifest.json", "timings.json", "memory.json", "report.md", "report.html", "README.md", "study.journal")
"""Files with times in them: that they are there is compared, and of manifests what does not tell a time."""
TIMES: tuple[str, ...] = ("seconds", "started", "finished", "when", "made", "attempts", "environment")
TIMES += ("checksum", "files", "fingerprint", "ends")
"""Keys that tell a time, or follow from one."""


SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
"""Of the language model: one block."""


def write_inputs(folder: Path) -> None:
    """Interactions, items, new items, a random language model, and the files of a study, a space and a matrix."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    with (folder / "events.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "timestamp"])
        for user in range(USERS):
            steps = generator.choice([1, 1, 1, 2], size=generator.integers(6, 13))
            walk = (generator.integers(ITEMS) + np.cumsum(steps)) % ITEMS + 1
            rows.writerows([f"u{user}", f"i{item}", 10 * place] for place, item in enumerate(walk))
    titles = "".join(f"i{item},Film {item}\n" for item in range(1, ITEMS + 1))
    (folder / "items.csv").write_text(f"item_id,title\n{titles}")
    (folder / "new.csv").write_text("item_id,title\nn1,Film 100\nn2,Film 7 again\n")
    write_tiny_llm(folder / "llm", **SHAPE)
    settings = SETTINGS | {
        "data.path": str(folder / "events.csv"),
        "data.items_path": str(folder / "items.csv"),
        "teacher.llm": str(folder / "llm"),
    }
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
    (folder / "base.yaml").write_text(lines)
    (folder / "study.yaml").write_text(STUDY.format())
    (folder / "space.yaml").write_text("student.dropout: {low: 0.1, high: 0.5}\n")
    bench = {key: value for key, value in settings.items() if key not in THE_BENCHS_OWN}
    (folder / "bench.yaml").write_text(
        BENCH.format(base="".join(f"  {key}: {json.dumps(value)}\n" for key, value in bench.items()))
    )


def chain(inputs: Path, lap: Path) -> dict[str, list[str]]:
    """The commands of one lap by name, in their order; each resumes where it was interrupted."""
    run, config = lap / "run", ["--config", str(inputs / "base.yaml")]
    every = {
        "run": ["run", *config, "--run", str(run)],
        "bundle": ["bundle", str(run)],
        "add-items": ["add-items", str(run), str(inputs / "new.csv"), "--out", str(lap / "more")],
        "study": ["study", str(inputs / "study.yaml"), "--out", str(lap / "study")],
        "tune": [
            "tune", *config, "--run", str(lap / "tuned"), "--space", str(inputs / "space.yaml"), "--trials=3",
            "--startup=1", "--prune_after=1",
        ],
        "bench": ["bench", str(inputs / "bench.yaml"), "--out", str(lap / "bench")],
    }  # fmt: skip
    return {name: words for name, words in every.items() if not ONLY or name in ONLY}


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (negative: by that signal), and what it said."""

    status: int
    said: str

    @property
    def lines(self) -> list[str]:
        """The lines that tell an error."""
        return [line for line in self.said.splitlines() if line.startswith("recdistill: error:")]

    @property
    def is_told(self) -> bool:
        """Whether it ended with one line and status 2."""
        return self.status == 2 and len(self.lines) == 1 and "Traceback" not in self.said


def start(words: Sequence[str], log: Path, cache: Path, prepare: Callable[[], object] | None = None) -> int:
    """Fork a process that runs a command in a session of its own; `prepare` is called in it first.

    Returns:
        Its number.
    """
    child = os.fork()
    if child:
        return child
    status, before = 99, set(sys.modules)
    try:
        os.setsid()
        # A shell has what it starts in the background pass over Ctrl-C; a command that a person starts does not.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ["RECDISTILL_CACHE"] = str(cache)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        fork_cells()
        if prepare is not None:
            prepare()
        status = main([*words])
        sys.stdout.flush()
        log.with_suffix(".modules").write_text(json.dumps(sorted(set(sys.modules) - before)))
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    except BaseException:  # noqa: BLE001 (its traceback is what is looked for)
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait(process: int, log: Path) -> Ended:
    """Wait for a process's end, and end what it started."""
    _, status = os.waitpid(process, 0)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace") if log.is_file() else "")


def fork_cells() -> None:
    """From here on the cells of a bench are forked from its process, which has imported all that they need."""
    setattr(runner._Bench, "_process", forked_cell)  # noqa: B010 (it is a method)


def forked_cell(bench: Any, files: list[str], log: int, name: str) -> int | None:
    """A cell of the bench, forked instead of started anew."""
    child = os.fork()
    if not child:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os._exit(cell.main(files))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


_settled: list[Path] = []


def settle(folder: Path) -> None:
    """Import whatever an undisturbed lap imports, and take it out of the garbage collector's way; once a process."""
    if _settled:
        return
    _settled.append(folder)
    torch.set_num_threads(1)
    (folder / "warm").mkdir()
    for name, words in chain(folder / "inputs", folder / "warm").items():
        log = folder / f"warm-{name}.log"
        ended = wait(start(words, log, folder / "cache"), log)
        if ended.status:
            raise SystemExit(f"{name}: {ended.said[-2000:]}")
        for module in json.loads(log.with_suffix(".modules").read_text()):
            with suppress(Exception):
                importlib.import_module(module)
    gc.collect()
    gc.freeze()


def state_of(lap: Path) -> dict[str, str]:
    """Each file of a lap, hidden ones too, with a digest of what in it tells no time."""
    paths = (path for path in sorted(lap.rglob("*")) if path.is_file() and "tensorboard" not in path.parts)
    return {path.relative_to(lap).as_posix(): _digest(path, lap) for path in paths if "logs" not in path.parts}


def _digest(path: Path, lap: Path) -> str:
    try:
        return _digest_without_times(path, lap)
    except (ValueError, KeyError, TypeError):  # what was damaged on purpose, and left so, is itself and nothing else
        return sha256(path.read_bytes()).hexdigest()


def _digest_without_times(path: Path, lap: Path) -> str:
    if path.name == "manifest.json":
        said = json.loads(path.read_text())
        kept: object = [said[key] for key in ("step", "status", "fingerprint", "inputs", "config", "code")]
        kept = [kept, sorted(said["files"])]
    elif path.name in VOLATILE or path.suffix in (".svg", ".html", ".md"):
        return "there"
    elif path.name == "results.jsonl":
        rows = map(json.loads, path.read_text().splitlines())
        kept = sorted([row["cell"], row["repeat"], row["fingerprint"], row["status"]] for row in rows)
    elif path.suffix in (".json", ".jsonl"):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        kept = [_without_times(json.loads(line)) for line in lines]
    elif path.suffix == ".yaml":
        kept = path.read_text().replace(str(lap), "")
    elif path.name == "training.csv":
        kept = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
    else:
        return sha256(path.read_bytes()).hexdigest()
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(one) for key, one in value.items() if key not in TIMES and "seconds" not in key}
    return [_without_times(one) for one in value] if isinstance(value, list) else value


def differences(one: dict[str, str], other: dict[str, str]) -> Iterator[str]:
    """Files that are in one of two states alone, or differ."""
    for name in sorted(set(one) | set(other)):
        if one.get(name) != other.get(name):
            where = "differs" if name in one and name in other else "left over" if name in one else "missing"
            yield f"{name}: {where}"
