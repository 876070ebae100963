"""One cell of the matrix in a process of its own: `python -m recdistill.bench.cell SPEC.json OUT.json`.

The phases are the package's own, apart from one another: import, embed titles, load LLM, set-up, warm-up (compile,
where blocks are compiled), data wait, train step, validation, checkpoint, test, export, write; and matmul peak, which
belongs to the machine. What is read of test is its histories, for the time that takes; no metric is computed from it.
"""

import logging
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import torch

from recdistill.bench import flops
from recdistill.bench.evidence import COMPUTES, Seen, settings_evidence
from recdistill.bench.matrix import Sizes
from recdistill.bench.process import give_memory_back, pin, watch_parent
from recdistill.bench.sampling import (
    CountedTraining,
    Counts,
    SampledTeacher,
    as_numbers,
    padding_share,
    sample_data,
    seconds_of,
)
from recdistill.bench.settings import flat, run_config
from recdistill.data.batches import sorted_batches
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import Fingerprints
from recdistill.errors import UserError
from recdistill.files import read_json, write_json
from recdistill.profiling.environment import environment
from recdistill.profiling.profiler import Profiler
from recdistill.progress import set_up_logging
from recdistill.teacher.backbone import check_llm, check_machine
from recdistill.teacher.titles import title_embeddings
from recdistill.training.evidence import evidence
from recdistill.training.fit import FitResult, fit
from recdistill.training.reading import READ_BATCH

logger = logging.getLogger("recdistill")

TRAIN_PHASES = ("data wait", "train step")
EXPORT_PHASES = ("export", "write")


