"""The pipeline, top to bottom: prepare → student → teacher → export → distill → evaluate → report.

Each step is done once: where its folder already holds the result of the same configuration on the same inputs, it is
read back; where it was interrupted, it resumes from its last checkpoint. :mod:`recdistill.steps` says what the steps
are, :mod:`recdistill.pipeline.plans` what each reads, :mod:`recdistill.pipeline.work` what each does.
"""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
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
from recdistill.parallel.processes import ALONE, Processes
from recdistill.parallel.ray_cluster import RayCluster
from recdistill.pipeline.machine import check_shared, choose_device, processes_of
from recdistill.pipeline.memory import memory_errors
from recdistill.pipeline.on_cluster import check_for_cluster
from recdistill.pipeline.plans import OpenRun, Plan
from recdistill.pipeline.work import do_work, forget_other_machines_ranks
from recdistill.steps import LAST, RESULTS, SPECS, Step, includes, needs_language_model, steps_until
from recdistill.storage.run_folder import RunFolder
from recdistill.storage.typed import JsonValue, read_typed

logger = logging.getLogger("recdistill")


def run(
    config: RunConfig,
    until: Step = LAST,
    *,
    interactions: Any = None,
    items: Any = None,
    cluster: RayCluster | None = None,
) -> Path:
    """Do all steps up to and including `until` that are not already done; settings that nothing reads are reported.

    Args:
        config: the settings; `data.columns` names the columns of data frames as of files.
        until: the last step.
        interactions: data frame of polars, pandas or Arrow with one row per interaction, in place of files; the run
            then has `data.source: frames`. A run that is prepared needs it no more.
        items: data frame with the items' titles, if there are any.
        cluster: on which shards are exported and trained models are ranked with; None: here.

    Returns:
        The run's folder.

    Raises:
        UserError: something in the data, the configuration or the machine that the person can put right.
    """
    if until not in SPECS:
        raise UserError(f"until: {until!r} is none of {', '.join(SPECS)}")
    frames = None
    if interactions is not None or items is not None:
        config, frames = with_frames(config, interactions, items)
    if cluster is not None:
        check_for_cluster(config)
    if reason := SPECS[until].left_out(config):
        raise UserError(f"{until}: this run has no such step, since {reason}")
    for sentence in unread_settings(config):
        logger.warning(sentence)
    if includes(until, "report") and config.report.control:
        read_stored(Path(config.report.control))
    if needs_language_model(until):
        check_models(config)
    return do_steps(config, until, frames=frames, cluster=cluster)


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
    cluster: RayCluster | None = None,
) -> Path:
    """The steps up to `until`, in the run's locked folder; `before` is called ahead of each that is not left out.

    Raises:
        UserError: see :func:`run`; more candidates than there are items to draw are refused before anything is trained.
    """
    device = choose_device(config.device)
    processes = processes_of(config, device)
    torch.set_num_threads(config.threads or max(1, (os.cpu_count() or 1) // config.devices))
    folder = RunFolder(Path(config.run))
    with folder.lock() if processes.is_first else nullcontext():
        processes.wait()
        if config.nodes > 1:
            check_shared(folder.path, processes)
        pipeline = Pipeline(config, folder, device, frames, processes, cluster)
        for spec in steps_until(until):
            if before is not None and not spec.left_out(config):
                before(pipeline, spec.name)
            if spec.name == until == "prepare" and pipeline.is_finished("prepare"):
                tell_counts(read_typed(pipeline.step("prepare") / "data.json", About))
            done = pipeline.do(spec.name)
            if spec.name == "prepare":
                _check_data(pipeline, until)
            if done:
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


class Pipeline(OpenRun):
    """One run's steps, each done unless it is finished; what it needs from an earlier one is read from its folder."""

    def do(self, step: Step) -> bool:
        """Do one step unless its finished folder is already there; whether there was something to do."""
        spec = SPECS[step]
        if reason := spec.left_out(self.config):
            logger.info("%s: left out, since %s", step, reason)
            return False
        plan = self._plan_if_to_do(step)
        self.processes.wait()
        if plan is None:
            return False
        if spec.together or self.processes.is_first:
            self._work(step, plan, self.processes if spec.together else ALONE)
        self.processes.wait()
        logger.info("%s: done", step)
        return True

    def _plan_if_to_do(self, step: Step) -> Plan | None:
        """What the step reads and is configured by; None where it has been done. The first process finds out."""
        spec, plan, to_do = SPECS[step], self.plan(step), False
        if self.processes.is_first:
            if damage := self.folder.damage(spec.folder):
                logger.warning("%s: the step is done again, since %s", step, damage)
            if self.folder.is_finished(spec.folder, plan.fingerprint):
                logger.info("%s: finished before, nothing to do", step)
            else:
                self.explain(plan)
                to_do = not self.folder.take_finished(spec.folder, plan.fingerprint)
                if not to_do:
                    logger.info("%s: done by a try that was cut off at its end", step)
        if not self.processes.share(to_do):
            return None
        if step == "evaluate" and self.processes.is_first:
            forget_other_machines_ranks(self)
        return plan

    def _work(self, step: Step, plan: Plan, processes: Processes) -> None:
        """Do a step, alone or with others."""
        items = self.data().num_items if step != "prepare" else None
        chosen: dict[str, JsonValue] = {}
        with (
            memory_errors(step, self.config, self.device, items),
            self._folder(step, plan, chosen) as (folder, profiler),
        ):
            processes.wait()
            first = self.folder.path / f"{SPECS[step].folder}.partial"
            do_work(self, step, RunContext(self.device, profiler, folder, chosen, processes, first))
            if step == "prepare":
                self.refuse_other_data(folder)
            processes.wait()

    @contextmanager
    def _folder(self, step: Step, plan: Plan, chosen: dict[str, JsonValue]) -> Iterator[tuple[Path, Profiler]]:
        """The step's own folder for the first process, and one that is thrown away for each of the others."""
        spec, profiler = SPECS[step], Profiler(self.device)
        if not self.processes.is_first:
            with TemporaryDirectory(prefix="recdistill-") as folder, profiler:
                yield Path(folder), profiler
            return
        with self.folder.work_on(
            spec.folder,
            plan.fingerprint,
            plan.section,
            plan.inputs,
            self.environment(),
            profiler,
            resumable=spec.resumable,
            results=RESULTS[step],
            chosen=chosen,
        ) as opened:
            yield opened
