"""What each step does: it reads what the steps before left and writes into the folder that it is given."""

import logging
import shutil
from pathlib import Path
from typing import assert_never

from recdistill.config.teacher_kind import LanguageModel, NoTeacher, SecondStudent
from recdistill.data.about import About
from recdistill.data.counts import tell_untitled
from recdistill.data.fetch import cache_folder
from recdistill.data.prepare import prepare
from recdistill.distill.elsewhere import Elsewhere
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import MEMORISATION_FILE, OutputsReader
from recdistill.distill.target_memorisation import target_memorisation
from recdistill.distill.writer import is_written
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.kept import WITH, unchanged_models
from recdistill.evaluation.ranking_files import forget_ranked
from recdistill.language_models.title_lora import TUNING_FILE, load_tuning
from recdistill.language_models.titles import tell_titles, title_facts
from recdistill.measure.context import RunContext
from recdistill.pipeline.models import language_model, scorers, second_student
from recdistill.pipeline.on_cluster import export_on, rank_on
from recdistill.pipeline.plans import OpenRun, step_fingerprint
from recdistill.steps import SPECS, Step, changed_results
from recdistill.storage.checksums import DamagedError
from recdistill.storage.files import write_json
from recdistill.storage.manifest import Environment
from recdistill.storage.step_files import read_manifest
from recdistill.storage.typed import read_typed
from recdistill.teacher.teacher import Teacher
from recdistill.training.distilled import train_distilled
from recdistill.training.folds import train_folds
from recdistill.training.second_student import train_second_student
from recdistill.training.student import train_student
from recdistill.training.teacher import train_teacher
from recdistill.training.warm_up import compile_reading

logger = logging.getLogger("recdistill")


def do_work(run: OpenRun, step: Step, context: RunContext) -> None:
    """Do one step.

    Args:
        run: what it belongs to.
        step: its name.
        context: its folder is the step's own until it is finished.
    """
    match step:
        case "prepare":
            prepare(run.config.data, run.config.seed, context, run.frames)
        case "student":
            train_student(run.config, run.data(), context)
        case "teacher":
            _train_teacher(run, context)
        case "export":
            _export(run, context)
        case "distill":
            reader = OutputsReader(run.step("export"), run.output_fingerprints())
            student = run.step("student")
            train_distilled(run.config, run.data(), run.asked(), reader, student, context)
            if tuning := load_tuning(run.step("teacher")):  # for the titles of items that come later
                tuning.save(context.folder / TUNING_FILE)
        case "evaluate":
            _evaluate(run, context)
        case "report":
            from recdistill.reporting.report import write_report  # its plots take a second to import

            with context.profiler.phase("report"):
                control = run.config.report.control
                write_report(
                    run.folder.path, context.folder, run.config.report.language, Path(control) if control else None
                )
        case _:
            assert_never(step)


def _train_teacher(run: OpenRun, context: RunContext) -> None:
    student = run.step("student")
    tell_untitled(read_typed(run.step("prepare") / "data.json", About))
    match kind := run.config.teacher.chosen:
        case LanguageModel():
            _train_language_model(run, kind, student, context)
        case SecondStudent():
            train_second_student(run.config, run.data(), student, context)
        case NoTeacher():
            raise ValueError("a run without a teacher trains none")
        case _:
            assert_never(kind)


def _train_language_model(run: OpenRun, kind: LanguageModel, student: Path, context: RunContext) -> None:
    name = run.plan("teacher").fingerprint
    user_ids = read_typed(run.step("prepare") / "users.json", list[str])
    if kind.folds:  # first, since what comes last leaves the manifest's curve and evidence
        train_folds(run.config, run.data(), user_ids, context)
    train_teacher(run.config, run.data(), user_ids, student, context, name)


