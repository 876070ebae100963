"""The same teacher on a seeded sample: windows for training and export, users for validation, counted as they go by."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from torch import Tensor

from recdistill.bench.flops import Work
from recdistill.bench.matrix import Sizes
from recdistill.config import RunConfig
from recdistill.data.batches import Windows, history_windows
from recdistill.data.prepared import PreparedData, SplitName, Targets
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.ranking import rank
from recdistill.teacher.prompts import PromptBatch
from recdistill.training.fit import Rows
from recdistill.training.reading import Teacher, TeacherScorer
from recdistill.training.student import VALIDATION_BATCH
from recdistill.training.teacher import TeacherTraining


@dataclass(frozen=True)
class SampledData(PreparedData):
    """Prepared data of which validation has some of the users only."""

    validation: Targets = field(default_factory=lambda: Targets(np.empty(0, np.int32), np.empty(0, np.int32)))

    def targets(self, split: SplitName) -> Targets:
        """All rows of a split; of validation the sampled users'."""
        return self.validation if split == "validation" else super().targets(split)


def sample_data(data: PreparedData, users: int, seed: int) -> SampledData:
    """The data with the validation targets of `users` users drawn by `seed`."""
    parts = {part.name: getattr(data, part.name) for part in fields(PreparedData)}
    return SampledData(**parts, validation=sample_targets(data, "validation", users, seed, by_user=True))


def sample_targets(data: PreparedData, split: SplitName, count: int, seed: int, by_user: bool = False) -> Targets:
    """`count` rows of a split, or all rows of `count` users, in the data's order."""
    targets = data.targets(split)
    keys = targets.users if by_user else np.arange(len(targets))
    distinct = np.unique(keys)
    chosen = np.random.default_rng([seed, len(split)]).permutation(distinct)[:count]
    kept = np.isin(keys, chosen)
    return Targets(targets.users[kept], targets.positions[kept])


def sample_windows(windows: Windows, targets: int, seed: int) -> Windows:
    """Windows in a random order until they hold `targets` targets, the last that is needed included."""
    order = np.random.default_rng([seed, targets]).permutation(len(windows))
    before = np.cumsum(windows.num_targets[order]) - windows.num_targets[order]
    return windows.take(np.sort(order[before < targets]))


@dataclass
class Counts:
    """What went by: prompts, tokens with and without padding, predictions, batches, the largest of them."""

    prompts: int = 0
    useful: int = 0
    processed: int = 0
    targets: int = 0
    micro_batches: int = 0
    largest: int = 0
    workers: int = 0

    def add(self, batch: PromptBatch) -> None:
        """Count one batch."""
        prompts = len(batch.lengths)
        self.prompts += prompts
        self.useful += int(batch.mask.sum())
        self.processed += batch.mask.numel()
        self.targets += len(batch.target_items)
        self.micro_batches += 1
        self.largest = max(self.largest, prompts)

    @property
    def work(self) -> Work:
        """As the arithmetic on paper wants it."""
        return Work(self.prompts, self.useful, self.targets)


class SampledTeacher(Teacher):
    """A teacher whose windows for training and export are samples; all else is the package's own."""

    def __init__(self, config: RunConfig, data: PreparedData, student: Path, device: str, sizes: Sizes) -> None:
        self.sizes, self.seed = sizes, config.seed
        self.counts = Counts()
        super().__init__(config, data, student, device)

    def training_windows(self) -> Windows:
        """The sampled training windows."""
        return sample_windows(super().training_windows(), max(1, self.sizes.rows), self.seed)

    def export_windows(self) -> Windows:
        """A sample of what an export goes through."""
        return sample_windows(super().export_windows(), max(1, self.sizes.export_rows), self.seed + 1)

    def test_windows(self) -> Windows:
        """Sampled histories before test targets. Only reading them is timed: what comes out is thrown away."""
        targets = sample_targets(self.data, "test", max(1, self.sizes.test_rows), self.seed)
        return history_windows(self.data, targets, self.window_length)

    def predict(self, windows: Windows, rows: Rows) -> tuple[PromptBatch, Tensor, Tensor]:
        """As the package predicts, counted."""
        found = super().predict(windows, rows)
        self.counts.add(found[0])
        return found

    def user_ndcg(self) -> NDArray[np.float64]:
        """NDCG@10 of each sampled validation target."""
        targets = self.data.targets("validation")
        scorer = TeacherScorer(self)
        ranks = rank(self.data, targets, scorer, VALIDATION_BATCH, filter_seen=True, top_k=1).ranks
        return ndcg(ranks, 10)


class CountedTraining(TeacherTraining):
    """The package's training, with its batches counted as they reach the loss."""

    counts = Counts()

    def start_counting(self) -> None:
        """Forget what warming up has counted."""
        self.counts = Counts()

    def loss(self, batch: PromptBatch) -> Tensor:
        """As the package's."""
        if not self.counts.micro_batches:
            self.counts = replace(self.counts, workers=_children())
        self.counts.add(batch)
        return super().loss(batch)


def _children() -> int:
    """Worker processes of this process at this moment; torch's own helpers that only compile do not count."""
    names = [_command(child) for child in psutil.Process().children()]
    return sum("compile_worker" not in name for name in names)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def as_numbers(counts: Counts) -> dict[str, Any]:
    """For the row of results."""
    return {part.name: getattr(counts, part.name) for part in fields(counts)}


def padding_share(useful: int, processed: int) -> float | None:
    """The share of processed tokens that carries nothing."""
    return 1 - useful / processed if processed else None


def seconds_of(phases: dict[str, float], *names: str) -> float | None:
    """The sum of some phases; None where none of them took place."""
    found = [phases[name] for name in names if name in phases]
    return sum(found) if found else None
