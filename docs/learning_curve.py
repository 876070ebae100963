"""The learning curve of `docs/results.md`: what teacher and distilled student are worth as the users shrink."""

import json
from pathlib import Path
from typing import Any

from recdistill.reporting.plots import Estimate, slices
from recdistill.reporting.report import DARK

SHARES = {
    "ml-latest-small-tenth": "a tenth",
    "ml-latest-small-quarter": "a quarter",
    "ml-latest-small-half": "half",
    "ml-latest-small.epyc": "all",
}
"""Folders of results, all made on one machine with the control `titles-alone`, and what they call their users."""
MODELS = {
    ("main", "student"): "student",
    ("titles-alone", "distilled"): "titles alone",
    ("main", "teacher"): "teacher",
    ("main", "distilled"): "distilled",
}

SECTION = """\
## Learning curve: MovieLens-latest-small, test

![NDCG@10 on test of four models, with a tenth, a quarter, half and all of the users]({drawing})

Mean NDCG@10 of the seeds ({seeds}) with its 95 % interval over seeds and users, by how many of the users were trained
on; all 671 are tested. Intervals of two models may overlap although the paired test, which compares them user by user,
tells them apart: those tests stand in the sections of {names}."""


def learning_curve(results: Path) -> tuple[str, str]:
    """The section and its drawing.

    Args:
        results: the folder of results, as `docs/generate_results.py` describes it.

    Returns:
        Markdown with a place `{drawing}` for the drawing's path; the drawing as SVG.
    """
    found = {share: json.loads((results / share / "test.json").read_text(encoding="utf-8")) for share in SHARES}
    estimates = {shown: [_estimate(one, *key) for one in found.values()] for key, shown in MODELS.items()}
    seeds = {share: next(entry["seeds"] for entry in one["entries"]) for share, one in found.items()}
    svg = slices("learning-curve", list(SHARES.values()), "users trained on", estimates, "NDCG@10")
    text = SECTION.format(
        drawing="{drawing}",
        seeds=", ".join(f"{shown}: {seeds[share]}" for share, shown in SHARES.items()),
        names=", ".join(f"`{share}`" for share in SHARES),
    )
    return text, svg.replace(">", f">{DARK}", 1) + "\n"


def _estimate(found: dict[str, Any], arm: str, model: str) -> Estimate:
    entry = next(entry for entry in found["entries"] if (entry["arm"], entry["model"]) == (arm, model))
    return Estimate(entry["mean"], *entry["interval"])
