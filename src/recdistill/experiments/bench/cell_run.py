"""The phases of one cell, from its specification to its row of results.

They are the package's own, apart from one another: import, embed titles, load LLM, set-up, warm-up (compile, where
blocks are compiled), data wait, train step, validation, checkpoint, test, export, write; and matmul peak, which belongs
to the machine. What is read of test is its histories, for the time that takes; no metric is computed from it.
"""

import time
from pathlib import Path

import psutil
import torch

from recdistill.config.settings import run_config
from recdistill.data.batches import sorted_batches
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import Fingerprints
from recdistill.errors import UserError
from recdistill.experiments.bench.cell_row import computed_in, evidence, speed
from recdistill.experiments.bench.facts import store_facts, teacher_facts
from recdistill.experiments.bench.flops import model_flops
from recdistill.experiments.bench.matrix import Sizes
from recdistill.experiments.bench.process import give_memory_back
from recdistill.experiments.bench.results import Measured, MeasuredQuality, Speed
from recdistill.experiments.bench.sampling import SampledTeacher, sample_data, seconds_of
from recdistill.experiments.bench.spec import CellSpec
from recdistill.language_models.backbone import check_llm, check_machine
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.context import RunContext
from recdistill.measure.environment import environment
from recdistill.measure.evidence import TokenCount
from recdistill.measure.facts import Facts, together
from recdistill.measure.peak import matmul_peak
from recdistill.measure.profiler import Profiler
from recdistill.pipeline.memory import lack_sentence
from recdistill.plan.llm_kinds import shapes_from_config
from recdistill.plan.llm_shapes import LlmShapes
from recdistill.steps import Step
from recdistill.teacher.compiling import cuda_graphs_made, graphs_made
from recdistill.training.checkpoint import Weights, copy_weights, put_weights
from recdistill.training.evidence import module_facts, trained_facts
from recdistill.training.fit import fit
from recdistill.training.result import FitResult
from recdistill.training.teacher import TeacherTraining
from recdistill.training.warm_up import compile_reading, compile_shapes, watch_step

TRAIN_PHASES = ("data wait", "train step")
EXPORT_PHASES = ("export", "write")


