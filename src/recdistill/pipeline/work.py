"""What each step does: it reads what the steps before left and writes into the folder that it is given."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from recdistill.data.counts import tell_untitled
from recdistill.data.fetch import cache_folder
from recdistill.data.prepare import prepare
from recdistill.data.prepared import PreparedData
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import DONE_FILE, MEMORISATION_FILE, OutputsReader
from recdistill.distill.target_memorisation import target_memorisation
from recdistill.evaluation.baselines import baseline_scorers
from recdistill.evaluation.baselines.oracle import OracleScorer
from recdistill.evaluation.evaluate import evaluate
from recdistill.evaluation.kept import WITH, unchanged_models
from recdistill.evaluation.ranking import Scorer
from recdistill.language_models.titles import tell_titles, title_facts
from recdistill.measure.profiler import Profiler
from recdistill.pipeline.plans import OpenRun, step_fingerprint
from recdistill.reporting.report import write_report
from recdistill.steps import SPECS, Step, changed_results
from recdistill.storage.files import read_json, write_json
from recdistill.teacher.teacher import load_teacher
from recdistill.training.distilled import train_distilled
from recdistill.training.folds import FoldedTeacher, train_folds
from recdistill.training.scoring import teacher_scorer
from recdistill.training.second_student import TwoStudents, load_second_student, train_second_student
from recdistill.training.student import student_scorer, train_student
from recdistill.training.teacher import train_teacher
from recdistill.training.warm_up import compile_reading

logger = logging.getLogger("recdistill")


def do_work(run: OpenRun, step: Step, folder: Path, profiler: Profiler) -> None:
    """Do one step.

    Args:
        run: what it belongs to.
        step: its name.
        folder: where it writes, which is its own until the step is finished.
        profiler: running; takes the step's phases.
    """
    match step:
        case "prepare":
            prepare(run.config.data, run.config.seed, folder, profiler, run.frames)
        case "student":
            train_student(run.config, run.data(), folder, profiler, run.device)
        case "teacher":
            _train_teacher(run, folder, profiler)
        case "export":
            _export(run, folder, profiler)
        case "distill":
            reader = OutputsReader(run.step("export"), run.output_fingerprints())
            student = run.step("student")
            train_distilled(run.config, run.data(), run.asked(), reader, student, folder, profiler, run.device)
        case "evaluate":
            _evaluate(run, folder, profiler)
        case "report":
            with profiler.phase("report"):
                write_report(run.folder.path, folder, run.config.report.language)
        case _:
            assert_never(step)


def _train_teacher(run: OpenRun, folder: Path, profiler: Profiler) -> None:
    student = run.step("student")
    tell_untitled(read_json(run.step("prepare") / "data.json"))
    if run.config.teacher.kind == "second_student":
        train_second_student(run.config, run.data(), student, folder, profiler, run.device)
        return
    name = run.plan("teacher").fingerprint
    user_ids = read_json(run.step("prepare") / "users.json")
    if run.config.teacher.folds:  # first, since what comes last leaves the manifest's curve and evidence
        train_folds(run.config, run.data(), user_ids, folder, profiler, run.device)
    train_teacher(run.config, run.data(), user_ids, student, folder, name, profiler, run.device)


def _export(run: OpenRun, folder: Path, profiler: Profiler) -> None:
    if not (folder / DONE_FILE).is_file():  # It is there where the try before was cut off behind it.
        _write_lists(run, folder, profiler)
    with profiler.phase("target memorisation"):
        found = target_memorisation(OutputsReader(folder, run.output_fingerprints()), run.data(), run.config.seed)
        write_json(folder / MEMORISATION_FILE, found)
    if {"train", "validation"} <= set(found):
        logger.info(
            "export: NDCG@10 of the lists %.3f on training targets, %.3f on validation targets",
            *(found[split]["ndcg@10"] for split in ("train", "validation")),
        )


def _write_lists(run: OpenRun, folder: Path, profiler: Profiler) -> None:
    if run.config.teacher.kind == "second_student":
        _export_second_student(run, folder, profiler)
        return
    data, config = run.asked(), run.config.decided_export
    made, student, trained = run.output_fingerprints(), run.step("student"), run.step("teacher")
    if run.config.teacher.folds:
        with profiler.phase("load LLM"):
            folded = FoldedTeacher(run.config, data, student, trained, run.device)
        export_outputs(folded, data, folded.titles, config, folder, made, profiler, run.device)
        return
    with profiler.phase("load LLM"):
        teacher = load_teacher(run.config, data, student, trained, run.device)
    if run.config.teacher.compile and config.batch_size != "auto":
        with profiler.phase("compile"):
            compile_reading(teacher, teacher.export_windows(), config.batch_size)
    export_outputs(teacher, data, teacher.titles, config, folder, made, profiler, run.device)


def _export_second_student(run: OpenRun, folder: Path, profiler: Profiler) -> None:
    data, config = run.asked(), run.config.decided_export
    with profiler.phase("set-up"):
        teacher = _second_student(run, data)
        titles = title_facts(run.config.teacher, data.texts, cache_folder(), run.device)
        tell_titles(run.config.teacher.title_encoder, titles)
    export_outputs(teacher, data, teacher.titles, config, folder, run.output_fingerprints(), profiler, run.device)


def _second_student(run: OpenRun, data: PreparedData) -> TwoStudents:
    """The control teacher of this run."""
    return load_second_student(run.config, data, run.step("student"), run.step("teacher"), run.device)


def _evaluate(run: OpenRun, folder: Path, profiler: Profiler) -> None:
    data, config, earlier = run.data(), run.config, run.step("evaluate")
    scorers = _scorers(run, data, profiler)
    evaluate(data, config.evaluate, scorers, config.seed, folder, profiler, earlier, _unchanged(run), going_on=True)


def forget_other_machines_ranks(run: OpenRun) -> None:
    """An interrupted evaluation goes on only with this code and on this machine, so that its models are alike."""
    partial = run.folder.path / f"{SPECS['evaluate'].folder}.partial"
    if not (partial / "manifest.json").is_file():
        return
    before, now = read_json(partial / "manifest.json").get("environment", {}), run.environment()
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


def _scorers(run: OpenRun, data: PreparedData, profiler: Profiler) -> dict[str, Callable[[], Scorer]]:
    """Every model of the run, each loaded only when its turn comes."""
    config, device = run.config, run.device
    student, teacher, distilled = run.step("student"), run.step("teacher"), run.step("distill")
    scorers: dict[str, Callable[[], Scorer]] = {
        **baseline_scorers(data, config.evaluate),
        "student": lambda: student_scorer(student, data, device),
        "teacher": lambda: teacher_scorer(
            config, data, data.targets(config.evaluate.split), student, teacher, profiler, device
        ),
    }
    if config.teacher.kind == "second_student":
        scorers["teacher"] = lambda: _second_student(run, data).scorer()
    if SPECS["teacher"].left_out(config):
        del scorers["teacher"]
    if not SPECS["distill"].left_out(config):
        scorers["distilled"] = lambda: student_scorer(distilled, data, device)
    if config.data.source == "planted":
        scorers["oracle"] = lambda: OracleScorer(data, config.data.planted)
    return scorers
