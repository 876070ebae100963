"""Train the teacher, read it as a scorer, and run it over all targets for the export."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import RunConfig
from recdistill.data.batches import (
    Windows,
    bucketed_batches,
    collate,
    history_windows,
    sorted_batches,
    training_windows,
)
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import IntArray, PreparedData, Targets
from recdistill.evaluation.ranking import Scorer
from recdistill.files import write_json
from recdistill.profiling.profiler import Profiler
from recdistill.students.losses import cross_entropy
from recdistill.students.make import load_student
from recdistill.teacher.backbone import load_backbone
from recdistill.teacher.experts import base_decoder, decoder_blocks
from recdistill.teacher.prompts import PromptBatch, PromptBuilder
from recdistill.teacher.ranker import Ranker
from recdistill.teacher.titles import title_embeddings, whiten
from recdistill.training.checkpoint import discard_checkpoint, trained_parameters
from recdistill.training.fit import FitResult, Rows, fit
from recdistill.training.student import validation_metrics

logger = logging.getLogger("recdistill")

READ_BATCH = 32
"""Prompts read at a time where nothing is trained."""
ROUTER_FACTOR = 0.3
"""Learning rate of the router as a share of the others' (iLoRA's own training)."""
EXAMPLE_USERS = 12
CORRECTION_WEIGHTS = (1.0, 0.25, 0.5, 0.75, 1.5)
"""Weights of the correction that validation chooses from; the first wins a tie."""


class Teacher:
    """A ranker with the prompts it reads, over one prepared data set.

    Args:
        config: the whole run's configuration.
        data: the histories.
        student_folder: the finished student step.
        device: `cpu` or `cuda`.
    """

    def __init__(self, config: RunConfig, data: PreparedData, student_folder: Path, device: str) -> None:
        self.config, self.data, self.device = config.teacher, data, device
        cache = cache_folder()
        titles = title_embeddings(config.teacher, data.titles, cache, device)
        student = load_student(student_folder).to(device)
        backbone = load_backbone(config.teacher, cache, device, config.teacher.layers)
        torch.manual_seed(config.seed)
        self.titles = titles
        self.choices = backbone.choices
        self.ranker = Ranker(config.teacher, backbone, student, whiten(titles, config.teacher.title_dim).to(device))
        self.prompts = PromptBuilder(config.teacher, backbone.tokenizer, data.titles, config.seed)
        every = config.teacher.targets == "every"
        self.window_length = config.teacher.history_length if every else config.student.max_length

    @property
    def state_dim(self) -> int:
        """Width S of the user states."""
        return self.ranker.head.state_dim

    def training_windows(self) -> Windows:
        """What is trained on: windows with a target after every item, or one window for each target."""
        if self.config.targets == "every":
            return training_windows(self.data, self.window_length, self.config.windows)
        return history_windows(self.data, self.data.targets("train"), self.window_length)

    def export_windows(self) -> Windows:
        """Every training target once, then every validation target once."""
        if self.config.targets == "every":
            train = training_windows(self.data, self.window_length, "all")
        else:
            train = history_windows(self.data, self.data.targets("train"), self.window_length)
        validation = history_windows(self.data, self.data.targets("validation"), self.window_length)
        pairs = zip(vars(train).values(), vars(validation).values(), strict=True)
        return Windows(*(np.concatenate(pair) for pair in pairs))

    def prompt_lengths(self, windows: Windows) -> NDArray[np.int64]:
        """Tokens of each window's prompt, near enough to put like with like."""
        if self.config.prompt == "item":
            return windows.lengths.astype(np.int64)
        per_item = self.prompts.tokens_per_item()[self.data.items]
        running = np.concatenate([[0], np.cumsum(per_item)])
        ends = self.data.offsets[windows.users] + windows.ends
        shown = np.minimum(windows.lengths, self.config.history_length)
        lengths: NDArray[np.int64] = running[ends] - running[ends - shown]
        return lengths

    def batch(self, windows: Windows, rows: Rows) -> PromptBatch:
        """The prompts of some windows."""
        return self.prompts.build(collate(self.data, windows, rows))

    @torch.inference_mode()
    def predict(self, windows: Windows, rows: Rows) -> tuple[PromptBatch, Tensor, Tensor]:
        """The prompts' targets, their user states (M, S) and scores (M, N + 1)."""
        self.ranker.eval()
        batch = self.batch(windows, rows)
        states = self.ranker(batch.to(self.device))
        return batch, states, self.ranker.scores(states)


