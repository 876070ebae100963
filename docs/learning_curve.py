"""The learning curve of `docs/results.md`: what teacher and distilled student are worth with fewer users."""

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

Mean NDCG@10 with its 95 % interval over seeds and users, by how many of the users were trained on; all {users} are
tested. Each share has its own variant `main`, with the settings chosen on its validation (a tenth's after a test
evaluation of others, see [there](#ml-latest-small-tenth-test)), so the points differ in their settings too:

| users trained on | seeds | `distill.weight`, `dropout` | epochs of student, teacher, distilled student |
|---|---|---|---|
{rows}

Intervals of two models may overlap although the paired test, which compares them user by user, finds a difference:
those tests are in the sections of the studies."""


def learning_curve(results: Path) -> tuple[str, str]:
    """The section and its drawing.

    Args:
        results: the folder of results, as `docs/generate_results.py` describes it.

    Returns:
        Markdown with a place `{drawing}` for the drawing's path; the drawing as SVG.
    """
    found = {share: json.loads((results / share / "test.json").read_text(encoding="utf-8")) for share in SHARES}
    estimates = {shown: [_estimate(one, *key) for one in found.values()] for key, shown in MODELS.items()}
    users = {one["users"] for one in found.values()}
    if len(users) > 1:
        raise ValueError(f"the studies tested different users: {users}")
    svg = slices("learning-curve", list(SHARES.values()), "users trained on", estimates, "NDCG@10")
    rows = "\n".join(_row(found[share], shown) for share, shown in SHARES.items())
    text = SECTION.format(drawing="{drawing}", users=users.pop(), rows=rows)
    return text, svg.replace(">", f">{DARK}", 1) + "\n"


def _estimate(found: dict[str, Any], variant: str, model: str) -> Estimate:
    entry = next(entry for entry in found["entries"] if (entry["variant"], entry["model"]) == (variant, model))
    return Estimate(entry["mean"], *entry["interval"])


def _row(found: dict[str, Any], shown: str) -> str:
    settings = found["variants"]["main"]["settings"]
    distilled, seeds = settings["distilled"], next(entry["seeds"] for entry in found["entries"])
    epochs = ", ".join(str(settings[step]["train"]["max_epochs"]) for step in ("student", "teacher", "distilled"))
    return f"| {shown} | {seeds} | {distilled['weight']:g}, {distilled['dropout']:g} | {epochs} |"