class CellRun:
    """One cell, from its specification to its row of results."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec, self.sizes = spec, Sizes(**spec["sizes"])
        self.config = run_config(spec["config"])
        self.device, self.work = spec["device"], Path(spec["work"])
        self.began = False
        """Whether the settings were accepted: what is wrong before is a refusal, and what is wrong after a failure."""
        self.result: FitResult | None = None
        self.quality: dict[str, Any] = {}
        self.exported = Counts()

    def run(self) -> dict[str, Any]:
        """Do it all; returns the measured part of the row."""
        self._accept()
        profiler = self.profiler = Profiler(self.device)
        process = psutil.Process()
        profiler.seconds["import"] = time.time() - process.create_time()
        profiler.peak_rss["import"] = process.memory_info().rss
        with profiler:
            self._load()
            if self.spec.get("titles_only"):
                return {}
            self._set_up()
            for size, part in ((self.sizes.rows, self._train), (self.sizes.test_rows, self._test),
                               (self.sizes.export_rows, self._export)):  # fmt: skip
                if size:
                    give_memory_back()
                    part()
            with profiler.phase("matmul peak"):
                dtype = COMPUTES[self.config.teacher.precision]
                self.peak = flops.matmul_peak(dtype, self.device)
        return self._row(dtype)

    def _accept(self) -> None:
        check_machine(self.config.teacher, self.device)
        check_llm(self.config.teacher, cache_folder())

    def _load(self) -> None:
        profiler, config = self.profiler, self.config
        with profiler.phase("load data"):
            whole = PreparedData.load(Path(self.spec["data"]))
            self.data = sample_data(whole, max(1, self.sizes.validation_users), config.seed)
        with profiler.phase("embed titles"):
            title_embeddings(config.teacher, self.data.titles, cache_folder(), self.device)
        if not self.spec.get("titles_only"):
            give_memory_back()
            with profiler.phase("load LLM"):
                student = Path(self.spec["student"])
                self.teacher = SampledTeacher(config, self.data, student, self.device, self.sizes)

    def _set_up(self) -> None:
        profiler, teacher = self.profiler, self.config.teacher
        with profiler.phase("set-up"):
            self.training = CountedTraining(self.teacher, teacher.train.batch_size, self.config.seed)
            self.seen = Seen(self.teacher, flat(asdict(self.config)))
        self.began = True
        warm_up = getattr(self.training, "warm_up", None)
        if warm_up is not None:
            warm_up(profiler)
        with profiler.phase("compile" if teacher.compile and warm_up is None else "warm-up"):
            self._warm_up()

    def _warm_up(self) -> None:
        """Forward and backward over the longest and the shortest batch of the plan, and read them; nothing is learned.

        The first run of anything pays for what later runs find ready: memory, threads, kernels, compiled code.
        """
        training = self.training
        with torch.random.fork_rng([torch.cuda.current_device()] if self.device == "cuda" else []):
            plan = sorted(training.plan(0), key=lambda rows: int(training.lengths[rows].max()))
            for rows in (plan[-1], plan[0]):
                batch = training.collate(rows)
                if self.sizes.rows:
                    training.module.train()
                    with self.seen.watching():
                        (training.loss(batch) / training.num_targets(batch)).backward()  # type: ignore[no-untyped-call]
                    training.module.zero_grad(set_to_none=True)
                self.teacher.predict(training.windows, rows)
        training.start_counting()

    def _train(self) -> None:
        profiler, config = self.profiler, self.config
        before = _tokens(self.teacher, "train")
        train, precision = config.teacher.train, config.teacher.precision
        self.result = fit(
            self.training, train, self.work / "teacher", profiler, config.seed, "bench", self.spec["cell"],
            self.device, precision,
        )  # fmt: skip
        self.seen.train, self.seen.steps = self.training.counts, self.result.steps
        _believe(self.seen.train, before, _tokens(self.teacher, "train"))
        history = self.result.history
        self.quality = {
            "users": len(self.data.targets("validation")),
            "ndcg@10_before": history[0]["ndcg@10"], "ndcg@10_after": history[-1]["ndcg@10"],
            "loss": history[-1]["loss"],
        }  # fmt: skip
        if self.spec["per_user"]:
            with profiler.phase("quality"):
                self.quality["per_user"] = [round(float(value), 5) for value in self.teacher.user_ndcg()]

    def _test(self) -> None:
        """Read test histories and throw away what comes of them."""
        with self.profiler.phase("set-up"):
            windows = self.teacher.test_windows()
            batches = sorted_batches(self.teacher.prompt_lengths(windows), READ_BATCH)
        for rows in batches:
            with self.profiler.phase("test"):
                self.teacher.predict(windows, rows)

    def _export(self) -> None:
        before = _tokens(self.teacher, "export")
        self.teacher.counts = Counts()
        names = Fingerprints(self.data.fingerprint, self.data.split_fingerprint, "bench")
        folder = self.work / "outputs"
        export_outputs(
            self.teacher, self.data, self.teacher.titles, self.config.export, folder, names, self.profiler
        )  # fmt: skip
        self.exported = self.seen.export = self.teacher.counts
        _believe(self.exported, before, _tokens(self.teacher, "export"))

    def _row(self, dtype: torch.dtype) -> dict[str, Any]:
        phases = {name: round(seconds, 4) for name, seconds in self.profiler.seconds.items()}
        return {
            "evidence": _evidence(self.teacher, self.spec["settings"], self.seen),
            "phases": phases,
            "memory": self.profiler.memory()["phases"],
            "throughput": {
                "train": self._throughput(self.seen.train, phases, TRAIN_PHASES, flops.train_flops),
                "export": self._throughput(self.exported, phases, EXPORT_PHASES, flops.forward_flops),
                "matmul_peak_flops": self.peak, "matmul_peak_dtype": str(dtype).removeprefix("torch."),
            },
            "quality": self.quality,
            "environment": environment(self.device),
        }  # fmt: skip

    def _throughput(self, counts: Counts, phases: dict[str, float], names: tuple[str, ...], price: Any) -> Any:
        seconds = seconds_of(phases, *names)
        if not counts.prompts or not seconds:
            return None
        needed = price(self.teacher.ranker, counts.work)
        steps = self.seen.steps if counts is self.seen.train else counts.micro_batches
        return {
            **as_numbers(counts), "steps": steps, "seconds": round(seconds, 4),
            "rows_per_second": counts.prompts / seconds, "targets_per_second": counts.targets / seconds,
            "useful_tokens_per_second": counts.useful / seconds,
            "padding_share": padding_share(counts.useful, counts.processed),
            "model_flops": needed, "model_flops_utilisation": needed / seconds / self.peak,
        }  # fmt: skip


def _evidence(teacher: SampledTeacher, settings: dict[str, Any], seen: Seen) -> dict[str, Any]:
    """What the package says it ran, and for each setting of the cell whether it was in effect."""
    found = evidence(teacher)
    rest = {key: value for key, value in found.items() if key not in ("settings", "tokens")}
    return {"settings": settings_evidence(found, settings, seen), "model": rest}


def _tokens(teacher: SampledTeacher, kind: str) -> dict[str, int]:
    """The package's own count of tokens so far; empty where it keeps none."""
    counted = evidence(teacher).get("tokens") or {}
    return dict(counted.get(kind) or {})


def _believe(counts: Counts, before: dict[str, int], after: dict[str, int]) -> None:
    """Take the package's count of tokens, which knows how prompts were packed, where it has counted."""
    useful, processed = (after.get(key, 0) - before.get(key, 0) for key in ("useful", "processed"))
    if useful > 0 and processed > 0:
        counts.useful, counts.processed = useful, processed


def main(arguments: Sequence[str]) -> int:
    """Run the cell of the first file and write what came of it to the second.

    Returns:
        0 where a result was written, be it a refusal; whatever else goes wrong is Python's to tell, on stderr.
    """
    specification, out = map(Path, arguments)
    spec = read_json(specification)
    watch_parent(spec["parent"])
    pin(spec["threads"])
    set_up_logging(quiet=False)
    cell: CellRun | None = None
    try:
        cell = CellRun(spec)
        found = {"status": "finished", "reason": ""} | cell.run()
    except UserError as error:
        found = {"status": "failed" if cell is not None and cell.began else "refused", "reason": str(error)}
    except (torch.OutOfMemoryError, MemoryError) as error:
        found = {"status": "out_of_memory", "reason": (str(error).splitlines() or ["no memory left"])[0]}
    shutil.rmtree(spec["work"], ignore_errors=True)
    write_json(out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
