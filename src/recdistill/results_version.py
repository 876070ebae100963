"""Whether a finished step's numbers are this version's: each step has a count, raised when a change moves its results.

The counts stand in :mod:`recdistill.steps`. A step that was finished under another count is done again, and the log
says why; what is made from it follows, since its fingerprint is among their inputs. `docs/design.md` says when to raise
one.
"""

from collections.abc import Mapping
from typing import Any

from recdistill.steps import STEPS, Step

RESULTS: dict[Step, int] = {spec.name: spec.results for spec in STEPS}
"""Step → the count of its results."""


def results_of(manifest: Mapping[str, Any]) -> int:
    """The count under which a finished step was made; manifests from before there were counts have none."""
    return int(manifest.get("code", {}).get("results", 1))


def changed_results(step: Step, manifest: Mapping[str, Any]) -> str:
    """Why a finished step's numbers are not this version's, in words; empty where they are."""
    before, now = results_of(manifest), RESULTS[step]
    if before == now:
        return ""
    version = manifest.get("code", {}).get("version") or "another version"
    return f"recdistill {version} made it, whose results or files are not this version's ({step}: {before} → {now})"
