"""Models of variants of runs, each with its values over seeds and users: means, intervals and paired tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recdistill.data.prepared import IntArray, LongArray
from recdistill.evaluation.metrics import FloatArray
from recdistill.evaluation.results import Estimate
from recdistill.evaluation.significance import bootstrap_over_seeds, holm, interval, seed_noise, sign_flip_test


@dataclass(frozen=True)
class Contender:
    """One model of one variant.

    Attributes:
        variant: the variant's name.
        model: the model's name.
        seeds: S seeds, ascending.
        values: (rows, S) the metric, a column a seed.
        beside: means over seeds of what `metrics.json` holds beside it; only what all runs of the variant have.
    """

    variant: str
    model: str
    seeds: tuple[int, ...]
    values: FloatArray
    beside: dict[str, float]


def on_rows(contender: Contender, rows: LongArray) -> Contender:
    """The same model on some of the rows."""
    return Contender(contender.variant, contender.model, contender.seeds, contender.values[rows], {})


def estimates(
    users: IntArray,
    contenders: Sequence[Contender],
    against: Sequence[int | None],
    samples: int,
    rng: np.random.Generator,
) -> list[Estimate]:
    """Means, spread and intervals of all contenders, and differences to what each is compared with."""
    drawn = bootstrap_over_seeds(
        users, [one.values for one in contenders], [one.seeds for one in contenders], samples, rng
    )
    means = [float(one.values.mean()) for one in contenders]
    entries: list[Estimate] = []
    for place, (one, reference) in enumerate(zip(contenders, against, strict=True)):
        spread = float(one.values.mean(axis=0).std(ddof=1)) if len(one.seeds) > 1 else None
        entry: Estimate = {
            "variant": one.variant,
            "model": one.model,
            "seeds": len(one.seeds),
            "mean": means[place],
            "std": spread,
            "interval": ends(drawn[:, place]),
        }
        if reference is not None:
            other, gap = contenders[reference], means[place] - means[reference]
            entry["against"] = {"variant": other.variant, "model": other.model}
            entry["difference"] = gap
            entry["difference_interval"] = ends(drawn[:, place] - drawn[:, reference])
            entry["gain_percent"] = 100 * gap / means[reference] if means[reference] else None
        entries.append(entry)
    return entries


def ends(drawn: FloatArray) -> list[float]:
    """The ends of the 95 % interval of values drawn again, (samples,)."""
    found: list[float] = interval(drawn[:, None])[0].tolist()
    return found


def add_tests(
    entries: Sequence[Estimate],
    users: IntArray,
    contenders: Sequence[Contender],
    against: Sequence[int | None],
    permutations: int,
    rng: np.random.Generator,
) -> int:
    """Add `p` and `p_holm` to each entry with a difference: users' means over seeds, all that differ one family.

    Seeds vary in it as they do in the interval, so that both are of the same question: other users and other seeds.

    A model that variants share is one model: compared with itself it is no question, and compared with another in
    several variants it is one question, so that sharing costs the other comparisons nothing.

    Returns:
        The number of questions.
    """
    first: dict[tuple[str, tuple[int, ...], bytes], int] = {}
    same = [first.setdefault((one.model, one.seeds, one.values.tobytes()), at) for at, one in enumerate(contenders)]
    pairs = {at: (same[at], same[reference]) for at, reference in enumerate(against) if reference is not None}
    questions = list(dict.fromkeys(pair for pair in pairs.values() if pair[0] != pair[1]))
    answers: dict[tuple[int, int], tuple[float, float]] = {}
    if questions:
        over_seeds = np.stack([one.values.mean(axis=1) for one in contenders], axis=1)  # (rows, contenders)
        differences = np.stack([over_seeds[:, one] - over_seeds[:, other] for one, other in questions], axis=1)
        p_values = sign_flip_test(users, differences, permutations, rng)
        if any(len(one.seeds) > 1 for one in contenders):
            noise = seed_noise([one.values for one in contenders], [one.seeds for one in contenders], permutations, rng)
            beside = np.stack([noise[:, one] - noise[:, other] for one, other in questions], axis=1)
            # Of few users the patterns lie far apart, and noise may move one below the difference as well as above.
            p_values = np.maximum(p_values, sign_flip_test(users, differences, permutations, rng, beside))
        answers = dict(zip(questions, zip(p_values.tolist(), holm(p_values).tolist(), strict=True), strict=True))
    for at, pair in pairs.items():
        entries[at]["p"], entries[at]["p_holm"] = answers.get(pair, (1.0, 1.0))
    return len(questions)
