"""A comparison of runs as tables on the terminal, in English."""

from collections.abc import Iterator, Mapping, Sequence

from recdistill.evaluation.results import Comparison, Estimate, EstimatedSlice, Variant
from recdistill.reporting.knowledge import knowledge_lines
from recdistill.reporting.language import Texts
from recdistill.reporting.wording import certain_misses, disagreement, metric, metric_name, p_relation, p_value, signed

HEADER = (
    "variant",
    "model",
    "seeds",
    "mean",
    "std",
    "95 % interval",
    "difference",
    "95 % interval",
    "gain",
    "p",
    "p (Holm)",
)
SLICE_HEADER = ("slice", "rows", "variant", "model", "mean", "95 % interval", "difference", "95 % interval")
LABELS = ("variant", "model", "slice", "step")
"""Columns of words, which stand to the left; numbers stand to the right."""


def comparison_tables(found: Comparison) -> str:
    """What :func:`recdistill.evaluation.compare.compare` found: all contenders, slices, beside the metric, cost."""
    texts = Texts("en")
    name = metric_name(found["metric"])
    seen = texts("seen_filtered" if found["filter_seen"] else "seen_kept")
    how = texts(
        "how",
        split=texts(f"split_{found['split']}"),
        seen=seen,
        rows=f"{found['rows']:,}",
        users=f"{found['users']:,}",
        items=f"{found['items']:,}",
    )
    if repeats := found.get("repeats"):  # what earlier versions wrote has no count
        how += f" {certain_misses(repeats, found['rows'], texts)}"
    parts = [f"{name}. {how}", _table(HEADER, [_row(entry) for entry in found["entries"]]), _against(found)]
    parts += _notes(found, texts)
    for kind, slices in found["slices"].items():
        rows = [row for part in slices for row in _slice_rows(part, kind, texts)]
        axis = texts("target_popularity" if kind == "popularity" else kind)
        parts.append(f"{name} by {axis}; no tests\n{_table(SLICE_HEADER, rows)}")
    if "popularity" not in found["slices"]:
        parts.append(f"No slices by {texts('target_popularity')}: the runs were trained on different users.")
    return "\n\n".join([*parts, _beside(found["entries"]), _cost(found["variants"]), *_devices(found["variants"])])


def study_table(found: Mapping[str, Comparison]) -> str:
    """The end of a study: the first metric's comparison, and of the others each variant's mean with its interval.

    Args:
        found: by metric, what :func:`recdistill.evaluation.compare.compare` found for the same variants and models.
    """
    texts = Texts("en")
    first, *others = found.values()
    parts = [metric_name(first["metric"]), _table(HEADER, [_row(entry) for entry in first["entries"]]), _against(first)]
    parts += _notes(first, texts)
    header = ["variant", "model", *(metric_name(one["metric"]) for one in others)]
    rows = [
        [entry["variant"], entry["model"]]
        + [f"{metric(one['entries'][place]['mean'])} {_ends(one['entries'][place]['interval'])}" for one in others]
        for place, entry in enumerate(first["entries"])
    ]
    return "\n\n".join([*parts, _table(header, rows)] if others else parts)


def _notes(found: Comparison, texts: Texts) -> list[str]:
    """A line for each row whose interval and p do not say the same, and what pretrained knowledge is worth."""
    notes = []
    for entry in found["entries"]:
        if "difference" not in entry:
            continue
        why = disagreement(texts, entry["difference_interval"], entry["p"])
        if why and entry["seeds"] > 1 and not found.get("p_over_seeds"):
            why = texts("seeds_held_fixed", p=p_relation(entry["p"]))
        if why:
            notes.append(f"{entry['variant']}:{entry['model']}: {why}")
    lines = [part for part in (notes, knowledge_lines(found, texts)) if part]
    return ["\n".join(part) for part in lines]


def _row(entry: Estimate) -> list[str]:
    std = "" if entry["std"] is None else metric(entry["std"])
    row = [entry["variant"], entry["model"], str(entry["seeds"]), metric(entry["mean"]), std, _ends(entry["interval"])]
    if "difference" not in entry:
        return [*row, "", "", "", "", ""]
    gain = "" if entry["gain_percent"] is None else f"{entry['gain_percent']:+.1f} %"
    return [*row, *_difference(entry), gain, p_value(entry["p"]), p_value(entry["p_holm"])]


