"""The teacher over one prepared data set: its prompts, its predictions and their user states."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import LongArray, PreparedData, Targets
from recdistill.data.streams import piece_starts, reading_batches
from recdistill.data.windows import Windows, collate
from recdistill.errors import UserError
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.kinds import places
from recdistill.language_models.title_lora import TitleTuning, load_tuning
from recdistill.language_models.titles import title_embeddings
from recdistill.measure.evidence import TokenCount
from recdistill.measure.facts import Choices
from recdistill.parallel.processes import ALONE, Processes
from recdistill.students.make import load_student
from recdistill.teacher.experts import base_decoder
from recdistill.teacher.growing_reader import GrowingReader
from recdistill.teacher.last_items import LastItems
from recdistill.teacher.load_checks import load_checks
from recdistill.teacher.padding import Shape, Shapes
from recdistill.teacher.prompts import PromptBatch, PromptBuilder, Side
from recdistill.teacher.ranker import Ranker
from recdistill.teacher.whitening import whiten
from recdistill.teacher.windows import Overlapping, ReadWindows, Streams, check_prompt_lengths

TITLED = "titled"
"""Where a teacher's folder has the student with titles that it reads (`teacher.student: titled`)."""
READ_BATCH = 32
"""Prompts read at a time where nothing is trained."""