def _export(run: OpenRun, context: RunContext) -> None:
    folder, processes = context.shared, context.processes
    if not processes.share(is_written(folder)):  # It is where the try before was cut off behind its last row.
        _write_lists(run, context)
    processes.wait()
    with context.profiler.phase("target memorisation"):
        found = target_memorisation(OutputsReader(folder, run.output_fingerprints()), run.data(), run.config.seed)
        write_json(context.folder / MEMORISATION_FILE, found)
    if {"train", "validation"} <= set(found):
        logger.info(
            "export: NDCG@10 of the lists %.3f on training targets, %.3f on validation targets",
            *(found[split]["ndcg@10"] for split in ("train", "validation")),
        )


def _write_lists(run: OpenRun, context: RunContext) -> None:
    match kind := run.config.teacher.chosen:
        case LanguageModel():
            _export_language_model(run, kind, context)
        case SecondStudent():
            _export_second_student(run, context)
        case NoTeacher():
            raise ValueError("a run without a teacher exports nothing")
        case _:
            assert_never(kind)


def _export_language_model(run: OpenRun, kind: LanguageModel, context: RunContext) -> None:
    data, config, made = run.asked(), run.config.decided_export, run.output_fingerprints()
    with context.profiler.phase("load LLM"):
        teacher = language_model(run, kind, data)
    if kind.compiled and config.batch_size != "auto" and isinstance(teacher, Teacher):
        with context.profiler.phase("compile"):
            compile_reading(teacher, teacher.export_windows(), config.batch_size)
    memory, elsewhere = run.config.evaluate.max_score_memory, _elsewhere(run, context)
    export_outputs(teacher, data, teacher.titles, config, context, made, memory, elsewhere)


def _elsewhere(run: OpenRun, context: RunContext) -> Elsewhere | None:
    """What has the store's shards written by a cluster, where there is one."""
    return None if run.cluster is None else export_on(run.cluster, run, context.shared)


def _export_second_student(run: OpenRun, context: RunContext) -> None:
    data, config = run.asked(), run.config.decided_export
    with context.profiler.phase("set-up"):
        teacher = second_student(run, data)
        tuning = load_tuning(run.step("teacher"))
        with context.processes.first_goes_first():
            titles = title_facts(run.config.teacher, data.texts, cache_folder(), run.device, tuning)
        tell_titles(run.config.teacher.title_encoder, titles)
    made, memory = run.output_fingerprints(), run.config.evaluate.max_score_memory
    export_outputs(teacher, data, teacher.titles, config, context, made, memory, _elsewhere(run, context))


def _evaluate(run: OpenRun, context: RunContext) -> None:
    data, config = run.data(), run.config
    earlier = run.step("evaluate") if run.manifest("evaluate") else None
    makers, elsewhere = scorers(run, data, context), None if run.cluster is None else rank_on(run.cluster, run, data)
    evaluate(data, config.evaluate, makers, config.seed, context, earlier, _unchanged(run), True, elsewhere)
    forget_ranked(context.folder)


def forget_other_machines_ranks(run: OpenRun) -> None:
    """An interrupted evaluation resumes only with this code and on this machine, so that its models are alike."""
    partial = run.folder.path / f"{SPECS['evaluate'].folder}.partial"
    try:
        manifest = read_manifest(partial)
    except DamagedError:
        return  # `RunFolder.work_on` begins anew then, and says so.
    if manifest is None:
        return
    before, now = manifest.get("environment", Environment()), run.environment()
    if changed := [key for key in WITH if before.get(key) != now.get(key)]:
        logger.info("evaluate: begins anew, since %s differs from the interrupted try's", changed[0])
        shutil.rmtree(partial)


def _unchanged(run: OpenRun) -> frozenset[str]:
    """The models that an earlier evaluation has ranked for the very same question, with this code and machine."""
    before = run.manifest("evaluate")
    if before is None or changed_results("evaluate", before):
        return frozenset()
    if before["fingerprint"] != step_fingerprint("evaluate", before["config"], before["inputs"]):
        return frozenset()
    return unchanged_models(before, run.plan("evaluate").inputs, run.config.evaluate, run.environment())