def _ends(ends: Sequence[float]) -> str:
    return f"[{metric(ends[0])}, {metric(ends[1])}]"


def _difference(entry: Estimate) -> list[str]:
    if "difference" not in entry:
        return ["", ""]
    low, high = map(signed, entry["difference_interval"])
    return [signed(entry["difference"]), f"[{low}, {high}]"]


def _against(found: Comparison) -> str:
    """What the differences are to, and how intervals and tests were made."""
    compared = [entry for entry in found["entries"] if "difference" in entry]
    if not compared:
        return "One variant and no baseline: no differences. Intervals: bootstrap over seeds and users."
    names = dict.fromkeys(f"{entry['against']['variant']}:{entry['against']['model']}" for entry in compared)
    tests = f"{found['tests']} test{'' if found['tests'] == 1 else 's'}"
    return (
        f"Differences to {', '.join(names)}. "
        f"Intervals: {found['bootstrap_samples']:,} bootstrap resamples of seeds and users. "
        f"p: paired sign flips of users' means over seeds{_seeds_in_p(found)} "
        f"({found['permutations']:,} permutations); Holm over {tests}."
    )


def _seeds_in_p(found: Comparison) -> str:
    """Earlier versions held the seeds fixed in p."""
    return ", with resampled seeds" if found.get("p_over_seeds") else ""


def _slice_rows(part: EstimatedSlice, kind: str, texts: Texts) -> Iterator[list[str]]:
    key = "slice_cold" if part["name"] == "cold" else f"slice_{kind}"
    name = texts(key, first=part["from"], last=part["to"])
    for place, entry in enumerate(part["entries"]):
        head = ["", ""] if place else [name, f"{part['rows']:,}"]
        yield [
            *head,
            entry["variant"],
            entry["model"],
            metric(entry["mean"]),
            _ends(entry["interval"]),
            *_difference(entry),
        ]


def _beside(entries: Sequence[Estimate]) -> str:
    """Coverage, popularity, novelty and the papers' protocol; empty where a run of the variant did not record it."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry["beside"]))
    rows = [
        [entry["variant"], entry["model"], *(_plain(entry["beside"].get(key)) for key in keys)] for entry in entries
    ]
    return _table(["variant", "model", *keys], rows)


def _cost(variants: Mapping[str, Variant]) -> str:
    """What each step took, on average over the seeds."""
    rows = [
        [variant, step, _plain(cost["seconds"], 1), _plain(cost["core_seconds"], 1)]
        for variant, about in variants.items()
        for step, cost in about["steps"].items()
    ]
    return _table(["variant", "step", "seconds", "core-seconds"], rows)


def _devices(variants: Mapping[str, Variant]) -> Iterator[str]:
    """What the steps ran on, with a word of care where variants differ in it; nothing where it was not recorded."""
    each = {variant: about.get("devices", {}) for variant, about in variants.items()}
    of_step: dict[str, set[tuple[str, ...]]] = {}
    for variant, about in variants.items():
        for step in about["steps"]:
            of_step.setdefault(step, set()).add(tuple(each[variant].get(step, ())))
    names = {
        variant: ", ".join(sorted({name for step in found.values() for name in step}))
        for variant, found in each.items()
    }
    if any(len(devices) > 1 for devices in of_step.values()):
        told = "; ".join(f"{variant}: {name or 'not recorded'}" for variant, name in names.items())
        yield f"Devices differ, so costs cannot be compared: {told}."
    elif any(names.values()):
        every = {name for found in each.values() for step in found.values() for name in step}
        yield f"Device: {', '.join(sorted(every))}."


def _plain(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, two spaces between them."""
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    lines = [
        "  ".join(
            text.ljust(width) if name in LABELS else text.rjust(width)
            for name, text, width in zip(header, row, widths, strict=True)
        ).rstrip()
        for row in [header, *rows]
    ]
    return "\n".join(lines)
