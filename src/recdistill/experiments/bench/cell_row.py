"""What a cell's row says beside its times: speeds, and for each setting whether it was in effect."""

from collections.abc import Mapping
from dataclasses import asdict

import torch

from recdistill.config import RunConfig, TeacherConfig
from recdistill.config.settings import flat
from recdistill.experiments.bench.matrix import Sizes
from recdistill.experiments.bench.results import Evidence, Speed
from recdistill.experiments.bench.spec import CellSpec, plain_setting
from recdistill.language_models.backbone import DTYPES
from recdistill.languages import message
from recdistill.measure.evidence import TokenCount
from recdistill.measure.facts import Facts, Judged, TokensRead, beside_tokens, together
from recdistill.measure.settings_check import judge
from recdistill.teacher.ranker import AUTOCAST

WITHOUT_TRAINING = (
    "teacher.history_length",
    "teacher.gate.kind",
    "teacher.layers",
    "teacher.adapter.rank",
    "teacher.adapter.experts",
    "teacher.adapter.layers",
    "teacher.prompt",
    "teacher.head",
)
"""Settings of the teacher that show without a step of training."""
CONTEXT = (
    "teacher.precision",
    "teacher.quantization",
    "teacher.compute_dtype",
    "teacher.train.batch_tokens",
    "export.use_cache",
)
"""Settings that others are judged beside."""


def speed(count: TokenCount, steps: int, seconds: float, needed: float, peak: float) -> Speed:
    """What was read, and how fast.

    Args:
        count: what was read.
        steps: of the optimiser, or batches read.
        seconds: in all.
        needed: FLOPs that the real tokens need.
        peak: FLOP/s of a matrix product of the same type on this machine.
    """
    return {
        **count.plain(),
        "padding_share": count.padding,
        "steps": steps,
        "seconds": round(seconds, 4),
        "rows_per_second": count.prompts / seconds,
        "targets_per_second": count.targets / seconds,
        "useful_tokens_per_second": count.useful / seconds,
        "model_flops": needed,
        "model_flops_utilisation": needed / seconds / peak,
    }


def evidence(spec: CellSpec, sizes: Sizes, config: RunConfig, facts: Facts, exported: TokenCount) -> Evidence:
    """What was seen as it ran, and for each setting of the cell whether it was in effect; None: not judged."""
    tokens: TokensRead = {**facts.get("tokens", TokensRead()), "export": exported.plain()}
    every = flat(asdict(config))
    # Its own settings, and those in which any other cell differs from it: a base that ran something else than it says
    # would spoil every comparison.
    asked = {key: every[key] for key in spec["judged"] if key in every and _measured(key, every, spec, sizes)}
    context = {key: every[key] for key in CONTEXT}
    found = {one.key: one.kept() for one in judge(context | asked, beside_tokens(facts, tokens))}
    settings = [found.get(key) or _not_judged(key, value) for key, value in asked.items()]
    return {"settings": settings, "model": together(facts, {"tokens": tokens})}


def _measured(key: str, every: Mapping[str, object], spec: CellSpec, sizes: Sizes) -> bool:
    """Whether the cell ran what would show the setting."""
    if key.startswith("export."):
        return bool(sizes.export_rows)
    if key in ("teacher.double_quantization", "teacher.compute_dtype"):
        return bool(every["teacher.quantization"] == "nf4")
    return bool(sizes.rows) or (key in spec["settings"] and key in WITHOUT_TRAINING)


def _not_judged(key: str, asked: object) -> Judged:
    """A setting that nothing looks for: no judgement."""
    seen = [message("seen_not_looked_for").kept()]
    return {"key": key, "asked": plain_setting(asked), "seen": seen, "in_effect": None}


def computed_in(teacher: TeacherConfig) -> torch.dtype:
    """The type of the frozen layers' products: the peak of this type is what utilisation is a share of."""
    if teacher.quantization == "nf4" and teacher.compute_dtype != "auto":
        return DTYPES[teacher.compute_dtype]
    return AUTOCAST.get(teacher.precision, DTYPES[teacher.precision])
