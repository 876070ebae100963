"""The same teacher on a seeded sample: windows for training and export, users for validation, counted as they go by."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData, SplitName, Targets
from recdistill.data.windows import Windows, history_windows
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.protocol import rank_validation
from recdistill.experiments.bench.matrix import Sizes
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import Teacher


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


def windows_of_sampled_users(windows: Windows, targets: int, seed: int) -> Windows:
    """All windows of users in a random order until they hold `targets` targets: histories stay whole."""
    users = np.unique(windows.users)
    order = np.random.default_rng([seed, targets]).permutation(users)
    counts = np.bincount(windows.users, weights=windows.num_targets, minlength=int(users.max()) + 1)[order]
    chosen = order[np.cumsum(counts) - counts < targets]
    return windows.take(np.flatnonzero(np.isin(windows.users, chosen)))


class SampledTeacher(Teacher):
    """A teacher whose windows for training and export are samples; all else is the package's own."""

    def __init__(self, config: RunConfig, data: PreparedData, student: Path, device: str, sizes: Sizes) -> None:
        self.sizes, self.seed = sizes, config.seed
        super().__init__(config, data, student, device)

    def training_windows(self) -> Windows:
        """The sampled training windows."""
        return sample_windows(super().training_windows(), max(1, self.sizes.rows), self.seed)

    def export_windows(self) -> Windows:
        """What an export goes through for some users, whose histories stay whole: a cache needs them to grow."""
        return windows_of_sampled_users(super().export_windows(), max(1, self.sizes.export_rows), self.seed + 1)

    def test_windows(self) -> Windows:
        """Sampled histories before test targets. Only reading them is timed: what comes out is thrown away."""
        targets = sample_targets(self.data, "test", max(1, self.sizes.test_rows), self.seed)
        return history_windows(self.data, targets, self.window_length)

    def user_ndcg(self) -> NDArray[np.float64]:
        """NDCG@10 of each sampled validation target."""
        return ndcg(rank_validation(TeacherScorer(self), self.data, self.evaluate).ranks, 10)


def seconds_of(phases: dict[str, float], *names: str) -> float | None:
    """The sum of some phases; None where none of them took place."""
    found = [phases[name] for name in names if name in phases]
    return sum(found) if found else None
