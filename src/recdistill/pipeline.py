"""The pipeline, top to bottom: prepare → student → teacher → export → distill → evaluate → report.

Each step is done once: where its folder already holds the result of the same configuration on the same inputs, it is
read back; where it was interrupted, it goes on from its last checkpoint.
"""

import gc
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from recdistill.config import DataConfig, RunConfig, TeacherConfig
from recdistill.data.counts import tell_counts, tell_untitled
from recdistill.data.fetch import cache_folder
from recdistill.data.frames import Frames
from recdistill.data.mixed_histories import with_mixed_histories
from recdistill.data.prepare import prepare, source_fingerprint
from recdistill.data.prepared import PreparedData
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import DONE_FILE, MEMORISATION_FILE, Fingerprints, OutputsReader
from recdistill.distill.target_memorisation import target_memorisation
from recdistill.errors import UserError
from recdistill.evaluation.baselines import baseline_scorers
from recdistill.evaluation.baselines.oracle import OracleScorer
from recdistill.evaluation.candidates import check_candidates
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.kept import WITH, unchanged_models
from recdistill.evaluation.protocol import deciding, tell_certain_misses
from recdistill.evaluation.ranking import Scorer
from recdistill.files import read_json, write_json
from recdistill.profiling.environment import environment
from recdistill.profiling.profiler import Profiler
from recdistill.reporting.report import write_report
from recdistill.results_version import RESULTS, changed_results
from recdistill.run_folder import RunFolder, changed_keys, fingerprint
from recdistill.teacher.backbone import check_llm, check_machine
from recdistill.teacher.fingerprints import changed_models, encoder_digests, model_inputs, without_models
from recdistill.teacher.titles import tell_titles, title_facts
from recdistill.training.distilled import train_distilled
from recdistill.training.folds import FoldedTeacher, train_folds
from recdistill.training.reading import load_teacher
from recdistill.training.scoring import teacher_scorer
from recdistill.training.second_student import TwoStudents, load_second_student, train_second_student
from recdistill.training.student import student_scorer, train_student
from recdistill.training.teacher import train_teacher
from recdistill.training.warm_up import compile_reading
from recdistill.unread import unread_settings

logger = logging.getLogger("recdistill")

Step = Literal["prepare", "student", "teacher", "export", "distill", "evaluate", "report"]
FOLDERS: dict[str, str] = {
    "prepare": "prepare",
    "student": "student",
    "teacher": "teacher",
    "export": "teacher_outputs",
    "distill": "distilled",
    "evaluate": "evaluation",
    "report": "report",
}
ORDER: tuple[Step, ...] = ("prepare", "student", "teacher", "export", "distill", "evaluate", "report")


def run(config: RunConfig, until: Step = "report", *, interactions: Any = None, items: Any = None) -> Path:
    """Do all steps up to and including `until` that are not already done; settings that nothing reads are reported.

    Args:
        config: the settings; `data.columns` names the columns of data frames as of files.
        until: the last step.
        interactions: data frame of polars, pandas or Arrow with one row per interaction, in place of files; the run
            then has `data.source: frames`. A run that is prepared needs it no more.
        items: data frame with the items' titles, if there are any.

    Returns:
        The run's folder.

    Raises:
        UserError: something in the data, the configuration or the machine that the person can put right.
    """
    frames = None
    if interactions is not None or items is not None:
        config, frames = with_frames(config, interactions, items)
    if reason := left_out(config, until):
        raise UserError(f"{until}: this run has no such step, since {reason}")
    for sentence in unread_settings(config):
        logger.warning(sentence)
    if until not in ("prepare", "student"):
        check_models(config)
    return do_steps(config, until, frames=frames)


def with_frames(config: RunConfig, interactions: Any, items: Any) -> tuple[RunConfig, Frames]:
    """The configuration of a run that reads data frames, and the frames.

    Raises:
        UserError: the configuration names files to read, there are items without interactions, or one is no data frame.
    """
    data = config.data
    if interactions is None:
        raise UserError("items: given without interactions")
    if data.source not in ("frames", DataConfig.source) or data.path or data.items_path:
        raise UserError(f"data: interactions were given, and data.source {data.source} names files to read; keep one")
    return replace(config, data=replace(data, source="frames")), Frames.of(interactions, items)