class TeacherScorer:
    """The teacher as a scorer of histories."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1), by as many prompts at a time as a language model can take."""
        windows = history_windows(self.teacher.data, Targets(users, positions), self.teacher.window_length)
        scores = torch.empty(len(windows), self.teacher.data.num_items + 1)
        for rows in sorted_batches(self.teacher.prompt_lengths(windows), READ_BATCH):
            batch, _, found = self.teacher.predict(windows, rows)
            scores[torch.from_numpy(rows)[batch.target_rows]] = found.float().cpu()
        return scores


class ReadOnce:
    """A scorer over fixed targets that keeps their states: several weights of the correction cost one reading."""

    def __init__(self, teacher: Teacher, targets: Targets) -> None:
        self.teacher, self.correction_weight = teacher, 1.0
        windows = history_windows(teacher.data, targets, teacher.window_length)
        self.states = torch.zeros(len(windows), teacher.state_dim, device=teacher.device)
        for rows in sorted_batches(teacher.prompt_lengths(windows), READ_BATCH):
            batch, states, _ = teacher.predict(windows, rows)
            self.states[torch.from_numpy(rows).to(teacher.device)[batch.target_rows]] = states
        keys = zip(targets.users.tolist(), targets.positions.tolist(), strict=True)
        self.row_of = {key: row for row, key in enumerate(keys)}

    def score(self, users: IntArray, positions: IntArray) -> Tensor:
        """Scores (B, N + 1) with the current weight of the correction."""
        keys = zip(users.tolist(), positions.tolist(), strict=True)
        states = self.states[[self.row_of[key] for key in keys]]
        student_dim = states.shape[1] - self.teacher.config.head_dim
        weighted = torch.cat([states[:, :student_dim], states[:, student_dim:] * self.correction_weight], dim=1)
        return self.teacher.ranker.scores(weighted)


class TeacherTraining:
    """The teacher in the form that `fit` trains."""

    def __init__(self, teacher: Teacher, batch_size: int, seed: int) -> None:
        self.teacher, self.batch_size, self.seed = teacher, batch_size, seed
        self.module = teacher.ranker
        self.windows = teacher.training_windows()
        self.lengths = teacher.prompt_lengths(self.windows)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The router learns more slowly; experts and router are not decayed."""
        named = trained_parameters(self.module).items()
        router = [value for name, value in named if name.startswith("gate.")]
        experts = [value for name, value in named if name.startswith("llm.")]
        rest = [value for name, value in named if not name.startswith(("gate.", "llm."))]
        groups: list[dict[str, Any]] = [
            {"params": rest},
            {"params": experts, "weight_decay": 0.0},
            {"params": router, "weight_decay": 0.0, "lr": ROUTER_FACTOR},
        ]
        return [group for group in groups if group["params"]]

    def plan(self, epoch: int) -> Sequence[Rows]:
        """Batches of prompts of like lengths, shuffled by `(seed, epoch)`."""
        return bucketed_batches(self.lengths, self.batch_size, np.random.default_rng([self.seed, epoch]))

    def collate(self, rows: Rows) -> PromptBatch:
        """One batch of prompts."""
        return self.teacher.batch(self.windows, rows)

    def num_targets(self, batch: PromptBatch) -> int:
        """Predictions the batch makes."""
        return len(batch.target_items)

    def loss(self, batch: PromptBatch) -> Tensor:
        """Cross-entropy over the whole catalog, summed over the batch's predictions."""
        batch = batch.to(self.teacher.device)
        return cross_entropy(self.module(batch), self.module.item_vectors(), batch.target_items)

    def validate(self) -> dict[str, float]:
        """Full-catalog metrics on validation, seen items left out.

        With a residual head, the weight of the correction beside the student's scores is chosen here, from a short list,
        by NDCG@10: like the epoch, it is a choice that belongs to validation. The prompts are read once for all of them.
        """
        head, data = self.module.head, self.teacher.data
        head.correction_weight.data.fill_(1.0)
        read = ReadOnce(self.teacher, data.targets("validation"))
        if not head.residual:
            return validation_metrics(read, data)
        found = {}
        for weight in CORRECTION_WEIGHTS:
            read.correction_weight = weight
            found[weight] = validation_metrics(read, data)
        best = max(CORRECTION_WEIGHTS, key=lambda weight: found[weight]["ndcg@10"])
        head.correction_weight.data.fill_(best)
        logger.info(
            "teacher: weight of the correction %g, of %s", best, {w: round(m["ndcg@10"], 4) for w, m in found.items()}
        )
        return found[best]


