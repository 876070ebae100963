"""Train the teacher's experts, router, soft tokens and head."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.batches import packed_batches
from recdistill.data.block_shuffle import by_blocks
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Windows
from recdistill.errors import UserError
from recdistill.evaluation.protocol import validation_metrics
from recdistill.language_models.title_lora import TUNING_FILE, TitleTuning
from recdistill.language_models.title_tuning import tune_titles
from recdistill.language_models.titles import tell_titles, title_embeddings, title_facts
from recdistill.measure.context import RunContext
from recdistill.measure.facts import Judged, TrainedFacts, together
from recdistill.parallel.processes import ALONE, Processes
from recdistill.reporting.language import Texts
from recdistill.storage.files import write_json
from recdistill.students.losses import cross_entropy
from recdistill.teacher.compiling import cuda_graphs_made, graphs_made
from recdistill.teacher.padding import training_batches
from recdistill.teacher.prompts import PromptBatch
from recdistill.teacher.scorers import ReadOnce
from recdistill.teacher.teacher import TITLED, Teacher
from recdistill.teacher.whitening import whiten
from recdistill.training.callbacks import CountTokens
from recdistill.training.checkpoint import discard_checkpoint, is_written, mark_written, trained_parameters
from recdistill.training.correction import TITLE_WEIGHTS, choose_weight
from recdistill.training.evidence import gate_examples, module_facts, trained_facts, training_judgements
from recdistill.training.fit import fit
from recdistill.training.result import FitResult
from recdistill.training.student import train_student
from recdistill.training.trainable import ParameterGroup, Rows
from recdistill.training.warm_up import compile_shapes, watch_step

logger = logging.getLogger("recdistill")

GATE_FILE = "gate_examples.json"
"""Written last: where it is, all that the teacher leaves is there."""
ROUTER_FACTOR = 0.3
"""Learning rate of the router as a share of the others' (iLoRA's own training)."""


class TeacherTraining:
    """The teacher in the form that `fit` trains.

    Args:
        teacher: the teacher.
        seed: of the batches' order.
        windows: what is trained on; None: all that `teacher.targets` and `teacher.windows` say.
        validation: what is validated on; None: all validation targets.
        processes: that train together.
    """

    def __init__(
        self,
        teacher: Teacher,
        seed: int,
        windows: Windows | None = None,
        validation: Targets | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.teacher, self.seed, self.processes = teacher, seed, processes
        self.module = teacher.ranker
        self.windows = teacher.training_windows() if windows is None else windows
        self.validation = teacher.data.targets("validation") if validation is None else validation
        self.lengths = teacher.prompt_lengths(self.windows)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The router learns more slowly; experts and router are not decayed."""
        named = trained_parameters(self.module).items()
        router = [value for name, value in named if name.startswith("gate.")]
        experts = [value for name, value in named if name.startswith("llm.")]
        rest = [value for name, value in named if not name.startswith(("gate.", "llm."))]
        groups: list[ParameterGroup] = [
            {"params": rest},
            {"params": experts, "weight_decay": 0.0},
            {"params": router, "weight_decay": 0.0, "lr": ROUTER_FACTOR},
        ]
        return [group for group in groups if group["params"]]

    def plan(self, epoch: int) -> Sequence[Rows]:
        """Micro-batches as `teacher.padding` and `teacher.train` say, shuffled by `(seed, epoch)`.

        Streams are of very unlike lengths: without `batch_tokens`, as many share a batch as have no more items than
        `batch_size` whole windows.
        """
        config, generator = self.teacher.config, np.random.default_rng([self.seed, epoch])
        if config.streams and config.train.batch_tokens is None:
            most = config.train.batch_size * config.history_length
            return by_blocks(
                self.windows.lengths,
                config.train.shuffle_block,
                generator,
                lambda some: packed_batches(some, most, generator),
            )
        lengths = self.teacher.shapes.rounded(self.lengths)
        return training_batches(config, lengths, self.teacher.shapes.longest, generator)

    def collate(self, rows: Rows) -> PromptBatch:
        """One batch of prompts."""
        train = self.teacher.config.train
        return self.teacher.batch(self.windows, rows, train.batch_size if train.batch_tokens is None else None)

    def num_targets(self, batch: PromptBatch) -> int:
        """Predictions the batch makes."""
        return len(batch.target_items)

    def loss(self, batch: PromptBatch) -> Tensor:
        """Cross-entropy over the whole catalog, summed over the batch's predictions."""
        self.teacher.trained.add(**batch.size())
        batch = batch.to(self.teacher.device)
        return cross_entropy(self.module(batch), self.module.item_vectors(), batch.target_items)

    def validate(self) -> dict[str, float]:
        """Full-catalog metrics on validation, ranked as `evaluate` says.

        With a residual head, the weight of the correction beside the student's scores is chosen here, from a short
        list, by NDCG@10: like the epoch, it is a choice that belongs to validation; and so is that of the titles, where
        `teacher.title_decay` asks for them. The prompts are read once for all.
        """
        head, data, evaluate = self.module.head, self.teacher.data, self.teacher.evaluate
        head.correction_weight.data.fill_(1.0)
        if head.titles_weight is not None:
            head.titles_weight.data.fill_(1.0)
        read, processes = ReadOnce(self.teacher, self.validation, self.processes), self.processes
        if not head.residual:
            return validation_metrics(read, data, evaluate, self.validation, processes)
        known: dict[tuple[float, float], dict[str, float]] = {}

        def ranked(correction: float, titles: float) -> dict[str, float]:
            """Metrics with these weights; once for all that give the same scores."""
            key = (correction * read.has_parts[0], titles * read.has_parts[1])
            if key not in known:
                read.correction_weight, read.titles_weight = correction, titles
                known[key] = validation_metrics(read, data, evaluate, self.validation, processes)
            return known[key]

        best, metrics = choose_weight(lambda weight: ranked(weight, 0.0))
        if head.titles_weight is not None:
            # One after the other: the correction's again once the titles have theirs.
            correction = best
            titles, _ = choose_weight(lambda weight: ranked(correction, weight), TITLE_WEIGHTS, "titles")
            best, metrics = choose_weight(lambda weight: ranked(weight, titles))
            head.titles_weight.data.fill_(titles)
        head.correction_weight.data.fill_(best)
        return metrics