def do_steps(
    config: RunConfig,
    until: Step,
    before: "Callable[[Pipeline, Step], None] | None" = None,
    frames: Frames | None = None,
) -> Path:
    """The steps up to `until`, in the run's locked folder; `before` is called ahead of each that is not left out.

    Raises:
        UserError: see :func:`run`; more candidates than there are items to draw are refused before anything is trained.
    """
    device = choose_device(config.device)
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    folder = RunFolder(Path(config.run))
    with folder.lock():
        pipeline = Pipeline(config, folder, device, frames)
        for step in ORDER[: ORDER.index(until) + 1]:
            if before is not None and not left_out(config, step):
                before(pipeline, step)
            if step == until == "prepare" and pipeline.is_finished(step):
                tell_counts(read_json(folder.step("prepare") / "data.json"))
            pipeline.do(step)
            if step == "prepare" and config.data.duplicates == "keep":
                tell_certain_misses(pipeline.data(), config.evaluate)
            if step == "prepare" and until in ("evaluate", "report"):
                check_candidates(
                    pipeline.data(), pipeline.data().targets(config.evaluate.split), config.evaluate.candidates
                )
            gc.collect()
    return folder.path


def check_models(config: RunConfig) -> None:
    """Ask for the language model and what it needs before any work, so that its lack does not cost a training first.

    Raises:
        UserError: the model or the title encoder is not there, or the machine cannot run it as configured.
    """
    teacher, cache = config.teacher, cache_folder()
    if teacher.kind == "none":
        return
    if teacher.kind == "llm" or teacher.title_encoder == "llm":
        check_machine(teacher, choose_device(config.device))
        # Titles are embedded by the whole model, so its blocks are counted only where a teacher is made of them.
        check_llm(teacher if teacher.kind == "llm" else replace(teacher, layers=None), cache)
    encoder_digests(teacher, cache)


def left_out(config: RunConfig, step: Step) -> str:
    """The setting that makes the run skip this step; empty if it does not."""
    if step in ("teacher", "export", "distill") and config.teacher.kind == "none":
        return "teacher.kind is none"
    if step in ("export", "distill") and not config.export.enabled:
        return "export.enabled is false"
    return ""


