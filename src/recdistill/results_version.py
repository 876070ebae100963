"""Which versions of the code give equal numbers: one count a step, raised when a change moves its results.

Two versions of recdistill with the same counts give the same numbers for the same configuration, inputs and machine. A
step that was finished under another count is done again, and the log says why; what is made from it follows, since its
fingerprint is among their inputs. `docs/design.md` says when and how to raise a count.
"""

from collections.abc import Mapping
from typing import Any

RESULTS = {"prepare": 3, "student": 2, "teacher": 3, "export": 2, "distill": 2, "evaluate": 3, "report": 2}
"""Step → its count. Raise it together with an entry marked **results** in CHANGELOG.md. A change that moves the results
of some settings only may name these settings among the step's inputs instead, as `evaluate.filter_seen: false` does.

prepare 2: ids that floats wrote, missing titles, files in UTF-8. teacher 2: items without a title, sentence encoders as
their files ask. All, once more: settings and files have other names. evaluate 3: item_knn and ease beside the other
baselines."""


def results_of(manifest: Mapping[str, Any]) -> int:
    """The count under which a finished step was made; manifests from before there were counts have none."""
    return int(manifest.get("code", {}).get("results", 1))


def changed_results(step: str, manifest: Mapping[str, Any]) -> str:
    """Why a finished step's numbers are not this version's, in words; empty where they are."""
    before, now = results_of(manifest), RESULTS[step]
    if before == now:
        return ""
    version = manifest.get("code", {}).get("version") or "another version"
    return f"recdistill {version} made it, whose results or files are not this version's ({step}: {before} → {now})"
