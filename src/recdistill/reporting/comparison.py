"""A comparison of runs as tables on the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from recdistill.evaluation.results import Comparison, Estimate, EstimatedSlice, Variant
from recdistill.languages import Language
from recdistill.reporting.knowledge import knowledge_lines
from recdistill.reporting.language import Texts
from recdistill.reporting.letters import is_wide
from recdistill.reporting.wording import certain_misses, disagreement, metric, metric_name, p_relation, p_value, signed

COLUMNS = ("variant", "model", "seeds", "mean", "std", "interval", "difference", "interval", "gain", "p", "p_holm")
SLICE_COLUMNS = ("slice", "rows", "variant", "model", "mean", "interval", "difference", "interval")
COST_COLUMNS = ("variant", "step", "seconds", "core_seconds")
"""Columns, called as the messages with their heads are."""
LABELS = ("variant", "model", "slice", "step")
"""Columns of words, which stand to the left; numbers stand to the right."""


def comparison_tables(found: Comparison, language: Language = "en") -> str:
    """What :func:`recdistill.evaluation.compare.compare` found: all contenders, slices, beside the metric, cost."""
    texts = Texts(language)
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
    rows = [_row(entry) for entry in found["entries"]]
    parts = [texts("of_metric", metric=name, how=how), _table(COLUMNS, rows, texts), _against(found, texts)]
    parts += _notes(found, texts)
    for kind, slices in found["slices"].items():
        rows = [row for part in slices for row in _slice_rows(part, kind, texts)]
        axis = texts("target_popularity" if kind == "popularity" else kind)
        head = texts("in_slices", metric=name, axis=axis)
        parts.append(f"{head}\n{_table(SLICE_COLUMNS, rows, texts)}")
    if "popularity" not in found["slices"]:
        parts.append(texts("no_popularity_slices", axis=texts("target_popularity")))
    parts += [_beside(found["entries"], texts), _cost(found["variants"], texts), *_devices(found["variants"], texts)]
    return "\n\n".join(parts)


def study_table(found: Mapping[str, Comparison], language: Language = "en") -> str:
    """The end of a study: the first metric's comparison, and of the others each variant's mean with its interval.

    Args:
        found: by metric, what :func:`recdistill.evaluation.compare.compare` found for the same variants and models.
        language: of the words.
    """
    texts = Texts(language)
    first, *others = found.values()
    rows = [_row(entry) for entry in first["entries"]]
    parts = [metric_name(first["metric"]), _table(COLUMNS, rows, texts), _against(first, texts)]
    parts += _notes(first, texts)
    header = ["variant", "model", *(metric_name(one["metric"]) for one in others)]
    rows = [
        [entry["variant"], entry["model"]]
        + [f"{metric(one['entries'][place]['mean'])} {_ends(one['entries'][place]['interval'])}" for one in others]
        for place, entry in enumerate(first["entries"])
    ]
    return "\n\n".join([*parts, _table(header, rows, texts)] if others else parts)


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


def _against(found: Comparison, texts: Texts) -> str:
    """What the differences are to, and how intervals and tests were made."""
    compared = [entry for entry in found["entries"] if "difference" in entry]
    if not compared:
        return texts("nothing_compared")
    names = dict.fromkeys(f"{entry['against']['variant']}:{entry['against']['model']}" for entry in compared)
    return texts(
        "compared_with",
        names=", ".join(names),
        samples=f"{found['bootstrap_samples']:,}",
        # Earlier versions held the seeds fixed in p.
        p_seeds=texts("p_with_seeds") if found.get("p_over_seeds") else "",
        permutations=f"{found['permutations']:,}",
        tests=texts("one_test") if found["tests"] == 1 else texts("several_tests", tests=found["tests"]),
    )


def _slice_rows(part: EstimatedSlice, kind: str, texts: Texts) -> Iterator[list[str]]:
    name = texts.slice_name(part["name"], kind, part["from"], part["to"])
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


def _beside(entries: Sequence[Estimate], texts: Texts) -> str:
    """Coverage, popularity, novelty and the papers' protocol; empty where a run of the variant did not record it."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry["beside"]))
    rows = [
        [entry["variant"], entry["model"], *(_plain(entry["beside"].get(key)) for key in keys)] for entry in entries
    ]
    return _table(["variant", "model", *keys], rows, texts)


def _cost(variants: Mapping[str, Variant], texts: Texts) -> str:
    """What each step took, on average over the seeds."""
    rows = [
        [variant, texts.step(step), _plain(cost["seconds"], 1), _plain(cost["core_seconds"], 1)]
        for variant, about in variants.items()
        for step, cost in about["steps"].items()
    ]
    return _table(COST_COLUMNS, rows, texts)


def _devices(variants: Mapping[str, Variant], texts: Texts) -> Iterator[str]:
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
        unknown = texts("device_not_recorded")
        told = "; ".join(f"{variant}: {name or unknown}" for variant, name in names.items())
        yield texts("devices_differ", devices=told)
    elif any(names.values()):
        every = {name for found in each.values() for step in found.values() for name in step}
        yield texts("one_device", device=", ".join(sorted(every)))


def _plain(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: Texts) -> str:
    """Columns side by side, two spaces between them; one without a message is a metric, which is its own head."""
    heads = [texts(name) if name in texts.messages else name for name in columns]
    widths = [max(_width(row[place]) for row in [heads, *rows]) for place in range(len(columns))]
    lines = []
    for row in [heads, *rows]:
        cells = zip(columns, row, widths, strict=True)
        padded = (
            text + fill if name in LABELS else fill + text
            for name, text, fill in ((name, text, " " * (width - _width(text))) for name, text, width in cells)
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Places that a text takes on a terminal: two a letter where letters are as wide as they are high."""
    return sum(2 if is_wide(letter) else 1 for letter in text)