def train_teacher(
    config: RunConfig,
    data: PreparedData,
    user_ids: Sequence[str],
    student_folder: Path,
    context: RunContext,
    fingerprint: str,
    validation: Targets | None = None,
) -> FitResult:
    """Train the configured teacher on top of a finished student and write it to the context's folder.

    Args:
        config: `teacher`, `student.max_length`, `evaluate` and `seed` are read.
        data: histories and split; test is not looked at.
        user_ids: people's own ids of the users, for the gate's examples.
        student_folder: the finished student step.
        context: its folder gets the student with titles, where that is asked for, adapters, ranker, `evidence.json`,
            `gate_examples.json` and logs.
        fingerprint: names data, student and settings, for the checkpoint.
        validation: what is validated on; None: all validation targets.
    """
    profiler, folder, processes = context.profiler, context.folder, context.processes
    cache, device = cache_folder(), context.device
    with profiler.phase("tune titles"), processes.first_goes_first():
        tuning = tune_titles(config.teacher, data, config.seed, cache, device)
    with profiler.phase("embed titles"), processes.first_goes_first():
        # Embedded once, for the loading below too.
        titles = title_facts(config.teacher, data.texts, cache, device, tuning)
    if config.teacher.student == "titled":
        student_folder = _train_titled(config, data, context, tuning, validation)
    with profiler.phase("load LLM"):
        teacher = Teacher(config, data, student_folder, device, tuning, processes)
    with profiler.phase("set-up"):
        training = TeacherTraining(teacher, config.seed, validation=validation, processes=processes)
    if validation is None:  # The teachers of folds read the same.
        tell_titles(config.teacher.title_encoder, titles)
        _tell_cut_titles(teacher)
    graphs = graphs_made()
    if config.teacher.compile:
        with profiler.phase("compile"):
            compile_shapes(training, teacher, config.teacher.train.max_epochs)
    with profiler.phase("set-up"):
        facts = together(module_facts(teacher), watch_step(training, teacher), {"title_encoder": titles})
    warm = graphs_made()
    train, precision = config.teacher.train, config.teacher.precision
    counting = CountTokens(teacher.trained, processes)
    result = fit(training, train, context, config.seed, fingerprint, "teacher", precision, [counting])
    made: TrainedFacts = {
        "compiled_graphs": graphs_made() - graphs,
        "graphs_after_warm_up": graphs_made() - warm,
        "cuda_graphs": cuda_graphs_made(),
    }
    counting.bring_together()
    facts = together(facts, trained_facts(teacher, result, processes.size), made)
    with profiler.phase("write"):
        teacher.ranker.save(folder)
        if tuning is not None:
            tuning.save(folder / TUNING_FILE)
        settings = training_judgements(config.teacher, facts)
        write_json(folder / "evidence.json", facts | {"settings": settings})
        write_json(folder / GATE_FILE, gate_examples(teacher, user_ids))
        discard_checkpoint(folder)
    _tell_what_is_not_in_effect(settings)
    return result


def _train_titled(
    config: RunConfig,
    data: PreparedData,
    context: RunContext,
    tuning: TitleTuning | None,
    validation: Targets | None,
) -> Path:
    """The folder of the student with titles that the teacher reads; trained now where no earlier try has finished it.

    Raises:
        UserError: no item has a title, or training diverged.
    """
    if not any(data.texts):
        raise UserError("teacher.student: no item has a title that a student could see; set it to plain")
    titles = title_embeddings(config.teacher, data.texts, cache_folder(), context.device, tuning)
    student = context.within(TITLED)
    if not context.processes.share(is_written(student.shared)):
        # Whitened ones may differ in a last digit where the machine is another one.
        name = f"{hashlib.sha256(titles.numpy().tobytes()).hexdigest()} {config.teacher.title_dim}"
        train_student(config, data, student, validation, whiten(titles, config.teacher.title_dim), name)
        mark_written(student.folder)
    context.processes.wait()
    return student.shared


def _tell_cut_titles(teacher: Teacher) -> None:
    if teacher.prompts.cut_titles:
        logger.warning(
            "teacher.title_tokens: %d of %d titles are longer than %d tokens; their ends do not stand in prompts",
            teacher.prompts.cut_titles,
            teacher.data.num_items,
            teacher.config.title_tokens,
        )


def _tell_what_is_not_in_effect(settings: Sequence[Judged]) -> None:
    """A setting that left no trace is told, not passed over."""
    for one in settings:
        if not one["in_effect"]:
            logger.warning("%s: %s is not in effect: %s", one["key"], one["asked"], Texts("en").told(one["seen"]))
