"""The pipeline, top to bottom: prepare → student → teacher → export → distill → evaluate → report.

Each step is done once: where its folder already holds the result of the same configuration on the same inputs, it is
read back; where it was interrupted, it goes on from its last checkpoint. :mod:`recdistill.steps` says what the steps
are, :mod:`recdistill.pipeline.plans` what each reads, :mod:`recdistill.pipeline.work` what each does.
"""

import gc
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from recdistill.config import DataConfig, RunConfig
from recdistill.config.teacher_kind import NoTeacher
from recdistill.config.unread import unread_settings
from recdistill.data.about import About
from recdistill.data.counts import tell_counts
from recdistill.data.fetch import cache_folder
from recdistill.data.frames import Frames
from recdistill.errors import UserError
from recdistill.evaluation.candidates import check_candidates
from recdistill.evaluation.protocol import tell_certain_misses
from recdistill.evaluation.stored import read_stored
from recdistill.language_models.backbone import check_llm, check_machine
from recdistill.language_models.fingerprints import encoder_digests
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.pipeline.memory import memory_errors
from recdistill.pipeline.plans import OpenRun
from recdistill.pipeline.work import do_work, forget_other_machines_ranks
from recdistill.steps import LAST, RESULTS, SPECS, Step, includes, needs_language_model, steps_until
from recdistill.storage.run_folder import RunFolder
from recdistill.storage.typed import JsonValue, read_typed

logger = logging.getLogger("recdistill")


def run(config: RunConfig, until: Step = LAST, *, interactions: Any = None, items: Any = None) -> Path:
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
    if reason := SPECS[until].left_out(config):
        raise UserError(f"{until}: this run has no such step, since {reason}")
    for sentence in unread_settings(config):
        logger.warning(sentence)
    if includes(until, "report") and config.report.control:
        read_stored(Path(config.report.control))
    if needs_language_model(until):
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
        for spec in steps_until(until):
            if before is not None and not spec.left_out(config):
                before(pipeline, spec.name)
            if spec.name == until == "prepare" and pipeline.is_finished("prepare"):
                tell_counts(read_typed(pipeline.step("prepare") / "data.json", About))
            pipeline.do(spec.name)
            if spec.name == "prepare":
                _check_data(pipeline, until)
            gc.collect()
    return folder.path


def _check_data(pipeline: "Pipeline", until: Step) -> None:
    """Tell, once data is prepared, what the evaluation will find in it; refuse what it could not do."""
    config = pipeline.config
    if config.data.duplicates == "keep":
        tell_certain_misses(pipeline.data(), config.evaluate)
    if includes(until, "evaluate"):
        data = pipeline.data()
        check_candidates(data, data.targets(config.evaluate.split), config.evaluate.candidates)


def check_models(config: RunConfig) -> None:
    """Ask for the language model and what it needs before any work, so that its lack does not cost a training first.

    Raises:
        UserError: the model or the title encoder is not there, or the machine cannot run it as configured.
    """
    teacher, cache = config.teacher, cache_folder()
    if isinstance(teacher.chosen, NoTeacher):
        return
    if read := teacher.reading_llm:
        check_machine(read, choose_device(config.device))
        check_llm(read, cache)
    encoder_digests(teacher, cache)


def choose_device(wish: str) -> str:
    """`cpu` or `cuda`; auto takes CUDA where there is a device.

    Raises:
        UserError: cuda was asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for and there is no CUDA device here")
    return "cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu"


class Pipeline(OpenRun):
    """One run's steps, each done unless it is finished; what it needs from an earlier one is read from its folder."""

    def do(self, step: Step) -> None:
        """Do one step unless its finished folder is already there."""
        spec = SPECS[step]
        if reason := spec.left_out(self.config):
            logger.info("%s: left out, since %s", step, reason)
            return
        if damage := self.folder.damage(spec.folder):
            logger.warning("%s: the step is done again, since %s", step, damage)
        plan = self.plan(step)
        if self.folder.is_finished(spec.folder, plan.fingerprint):
            logger.info("%s: finished before, nothing to do", step)
            return
        self.explain(plan)
        if self.folder.take_finished(spec.folder, plan.fingerprint):
            logger.info("%s: done by a try that was cut off at its end", step)
            return
        if step == "evaluate":
            forget_other_machines_ranks(self)
        items = self.data().num_items if step != "prepare" else None
        chosen: dict[str, JsonValue] = {}
        with (
            memory_errors(step, self.config, self.device, items),
            self.folder.work_on(
                spec.folder,
                plan.fingerprint,
                plan.section,
                plan.inputs,
                self.environment(),
                Profiler(self.device),
                resumable=spec.resumable,
                results=RESULTS[step],
                chosen=chosen,
            ) as (partial, profiler),
        ):
            do_work(self, step, RunContext(self.device, profiler, partial, chosen))
            if step == "prepare":
                self.refuse_other_data(partial)
        logger.info("%s: done", step)