class Teacher:
    """A ranker with the prompts it reads, over one prepared data set.

    Args:
        config: the whole run's configuration.
        data: the histories.
        student_folder: the student that it reads.
        device: `cpu` or `cuda`.
        tuning: what the title encoder learned of the items beside its pretraining; None: nothing.
        processes: that read together; with `strategy: fsdp` the language model is spread over them.

    Raises:
        UserError: the language model or the student cannot be loaded, prompts are too long for it, or they should hold
            titles and no item has one.
    """

    def __init__(
        self,
        config: RunConfig,
        data: PreparedData,
        student_folder: Path,
        device: str,
        tuning: TitleTuning | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.config, self.data, self.device = config.teacher, data, device
        self.evaluate = config.evaluate
        cache = cache_folder()
        if tuning is None and config.teacher.title_tuning.steps and any(data.texts):
            raise ValueError("teacher.title_tuning asks for a tuned title encoder, and none was given")
        if config.teacher.prompt == "text" and not any(data.titles):
            raise UserError("teacher.prompt: no item has a title, so there is no text for a prompt; set it to item")
        titles = title_embeddings(config.teacher, data.texts, cache, device, tuning)
        # What will be spread may be larger than one GPU: it is loaded and checked on the CPU.
        is_spread = config.strategy == "fsdp" and processes.size > 1
        first = "cpu" if is_spread else device
        student = load_student(student_folder).to(first)
        backbone = load_backbone(config.teacher, cache, first, config.teacher.layers)
        self.titles = titles
        self.choices: Choices = {**backbone.choices, "device": device}
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.ranker = Ranker(config.teacher, backbone, student, whiten(titles, config.teacher.title_dim).to(first))
        tokenizer = backbone.tokenizer if config.teacher.prompt == "text" else None
        every, length = config.teacher.targets == "every", config.teacher.history_length
        self.windows: ReadWindows
        # Of a stream, what the student's part of a score sees.
        self.window_length = length if every else config.student.max_length
        if config.teacher.streams:
            self.ranker.last_items = LastItems(self.ranker.student, data.items, data.offsets, length)
            self.windows = Streams(config.teacher, data, len(decoder_blocks(self.ranker.llm)))
        else:
            self.windows = Overlapping(config.teacher, data, self.window_length)
        self.prompts = PromptBuilder(config.teacher, tokenizer, data.titles, config.seed)
        backbone.refuse_unknown(self.prompts.tokens)
        read = [self.prompt_lengths(windows) for windows in (self.windows.longest(), self.training_windows())]
        self.shapes = Shapes(config.teacher, np.concatenate(read))
        self.read, self.trained = TokenCount(), TokenCount()
        check_prompt_lengths(self.windows, self.shapes.longest, places(backbone.decoder.config))
        use_cache, longest = config.export.use_cache, self.shapes.longest
        self.choices["load_checks"] = load_checks(self.ranker, cache, first, use_cache, longest)
        if is_spread:
            self._spread(processes)

    def _spread(self, processes: Processes) -> None:
        """Leave this process its share of the language model's blocks, on its device, with all the rest."""
        from recdistill.parallel.joined import Joined
        from recdistill.parallel.spread import spread

        if not isinstance(processes, Joined):
            raise TypeError("what is spread is spread over processes that are joined")
        spread(base_decoder(self.ranker.llm), decoder_blocks(self.ranker.llm), processes, self.device)
        self.ranker.to(self.device)
        self.choices["spread_over"] = processes.size

    @property
    def state_dim(self) -> int:
        """Width S of the user states."""
        return self.ranker.head.state_dim

    def training_windows(self) -> Windows:
        """What is trained on: windows with a target after every item, or one window for each target."""
        return self.windows.training()

    def export_windows(self) -> Windows:
        """Windows in which every training target and every validation target stands once."""
        return self.windows.export()

    def target_windows(self, targets: Targets) -> Windows:
        """What is read to predict each target alone."""
        return self.windows.of_targets(targets)

    @property
    def inputs_per_prompt(self) -> int | None:
        """Inputs of a batch at most for each prompt that it may have; None: as many as its prompts have."""
        return self.windows.inputs_per_prompt

    def reading_batches(self, windows: Windows, size: int) -> list[LongArray]:
        """All windows in batches of up to `size` prompts, the longest first."""
        each = self.inputs_per_prompt
        return reading_batches(windows, self.prompt_lengths(windows), size, None if each is None else each * size)

    def readers(self, windows: Windows) -> NDArray[np.int64]:
        """One reader for all windows."""
        return np.zeros(len(windows), dtype=np.int64)

    def prompt_lengths(self, windows: Windows) -> NDArray[np.int64]:
        """Tokens of each window's prompt; with a candidate list, as many as it may have at most."""
        running, shown = self._tokens_before, self.windows.shown(windows)
        ends = self.data.offsets[windows.users] + windows.ends
        lengths: NDArray[np.int64] = running[ends] - running[ends - shown] + self.prompts.tokens_beside_history()
        return lengths

    @cached_property
    def _tokens_before(self) -> NDArray[np.int64]:
        """Tokens before each interaction, (interactions + 1,); once, since every micro-batch asks for lengths."""
        return np.concatenate([[0], np.cumsum(self.prompts.tokens_per_item()[self.data.items])])

    @property
    def read_batch(self) -> int:
        """Prompts read at a time where nothing is trained; as many as in training where each shape is compiled."""
        return self.config.train.batch_size if self.config.compile else READ_BATCH

    def training_shape(self, lengths: NDArray[np.int64]) -> Shape:
        """The shape of a training micro-batch of prompts of these lengths."""
        train = self.config.train
        return self.shapes.of(lengths, train.batch_size if train.batch_tokens is None else None)

    def batch(self, windows: Windows, rows: LongArray, full_rows: int | None = None) -> PromptBatch:
        """The prompts of some windows, laid out as `teacher.padding` says.

        Args:
            windows: all windows.
            rows: those of this batch.
            full_rows: rows of a full batch, for compiled shapes; None: as `train.batch_tokens` allows.
        """
        shape = self.shapes.of(self.prompt_lengths(windows.take(rows)), full_rows)
        side: Side = "packed" if self.config.padding == "packed" else "right"
        raw = collate(self.data, windows, rows)
        if not isinstance(self.windows, Streams):
            return self.prompts.build(raw, side, shape)
        chosen = windows.take(rows)
        users = self.data.offsets[chosen.users]
        begins = piece_starts(chosen.first_targets, *self.windows.pieces)
        skipped = self._tokens_before[users + chosen.starts] - self._tokens_before[users + begins]
        events = torch.from_numpy(users).unsqueeze(1) + raw.positions
        return replace(self.prompts.build(raw, side, shape, skipped), events=events.masked_fill(raw.items == 0, -1))

    @torch.inference_mode()
    def predict(
        self, windows: Windows, rows: LongArray, full_rows: int | None = None
    ) -> tuple[PromptBatch, Tensor, Tensor]:
        """The prompts' targets, their user states (M, S) and scores (M, N + 1); see :meth:`batch`."""
        self.ranker.eval()
        batch = self.batch(windows, rows, full_rows or len(rows))
        self.read.add(**batch.size())
        states = self.ranker(batch.to(self.device))
        return batch, states, self.ranker.scores(states)

    def trial(self, windows: Windows, rows: LongArray, full_rows: int | None = None) -> object:
        """Read a batch for its time, or to compile its shape: as :meth:`predict`, but it counts for nothing."""
        counted, self.read = self.read, TokenCount()
        try:
            return self.predict(windows, rows, full_rows)
        finally:  # A batch that memory does not suffice for counts for nothing either.
            self.read = counted

    @property
    def growing(self) -> GrowingReader:
        """Reads histories that grow, with the keys and values of what was read kept."""
        return GrowingReader(self.ranker, self.prompts, self.data, self.config.history_length, self.read)

    @torch.inference_mode()
    def scores(self, states: Tensor) -> Tensor:
        """The scores (M, N + 1) of user states (M, S)."""
        return self.ranker.scores(states)


def load_teacher(
    config: RunConfig,
    data: PreparedData,
    student_folder: Path,
    folder: Path,
    device: str,
    processes: Processes = ALONE,
) -> Teacher:
    """The trained teacher of a finished step; `student_folder` has the plain student."""
    read = folder / TITLED if config.teacher.student == "titled" else student_folder
    teacher = Teacher(config, data, read, device, load_tuning(folder), processes)
    teacher.ranker.load(folder)
    return teacher