def choose_device(wish: str) -> str:
    """`cpu` or `cuda`; auto takes CUDA where there is a device.

    Raises:
        UserError: cuda was asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for and there is no CUDA device here")
    return "cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu"


@dataclass
class Pipeline:
    """One run's steps, each a method; what a later step needs from an earlier one is read from its folder."""

    config: RunConfig
    folder: RunFolder
    device: str
    frames: Frames | None = None

    def do(self, step: Step) -> None:
        """Do one step unless its finished folder is already there."""
        if reason := left_out(self.config, step):
            logger.info("%s: left out, since %s", step, reason)
            return
        plan = self.plan(step)
        name = FOLDERS[step]
        if self.folder.is_finished(name, plan.fingerprint):
            logger.info("%s: finished before, nothing to do", step)
            return
        self._explain(step, plan)
        if step == "evaluate":
            self._forget_other_machines_ranks()
        with self.folder.work_on(
            name,
            plan.fingerprint,
            plan.section,
            plan.inputs,
            environment(self.device),
            self.device,
            resumable=step not in ("prepare", "report"),
            results=RESULTS[step],
        ) as (partial, profiler):
            getattr(self, f"_{step}")(partial, profiler)
        logger.info("%s: done", step)

    def _forget_other_machines_ranks(self) -> None:
        """An interrupted evaluation goes on only with this code and on this machine, so that its models are alike."""
        partial = self.folder.path / f"{FOLDERS['evaluate']}.partial"
        if not (partial / "manifest.json").is_file():
            return
        before, now = read_json(partial / "manifest.json").get("environment", {}), environment(self.device)
        if changed := [key for key in WITH if before.get(key) != now.get(key)]:
            logger.info("evaluate: begins anew, since %s differs from the interrupted try's", changed[0])
            shutil.rmtree(partial)

    def is_finished(self, step: Step) -> bool:
        """Whether the step's folder is there, made of the same inputs with the same settings."""
        return self.folder.is_finished(FOLDERS[step], self.plan(step).fingerprint)

    def plan(self, step: Step) -> "Plan":
        """What the step reads and is configured by; together they make its fingerprint."""
        config = self.config
        if step == "prepare":
            sampled = config.data.limit_rows is not None or config.data.train_user_fraction < 1
            seed = {"seed": config.seed} if sampled else {}
            return Plan(step, config.data, {"source": self._source()} | seed)
        data = self.data()
        inputs = {"data": data.fingerprint, "split": data.split_fingerprint, "seed": str(config.seed)}
        if step in ("student", "teacher", "distill"):
            inputs |= deciding(config.evaluate)
        if step == "student":
            return Plan(step, config.student, inputs)
        if step == "teacher":
            student = self._made("student")
            models = model_inputs(config.teacher, cache_folder())
            return Plan(step, config.teacher, inputs | {"student": student} | models)
        if step == "export":
            return Plan(step, self.config.decided_export, inputs | {"teacher": self._made("teacher")})
        if step == "distill":
            lists = {"teacher_outputs": self._made("export"), "student": self._made("student")}
            return Plan(step, config.distill, inputs | lists | {"title_dim": config.teacher.title_dim})
        made = {model: self._made(model) for model in self._models()}
        if step == "evaluate":
            return Plan(step, config.evaluate, inputs | made)
        return Plan(step, config.report, {"evaluation": self._made("evaluate"), "run": self.folder.path.name})

    def _source(self) -> str:
        """Names what `prepare` reads; where its file is gone since, what was prepared from it stands for it."""
        done, data = self.folder.manifest("prepare"), self.config.data
        paths = (data.path, data.validation_path, data.test_path, data.items_path)
        if done is not None and (gone := [path for path in paths if path and not Path(path).exists()]):
            logger.info("prepare: %s is not there any more; what was prepared from it is used", gone[0])
            return str(done["inputs"]["source"])
        if done is not None and data.source == "frames" and self.frames is None:
            return str(done["inputs"]["source"])
        return source_fingerprint(data, self.frames)

    def data(self) -> PreparedData:
        """The prepared interactions."""
        return PreparedData.load(self.folder.step("prepare"))

    def asked(self) -> PreparedData:
        """What the teacher is asked about and the distilled student learns from: the data, and mixed histories."""
        config = self.config
        length = config.student.max_length + 1  # So many inputs, and the target of the last one.
        return with_mixed_histories(self.data(), config.export.mixed_histories, length, config.seed)

    def _models(self) -> tuple[Step, ...]:
        """The steps that leave a model to be evaluated."""
        trained: tuple[Step, ...] = ("student", "teacher", "distill")
        return tuple(step for step in trained if not left_out(self.config, step))

    def _made(self, step: Step) -> str:
        """The fingerprint of a finished step."""
        manifest = self.folder.manifest(FOLDERS[step])
        if manifest is None:
            raise UserError(f"{self.folder.step(FOLDERS[step])}: not finished; run `recdistill {step}` first")
        return str(manifest["fingerprint"])

    def _explain(self, step: Step, plan: "Plan") -> None:
        """Say why a step is done again; refuse to prepare other data into a run that holds some."""
        manifest = self.folder.manifest(FOLDERS[step])
        if manifest is None:
            return
        changes = [changed_results(step, manifest)] if changed_results(step, manifest) else []
        if step == "prepare" and changes:
            raise UserError(f"run: {self.folder.path}: {changes[0]}; choose another run folder or remove this one")
        changes += changed_keys(manifest["config"], asdict(plan.section), "data" if step == "prepare" else step)
        changes += changed_models(manifest["inputs"], plan.inputs)
        changes += changed_keys(without_models(manifest["inputs"]), without_models(plan.inputs), "input")
        changes = changes or ["its files have another form in this version"]
        if step == "prepare":
            raise UserError(
                f"run: {self.folder.path} was made with other data ({'; '.join(changes[:3])}); "
                "choose another run folder or remove this one"
            )
        logger.info("%s: again, since %s", step, "; ".join(changes[:3]))

    def _prepare(self, folder: Path, profiler: Profiler) -> None:
        prepare(self.config.data, self.config.seed, folder, profiler, self.frames)

    def _student(self, folder: Path, profiler: Profiler) -> None:
        train_student(self.config, self.data(), folder, profiler, self.device)

    def _teacher(self, folder: Path, profiler: Profiler) -> None:
        student = self.folder.step("student")
        tell_untitled(read_json(self.folder.step("prepare") / "data.json"))
        if self.config.teacher.kind == "second_student":
            train_second_student(self.config, self.data(), student, folder, profiler, self.device)
            return
        name = self.plan("teacher").fingerprint
        user_ids = read_json(self.folder.step("prepare") / "users.json")
        if self.config.teacher.folds:  # first, since what comes last leaves the manifest's curve and evidence
            train_folds(self.config, self.data(), user_ids, folder, profiler, self.device)
        train_teacher(self.config, self.data(), user_ids, student, folder, name, profiler, self.device)

    def _export(self, folder: Path, profiler: Profiler) -> None:
        if not (folder / DONE_FILE).is_file():  # It is there where the try before was cut off behind it.
            self._write_lists(folder, profiler)
        with profiler.phase("target memorisation"):
            found = target_memorisation(OutputsReader(folder, self._fingerprints()), self.data(), self.config.seed)
            write_json(folder / MEMORISATION_FILE, found)
        if {"train", "validation"} <= set(found):
            logger.info(
                "export: NDCG@10 of the lists %.3f on training targets, %.3f on validation targets",
                *(found[split]["ndcg@10"] for split in ("train", "validation")),
            )

    def _write_lists(self, folder: Path, profiler: Profiler) -> None:
        if self.config.teacher.kind == "second_student":
            self._export_second_student(folder, profiler)
            return
        data = self.asked()
        config, step = self.config.decided_export, self.folder.step
        if self.config.teacher.folds:
            with profiler.phase("load LLM"):
                folded = FoldedTeacher(self.config, data, step("student"), step("teacher"), self.device)
            export_outputs(folded, data, folded.titles, config, folder, self._fingerprints(), profiler, self.device)
            return
        with profiler.phase("load LLM"):
            teacher = load_teacher(self.config, data, step("student"), step("teacher"), self.device)
        if self.config.teacher.compile and config.batch_size != "auto":
            with profiler.phase("compile"):
                compile_reading(teacher, teacher.export_windows(), config.batch_size)
        export_outputs(teacher, data, teacher.titles, config, folder, self._fingerprints(), profiler, self.device)

    def _export_second_student(self, folder: Path, profiler: Profiler) -> None:
        data, config = self.asked(), self.config.decided_export
        with profiler.phase("set-up"):
            teacher = self._second_student(data)
            titles = title_facts(self.config.teacher, data.texts, cache_folder(), self.device)
            tell_titles(self.config.teacher.title_encoder, titles)
        export_outputs(teacher, data, teacher.titles, config, folder, self._fingerprints(), profiler, self.device)

    def _second_student(self, data: PreparedData) -> TwoStudents:
        """The control teacher of this run."""
        step = self.folder.step
        return load_second_student(self.config, data, step("student"), step("teacher"), self.device)

    def _distill(self, folder: Path, profiler: Profiler) -> None:
        reader = OutputsReader(self.folder.step(FOLDERS["export"]), self._fingerprints())
        student = self.folder.step("student")
        train_distilled(self.config, self.data(), self.asked(), reader, student, folder, profiler, self.device)

    def _evaluate(self, folder: Path, profiler: Profiler) -> None:
        data = self.data()
        earlier = self.folder.step(FOLDERS["evaluate"])
        config, scorers = self.config, self._scorers(data, profiler)
        evaluate(
            data, config.evaluate, scorers, config.seed, folder, profiler, earlier, self._unchanged(), going_on=True
        )

    def _unchanged(self) -> frozenset[str]:
        """The models that an earlier evaluation has ranked for the very same question, with this code and machine."""
        before = self.folder.manifest(FOLDERS["evaluate"])
        if before is None or changed_results("evaluate", before):
            return frozenset()
        if before["fingerprint"] != step_fingerprint("evaluate", before["config"], before["inputs"]):
            return frozenset()
        return unchanged_models(before, self.plan("evaluate").inputs, self.config.evaluate, environment(self.device))

    def _report(self, folder: Path, profiler: Profiler) -> None:
        with profiler.phase("report"):
            write_report(self.folder.path, folder, self.config.report.language)

    def _fingerprints(self) -> Fingerprints:
        """What teacher outputs must have been made from to be read by this run."""
        data = self.asked()
        return Fingerprints(data=data.fingerprint, split=data.split_fingerprint, teacher=self._made("teacher"))

    def _scorers(self, data: PreparedData, profiler: Profiler) -> dict[str, Callable[[], Scorer]]:
        """Every model of the run, each loaded only when its turn comes."""
        step, config, device = self.folder.step, self.config, self.device
        scorers: dict[str, Callable[[], Scorer]] = {
            **baseline_scorers(data, config.evaluate),
            "student": lambda: student_scorer(step("student"), data, device),
            "teacher": lambda: teacher_scorer(
                config, data, data.targets(config.evaluate.split), step("student"), step("teacher"), profiler, device
            ),
        }
        if config.teacher.kind == "second_student":
            scorers["teacher"] = lambda: self._second_student(data).scorer()
        if left_out(config, "teacher"):
            del scorers["teacher"]
        if not left_out(config, "distill"):
            scorers["distilled"] = lambda: student_scorer(step("distilled"), data, device)
        if config.data.source == "planted":
            scorers["oracle"] = lambda: OracleScorer(data, config.data.planted)
        return scorers


@dataclass(frozen=True)
class Plan:
    """A step's name, its part of the configuration and the fingerprints of what it reads."""

    step: Step
    section: Any
    inputs: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Names this work: the same step, configuration and inputs give the same name.

        How long a compiler may take decides whether there is a result, not which: its limit stands for its default.
        What the files hold is among the inputs, so where they lie does not count.
        """
        section = self.section
        if isinstance(section, DataConfig):
            section = section.without_paths()
        if isinstance(section, TeacherConfig):
            section = replace(section, compile_seconds=TeacherConfig.compile_seconds)
        return step_fingerprint(self.step, section, self.inputs)


def step_fingerprint(step: Step, section: Any, inputs: dict[str, Any]) -> str:
    """Names a step's work, with the count of its results; the first count leaves no trace, as before there were any."""
    return fingerprint(step, section, inputs, *([RESULTS[step]] if RESULTS[step] > 1 else []))