def train_teacher(
    config: RunConfig,
    data: PreparedData,
    user_ids: Sequence[str],
    student_folder: Path,
    folder: Path,
    fingerprint: str,
    profiler: Profiler,
    device: str,
) -> FitResult:
    """Train the configured teacher on top of a finished student and write it to `folder`.

    Args:
        config: `teacher`, `student.max_length` and `seed` are read.
        data: histories and split; test is not looked at.
        user_ids: people's own ids of the users, for the gate's examples.
        student_folder: the finished student step.
        folder: gets adapters, ranker, `evidence.json`, `gate_examples.json` and logs.
        fingerprint: names data, student and settings, for the checkpoint.
        profiler: gets the phases.
        device: `cpu` or `cuda`.
    """
    with profiler.phase("load LLM"):
        teacher = Teacher(config, data, student_folder, device)
    with profiler.phase("set-up"):
        training = TeacherTraining(teacher, config.teacher.train.batch_size, config.seed)
    train, precision = config.teacher.train, config.teacher.precision
    result = fit(training, train, folder, profiler, config.seed, fingerprint, "teacher", device, precision)
    with profiler.phase("write"):
        teacher.ranker.save(folder)
        write_json(folder / "evidence.json", evidence(teacher))
        write_json(folder / "gate_examples.json", gate_examples(teacher, user_ids))
        discard_checkpoint(folder)
    return result


def load_teacher(config: RunConfig, data: PreparedData, student_folder: Path, folder: Path, device: str) -> Teacher:
    """The trained teacher of a finished step."""
    teacher = Teacher(config, data, student_folder, device)
    teacher.ranker.load(folder)
    return teacher


def teacher_scorer(config: RunConfig, data: PreparedData, student_folder: Path, folder: Path, device: str) -> Scorer:
    """The trained teacher of a finished step, as a scorer."""
    return TeacherScorer(load_teacher(config, data, student_folder, folder, device))


def evidence(teacher: Teacher) -> dict[str, Any]:
    """What the teacher really is: kernels, types and counts, read off the modules rather than off the configuration."""
    ranker = teacher.ranker
    layers = [type(module).__name__ for module in ranker.llm.modules()]
    decoder = base_decoder(ranker.llm)
    return teacher.choices | {
        "attention_in_use": decoder.config._attn_implementation,  # type: ignore[union-attr]
        "blocks": len(decoder_blocks(ranker.llm)),
        "frozen_dtypes": sorted({str(p.dtype) for p in ranker.llm.parameters() if not p.requires_grad}),
        "trained_dtypes": sorted({str(p.dtype) for p in trained_parameters(ranker).values()}),
        "quantised_layers": sum(name in ("Linear4bit", "Linear8bitLt") for name in layers),
        "adapted_layers": layers.count("GatedDown"),
        "frozen_parameters": sum(p.numel() for p in ranker.parameters() if not p.requires_grad),
        "trained_parameters": sum(p.numel() for p in trained_parameters(ranker).values()),
    }


@torch.inference_mode()
def gate_examples(teacher: Teacher, user_ids: Sequence[str]) -> dict[str, Any]:
    """Expert weights after the whole train history: some users', their mean entropy (nats), their spread over users."""
    data, ranker = teacher.data, teacher.ranker
    if ranker.gate is None:
        return {"users": [], "entropy": None, "between_user_std": None}
    targets = data.targets("validation")
    windows = history_windows(data, targets, teacher.window_length)
    weights = torch.zeros(len(windows), teacher.config.adapter.experts)
    for rows in sorted_batches(windows.lengths, 256):
        items = collate(data, windows, rows).items.to(teacher.device)
        weights[torch.from_numpy(rows)] = ranker.gate(ranker.student.last_states(items)).cpu()
    chosen = np.linspace(0, len(windows) - 1, min(EXAMPLE_USERS, len(windows))).astype(int)
    return {
        "users": [
            {"user": user_ids[targets.users[row]], "weights": [round(float(w), 4) for w in weights[row]]}
            for row in chosen
        ],
        "entropy": float(-(weights * weights.clamp_min(1e-12).log()).sum(dim=1).mean()),
        "between_user_std": float(weights.std(dim=0, correction=0).mean()),
    }
