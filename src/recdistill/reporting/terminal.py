"""The results in a few lines, for the end of a command."""

from pathlib import Path

from recdistill.evaluation.results import Metrics
from recdistill.reporting.language import Texts
from recdistill.reporting.wording import (
    baselines_left_out,
    bracketed,
    certain_misses,
    metric,
    metric_name,
    story_sentences,
)
from recdistill.storage.typed import read_typed

COLUMNS = ("ndcg@10", "hit_rate@10")


def results_table(run: Path) -> str:
    """The models' main metrics with 95 % intervals, what was ranked, and the pipeline's comparisons, in English.

    Raises:
        UserError: the run has not been evaluated.
    """
    texts = Texts("en")
    metrics = read_typed(run / "evaluation" / "metrics.json", Metrics)
    rows = [["", *map(metric_name, COLUMNS), metric_name("mrr@10")]]
    for name, values in metrics["models"].items():
        ends = metrics["intervals"][name]
        rows.append([name, *(bracketed(values[key], ends[key]) for key in COLUMNS), metric(values["mrr@10"])])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    seen = texts("seen_filtered" if metrics["filter_seen"] else "seen_kept")
    split = texts(f"split_{metrics['split']}")
    ranked, users, items = (f"{count:,}" for count in (metrics["rows"], metrics["users"], metrics["items"]))
    lines += ["", texts("how", split=split, seen=seen, rows=ranked, users=users, items=items)]
    if metrics["repeats"]:
        lines.append(certain_misses(metrics["repeats"], metrics["rows"], texts))
    lines += baselines_left_out(metrics, texts)
    return "\n".join(lines + story_sentences(metrics, texts, "ndcg@10"))