class CellRun:
    """One cell, from its specification to its row of results."""

    def __init__(self, spec: CellSpec) -> None:
        self.spec, self.sizes = spec, Sizes(**spec["sizes"])
        self.config = run_config(spec["config"])
        self.device, self.work = spec["device"], Path(spec["work"])
        self.began = False
        """Whether the settings were accepted: what is wrong before is a refusal, and what is wrong after a failure."""
        self.step: Step = "teacher"
        """Whose work is being done."""
        self.num_items: int | None = None
        self.result: FitResult | None = None
        self.quality: MeasuredQuality = {}
        self.facts: Facts = {}
        self.exported = TokenCount()

    def run(self) -> Measured | None:
        """Do it all; returns the measured part of the row, None where only titles were to be embedded."""
        self._accept()
        profiler = self.profiler = Profiler(self.device)
        process = psutil.Process()
        profiler.seconds["import"] = time.time() - process.create_time()
        profiler.peak_rss["import"] = process.memory_info().rss
        with profiler:
            self._load()
            if self.spec["titles_only"]:
                return None
            self._set_up()
            for size, part in (
                (self.sizes.rows, self._train),
                (self.sizes.test_rows, self._test),
                (self.sizes.export_rows, self._export),
            ):
                if size:
                    give_memory_back()
                    part()
            with profiler.phase("matmul peak"):
                self.dtype = computed_in(self.config.teacher)
                self.peak = matmul_peak(self.dtype, self.device)
        return self._row()

    def lack_sentence(self, error: BaseException) -> str:
        """What lacked where memory did not suffice, and what to do, in a line."""
        return lack_sentence(error, self.step, self.config, self.device, self.num_items)

    def _accept(self) -> None:
        if self.config.teacher.student == "titled":
            raise UserError("teacher.student: a cell trains no student of its own; set it to plain")
        check_machine(self.config.teacher, self.device)
        check_llm(self.config.teacher, cache_folder())

    def _load(self) -> None:
        profiler, config = self.profiler, self.config
        with profiler.phase("load data"):
            whole = PreparedData.load(Path(self.spec["data"]))
            self.data = sample_data(whole, max(1, self.sizes.validation_users), config.seed)
            self.num_items = self.data.num_items
        with profiler.phase("embed titles"):
            title_embeddings(config.teacher, self.data.texts, cache_folder(), self.device)
        if not self.spec["titles_only"]:
            give_memory_back()
            with profiler.phase("load LLM"):
                student = Path(self.spec["student"])
                self.teacher = SampledTeacher(config, self.data, student, self.device, self.sizes)
            self.shapes: LlmShapes = shapes_from_config(self.teacher.ranker.llm.config, config.teacher.llm)

    def _set_up(self) -> None:
        profiler, teacher = self.profiler, self.teacher
        with profiler.phase("set-up"):
            self.training = KeepsLast(teacher, self.config.seed)
            self.facts = together(module_facts(teacher), teacher_facts(teacher))
        self.began = True
        before = graphs_made()
        if self.config.teacher.compile:
            with profiler.phase("compile"):
                compile_shapes(self.training, teacher, self.config.teacher.train.max_epochs)
        with profiler.phase("warm-up"):
            if self.sizes.rows:
                self.facts = together(self.facts, watch_step(self.training, teacher))
            self._warm_up()
        self.facts["compiled_graphs"] = graphs_made() - before
        self.graphs_then = graphs_made()

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
                    (training.loss(batch) / training.num_targets(batch)).backward()
                    training.module.zero_grad(set_to_none=True)
                self.teacher.predict(training.windows, rows, self.teacher.read_batch)
        self.teacher.trained = TokenCount()

    def _train(self) -> None:
        profiler, config = self.profiler, self.config
        train, precision = config.teacher.train, config.teacher.precision
        self.result = fit(
            self.training,
            train,
            RunContext(self.device, profiler, self.work / "teacher"),
            config.seed,
            "bench",
            self.spec["cell"],
            precision,
        )
        self.facts = together(self.facts, trained_facts(self.teacher, self.result))
        self.facts["graphs_after_warm_up"] = graphs_made() - self.graphs_then
        self.facts["cuda_graphs"] = cuda_graphs_made()
        history = self.result.history
        self.quality = {
            "users": len(self.data.targets("validation")),
            "ndcg@10_before": history[0].watched,
            "ndcg@10_after": history[-1].watched,
            "loss": history[-1].loss,
        }
        if self.spec["per_user"]:
            with profiler.phase("quality"):
                # Of the weights after the pass, as the figure above; `fit` has put back those that were best.
                put_weights(self.training.module, self.training.last, "the last weights")
                self.quality["per_user"] = [round(float(value), 5) for value in self.teacher.user_ndcg()]

    def _test(self) -> None:
        """Read test histories and throw away what comes of them."""
        with self.profiler.phase("set-up"):
            windows = self.teacher.test_windows()
            batches = sorted_batches(self.teacher.prompt_lengths(windows), self.teacher.read_batch)
        for rows in batches:
            with self.profiler.phase("test"):
                self.teacher.predict(windows, rows, self.teacher.read_batch)

    def _export(self) -> None:
        self.step = "export"
        names = Fingerprints(self.data.fingerprint, self.data.split_fingerprint, "bench")
        folder, config = self.work / "outputs", self.config.decided_export
        if self.config.teacher.compile and config.batch_size != "auto":
            with self.profiler.phase("compile"):
                compile_reading(self.teacher, self.teacher.export_windows(), config.batch_size)
        self.teacher.read = TokenCount()
        context = RunContext(self.device, self.profiler, folder)
        result = export_outputs(self.teacher, self.data, self.teacher.titles, config, context, names)
        self.exported = self.teacher.read
        self.facts["export_batch_size"] = result.batch_size
        self.facts["export_batch_size_trials"] = [trial.kept() for trial in result.trials]
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        self.facts["export_bytes"] = size
        self.facts = together(self.facts, store_facts(folder, self.data.num_items))

    def _row(self) -> Measured:
        phases = {name: round(seconds, 4) for name, seconds in self.profiler.seconds.items()}
        trained = self.teacher.trained
        return {
            "evidence": evidence(self.spec, self.sizes, self.config, self.facts, self.exported),
            "phases": phases,
            "memory": self.profiler.memory()["phases"],
            "throughput": {
                "train": self._speed(trained, phases, TRAIN_PHASES, train=True),
                "export": self._speed(self.exported, phases, EXPORT_PHASES, train=False),
                "matmul_peak_flops": self.peak,
                "matmul_peak_dtype": str(self.dtype).removeprefix("torch."),
            },
            "quality": self.quality,
            "environment": environment(self.device),
        }

    def _speed(
        self, count: TokenCount, phases: dict[str, float], names: tuple[str, ...], *, train: bool
    ) -> Speed | None:
        seconds = seconds_of(phases, *names)
        if not count.prompts or not seconds:
            return None
        needed = model_flops(self.shapes, self.config.teacher, self.teacher.ranker, count, train=train)
        steps = self.result.steps if train and self.result else count.micro_batches
        return speed(count, steps, seconds, needed, self.peak)


class KeepsLast(TeacherTraining):
    """The package's training, which also remembers the weights of the latest validation."""

    last: Weights = {}  # noqa: RUF012 (replaced, never changed)

    def validate(self) -> dict[str, float]:
        """As the package's."""
        metrics = super().validate()
        self.last = copy_weights(self.module)
        return metrics
