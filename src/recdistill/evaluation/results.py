"""What an evaluation and a comparison of runs come to, as `metrics.json` and `recdistill compare --json` hold them.

A key that may be missing was not written by every version whose files are read.
"""

from typing import NotRequired, TypedDict

from recdistill.storage.typed import JsonValue

Interval = list[float]
"""The ends of a 95 % interval."""
Values = dict[str, float]
"""By metric, such as `ndcg@10`."""


class Test(TypedDict):
    """A paired test of two models: the difference a - b of their means, its interval, p, and p corrected by Holm."""

    a: str
    b: str
    metric: str
    difference: float
    interval: Interval
    p: float
    p_holm: float


class Compared(TypedDict):
    """Models on the same rows, of so many users: by model their metrics and intervals, and the paired tests."""

    rows: int
    users: int
    models: dict[str, Values]
    intervals: dict[str, dict[str, Interval]]
    tests: list[Test]


Bounds = TypedDict("Bounds", {"name": str, "from": int, "to": int})
"""A slice of the rows: its name, and the least and the largest value by which its rows were chosen."""


class Slice(Bounds, Compared):
    """Models on a slice of the rows."""


class AmongCandidates(TypedDict):
    """Models by the share of targets that stand before `random` drawn candidates; `left_out` rows had too few."""

    random: int
    metric: str
    left_out: NotRequired[int]
    rows: NotRequired[int]
    users: NotRequired[int]
    models: dict[str, Values]
    intervals: dict[str, dict[str, Interval]]
    tests: NotRequired[list[Test]]


class Fingerprints(TypedDict):
    """What was ranked: the data, its split, and interactions and targets whoever was trained on."""

    data: NotRequired[str]
    split: NotRequired[str]
    evaluation: NotRequired[str]


class Question(TypedDict):
    """What was measured, and on what."""

    split: str
    filter_seen: bool
    items: int
    rows: int
    users: int
    fingerprints: Fingerprints


Fit = dict[str, int | float | dict[str, int] | None]
"""What a baseline was fitted with; or under `left_out` the sizes for which it was left out."""


class Metrics(Question):
    """`metrics.json`. `repeats` counts targets that repeat their history and so are misses for every model."""

    repeats: int
    seed: int
    bootstrap_samples: int
    permutations: int
    models: dict[str, Values]
    intervals: dict[str, dict[str, Interval]]
    tests: list[Test]
    slices: dict[str, list[Slice]]
    candidates: NotRequired[AmongCandidates]
    baselines: NotRequired[dict[str, Fit]]


class Against(TypedDict):
    """What a model is compared with."""

    variant: str
    model: str


class Estimate(TypedDict):
    """A model of a variant: its mean over seeds and users, the seeds' spread, the interval, and the difference to
    another, with its own interval and test, where there is one.
    """

    variant: str
    model: str
    seeds: int
    mean: float
    std: float | None
    interval: Interval
    against: NotRequired[Against]
    difference: NotRequired[float]
    difference_interval: NotRequired[Interval]
    gain_percent: NotRequired[float | None]
    p: NotRequired[float]
    p_holm: NotRequired[float]
    beside: NotRequired[Values]


class EstimatedSlice(Bounds):
    """Models of variants on a slice of the rows."""

    rows: int
    entries: list[Estimate]


class Cost(TypedDict):
    """What a step took on average; core-seconds where all runs recorded them."""

    seconds: float
    core_seconds: float | None


class Variant(TypedDict):
    """A variant's runs, seeds, settings (the first run's), the code and devices that they ran with, and what each step
    cost on average.
    """

    runs: list[str]
    seeds: list[int]
    settings: dict[str, dict[str, JsonValue]]
    code: NotRequired[dict[str, list[str]]]
    devices: NotRequired[dict[str, list[str]]]
    steps: dict[str, Cost]


class Knowledge(TypedDict):
    """What the knowledge of a variant's pretrained models is worth.

    `weights` are those that the control had in their place, by setting; the entries are the variant's models, each
    compared with the control's.
    """

    variant: str
    control: str
    weights: dict[str, str]
    entries: list[Estimate]


class Comparison(Question):
    """Runs side by side."""

    repeats: NotRequired[int]
    metric: str
    bootstrap_samples: int
    permutations: int
    seed: int
    tests: int
    p_over_seeds: NotRequired[bool]
    variants: dict[str, Variant]
    entries: list[Estimate]
    slices: dict[str, list[EstimatedSlice]]
    knowledge: NotRequired[list[Knowledge]]
