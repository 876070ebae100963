"""What a model's pretrained knowledge is worth: a variant minus the same variant whose models had lost it.

Two variants make such a pair when all their settings are equal but those that say which weights a language model or a
title encoder has (:mod:`recdistill.language_models.control_weights`), and one of them has the pretrained ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations as ordered_pairs

import numpy as np

from recdistill.data.prepared import IntArray
from recdistill.evaluation.contenders import Contender, add_tests, estimates
from recdistill.evaluation.results import Estimate, Knowledge, Variant

WEIGHTS = ("llm_weights", "title_encoder_weights")
"""Settings of the teacher that take a model's knowledge away."""
PRETRAINED = "pretrained"


def knowledge_pairs(variants: Mapping[str, Variant]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Pairs of variants: the one with its knowledge, its control, and the control's weights by setting."""
    for name, control in ordered_pairs(variants, 2):
        differing = _differing(variants[name], variants[control])
        if differing and all(one == PRETRAINED for one, _ in differing.values()):
            yield name, control, {key: weights for key, (_, weights) in differing.items()}


def _differing(one: Variant, other: Variant) -> dict[str, tuple[str, str]]:
    """The weights in which two variants differ; empty where they differ in anything else too."""
    first, second = _flat(one), _flat(other)
    keys = {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}
    known = {("teacher", key): f"teacher.{key}" for key in WEIGHTS}
    if not keys or not keys <= known.keys():
        return {}
    # Runs from before there were such settings had the pretrained weights.
    found = {known[key]: (str(first.get(key, PRETRAINED)), str(second.get(key, PRETRAINED))) for key in sorted(keys)}
    return {key: pair for key, pair in found.items() if pair[0] != pair[1]}


def _flat(variant: Variant) -> dict[tuple[str, str], object]:
    return {(step, key): value for step, section in variant["settings"].items() for key, value in section.items()}


def knowledge_worth(
    variants: Mapping[str, Variant],
    users: IntArray,
    contenders: Sequence[Contender],
    samples: int,
    permutations: int,
    seed: int,
) -> list[Knowledge]:
    """Each model of a variant minus the same model of its control; what both share to the bit is left out.

    Args:
        variants: what each variant was made with.
        users: (rows,), who each row is of.
        contenders: the models that are compared.
        samples: bootstrap resamples of users and seeds for each 95 % interval.
        permutations: sign patterns of each test; all differences of a pair are one family for Holm's correction.
        seed: of resamples and patterns.
    """
    found: list[Knowledge] = []
    for name, control, weights in knowledge_pairs(variants):
        rng = np.random.default_rng(seed)
        entries = _entries(name, control, users, contenders, samples, permutations, rng)
        if entries:
            found.append({"variant": name, "control": control, "weights": weights, "entries": entries})
    return found


def _entries(
    name: str,
    control: str,
    users: IntArray,
    contenders: Sequence[Contender],
    samples: int,
    permutations: int,
    rng: np.random.Generator,
) -> list[Estimate]:
    without = {one.model: one for one in contenders if one.variant == control}
    chosen: list[Contender] = []
    against: list[int | None] = []
    for one in contenders:
        other = without.get(one.model)
        if one.variant != name or other is None or _same(one, other):
            continue
        chosen += [other, one]
        against += [None, len(chosen) - 2]
    if not chosen:
        return []
    entries = estimates(users, chosen, against, samples, rng)
    add_tests(entries, users, chosen, against, permutations, rng)
    return [entry for entry in entries if "difference" in entry]


def _same(one: Contender, other: Contender) -> bool:
    return one.seeds == other.seeds and np.array_equal(one.values, other.values)
