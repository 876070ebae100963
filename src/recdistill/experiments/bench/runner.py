"""Run what is missing of a matrix: each cell a process of its own, in turns, within its time."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from recdistill import pipeline
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.experiments.bench.matrix import BASE, BenchCell, Matrix
from recdistill.experiments.bench.results import (
    FINISHED,
    Outcome,
    Row,
    Status,
    add_row,
    drop_damaged_rows,
    read_rows,
    results_of,
)
from recdistill.experiments.bench.spec import CellSpec, plain_settings
from recdistill.interruption import Interrupted
from recdistill.language_models.backbone import check_llm, check_machine
from recdistill.languages import message
from recdistill.pipeline.memory import advice
from recdistill.storage.files import clear_temporary, write_json, write_text
from recdistill.storage.run_folder import RunFolder
from recdistill.storage.typed import read_typed, typed

logger = logging.getLogger("recdistill")

SHARED = "shared"
"""The run whose data and student all cells stand on."""
LOGS = "logs"
WORK = "work"
GRACE_SECONDS = 10.0
"""How long a cell that is told to end may take for it."""
NO_MEMORY = ("can't allocate memory", "out of memory", "Cannot allocate memory", "std::bad_alloc")
TITLE_KEYS = ("llm", "precision", "quantization", "double_quantization", "compute_dtype", "attention")
"""Settings of the teacher that change the titles' embeddings, which are made once and kept in the user's cache."""


def run_bench(matrix: Matrix, out: Path, only: Collection[str] = (), retry: bool = False) -> None:
    """Run every turn of every cell that has no row yet; a cell that fails is a row, and the next one's turn comes.

    Args:
        matrix: the experiment.
        out: its folder; gets `results.jsonl`, `matrix.yaml`, `logs/` and, for what all cells share, `shared/`.
        only: these cells alone; empty: all.
        retry: run cells again that ended badly.

    Raises:
        UserError: `only` names no cell, the shared data or student cannot be made, or the folder is in use.
    """
    for name in only:
        if name not in matrix.cells:
            raise UserError(f"only: no cell is called {name!r}; there are {', '.join(matrix.cells)}")
    with RunFolder(out).lock():
        drop_damaged_rows(out)
        clear_temporary(out)
        todo = _todo(matrix, out, only, retry)
        write_text(out / "matrix.yaml", matrix.text)
        if not todo:
            logger.info("bench: every cell has been run, nothing to do")
            return
        device = pipeline.choose_device(matrix.cells[BASE].config.device)
        bench = _Bench(matrix, out, device)
        bench.share()
        bench.embed_titles([cell for _, cell in todo])
        for number, (turn, cell) in enumerate(todo, start=1):
            if turn not in results_of(matrix, read_rows(out)).due(cell.name) and not retry:
                continue
            row = bench.run(cell, turn)
            add_row(out, row)
            end = row["status"] if row["status"] == FINISHED else f"{row['status']} ({row['reason']})"
            place = f"{number} of {len(todo)}, turn {turn} of {matrix.repeats}"
            logger.info("bench: %s (%s): %s, %.0f s", cell.name, place, end, row["seconds"])
        shutil.rmtree(out / WORK, ignore_errors=True)


def turns(matrix: Matrix) -> Iterator[tuple[int, BenchCell]]:
    """Every (turn, cell); each turn starts at another place of the list, so that no cell is always first or last."""
    cells = list(matrix.cells.values())
    for turn in range(1, matrix.repeats + 1):
        start = (turn - 1) * len(cells) // matrix.repeats
        for cell in cells[start:] + cells[:start]:
            yield turn, cell


def _todo(matrix: Matrix, out: Path, only: Collection[str], retry: bool) -> list[tuple[int, BenchCell]]:
    results = results_of(matrix, read_rows(out))

    def missing(turn: int, cell: BenchCell) -> bool:
        if retry:
            return turn not in results.finished(cell.name)
        return turn in results.due(cell.name)

    return [(turn, cell) for turn, cell in turns(matrix) if (not only or cell.name in only) and missing(turn, cell)]


@dataclass
class _Bench:
    """The folder and the machine that the cells run on."""

    matrix: Matrix
    out: Path
    device: str

    def share(self) -> None:
        """Prepare data and student, once, by the pipeline's own steps."""
        config = self.matrix.cells[BASE].config
        pipeline.run(replace(config, run=str(self.out / SHARED), threads=self.matrix.threads), until="student")

    def embed_titles(self, cells: list[BenchCell]) -> None:
        """Fill the cache of title embeddings, each kind in its own process, so that no cell pays for another."""
        results = results_of(self.matrix, read_rows(self.out))
        done = {_title_kind(cell) for cell in self.matrix.cells.values() if results.finished(cell.name)}
        for cell in cells:
            if _title_kind(cell) in done or self._refusal(cell):
                continue
            done.add(_title_kind(cell))
            logger.info("bench: title embeddings as %s needs them", cell.name)
            self.run(cell, 0, titles_only=True)

    def run(self, cell: BenchCell, turn: int, titles_only: bool = False) -> Row:
        """One cell in a process of its own, killed with all its children when its time is over."""
        name = f"{cell.name}-{turn}"
        started, began = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        row: Row = {
            "status": "refused",
            "reason": self._refusal(cell),
            "cell": cell.name,
            "repeat": turn,
            "fingerprint": cell.fingerprint(self.matrix.threads),
            "settings": plain_settings(cell.settings),
            "sizes": asdict(cell.sizes),
            "started": started,
            "seconds": 0.0,
        }
        if row["reason"]:
            return row
        files = {end: self.out / WORK / f"{name}.{end}" for end in ("spec.json", "out.json")}
        for path in files.values():
            path.unlink(missing_ok=True)
        shutil.rmtree(self.out / WORK / name, ignore_errors=True)  # a killed bench left it
        write_json(files["spec.json"], self._spec(cell, turn, name, titles_only))
        log = self.out / LOGS / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as file:
            code = self._process(list(map(str, files.values())), file.fileno(), name)
        row["seconds"] = round(time.monotonic() - began, 3)
        if code == 0 and files["out.json"].is_file():
            outcome = read_typed(files["out.json"], Outcome)
        else:
            outcome = _ending(code, log.read_text(encoding="utf-8", errors="replace"), self.matrix.cell_seconds)
            if outcome["status"] == "out_of_memory":
                outcome["reason"] += f"; {advice('teacher', cell.config, self.device, self._num_items())}"
        row = typed({**row, **outcome}, Row, cell.name)
        row["reason"] = without_paths(row["reason"])
        return row

    def _num_items(self) -> int:
        return PreparedData.load(RunFolder(self.out / SHARED).step("prepare")).num_items

    def _refusal(self, cell: BenchCell) -> str:
        """Why the package or this machine cannot do what the cell asks; empty where it can."""
        if cell.refusal:
            return cell.refusal
        try:
            check_machine(cell.config.teacher, self.device)
            check_llm(cell.config.teacher, cache_folder())
        except UserError as error:
            return str(error)
        return ""

    def _spec(self, cell: BenchCell, turn: int, name: str, titles_only: bool) -> CellSpec:
        shared = RunFolder(self.out / SHARED)
        return {
            "cell": cell.name,
            "config": asdict(cell.config),
            "settings": sorted(cell.settings),
            "sizes": asdict(cell.sizes),
            "judged": sorted({key for one in self.matrix.cells.values() if not one.refusal for key in one.settings}),
            "device": self.device,
            "threads": self.matrix.threads,
            "parent": os.getpid(),
            "data": str(shared.step("prepare")),
            "student": str(shared.step("student")),
            "work": str(self.out / WORK / name),
            "per_user": turn == 1,
            "titles_only": titles_only,
        }

    def _process(self, files: list[str], log: int, name: str) -> int | None:
        """The exit status of the cell's process, negative for a signal; None: its time was over."""
        threads = str(self.matrix.threads)
        # Compiled code is kept between processes by default, and a second turn would find the first one's.
        settings = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "RAYON_NUM_THREADS": threads,
            "TOKENIZERS_PARALLELISM": "false",
            "TORCHINDUCTOR_CACHE_DIR": str(self.out / WORK / name / "inductor"),
            "TORCHINDUCTOR_FX_GRAPH_CACHE": "0",
            "TORCHINDUCTOR_COMPILE_THREADS": threads,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "recdistill.experiments.bench.cell", *files],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | settings,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=self.matrix.cell_seconds)
        except subprocess.TimeoutExpired:
            return None
        except Interrupted as stopped:
            if not stopped.at_once:
                self._end(process, name)
            raise
        finally:
            with suppress(ProcessLookupError):  # The usual end: no process of the group is left.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _end(self, process: "subprocess.Popen[bytes]", name: str) -> None:
        """Let an interrupted cell end its step and clear up. Half a measurement is none, so nothing of it is kept."""
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE_SECONDS)
        finally:  # also where a second signal does not wait so long
            shutil.rmtree(self.out / WORK / name, ignore_errors=True)


def _title_kind(cell: BenchCell) -> tuple[object, ...]:
    """Cells of one kind share their titles' embeddings."""
    return tuple(getattr(cell.config.teacher, key) for key in TITLE_KEYS)


def _ending(code: int | None, log: str, limit: float) -> Outcome:
    """How a process that wrote no result ended, in a row's words."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else "no output"
    if code is None:
        cause = message("over_time", seconds=f"{limit:g}").kept()
        return {"status": "timed_out", "reason": f"over {limit:g} s", "cause": cause}
    if code == -signal.SIGKILL:
        return {
            "status": "out_of_memory",
            "reason": "killed by the system (signal 9), which it does when memory is full",
            "cause": message("killed").kept(),
        }
    if code < 0:
        return {"status": "failed", "reason": f"{signal.Signals(-code).name}; {last}"}
    status: Status = "out_of_memory" if any(sign in last for sign in NO_MEMORY) else "failed"
    return {"status": status, "reason": last}


def without_paths(text: str) -> str:
    """A line without the folders of this machine: of each absolute path the last part is kept."""
    return re.sub(r"(?<![\w.])/(?:[\w.+@-]+/)+", "…/", " ".join(text.split()))
