"""What the models' pretrained knowledge is worth, in lines: a run or variant minus its control."""

from pathlib import Path

from recdistill.evaluation.compare import compare
from recdistill.evaluation.results import Comparison, Estimate, Knowledge
from recdistill.reporting.language import Texts
from recdistill.reporting.wording import LEVEL, disagreement, metric_name, p_relation, signed


def knowledge_lines(found: Comparison, texts: Texts) -> list[str]:
    """For each pair of a variant and its control a head line and one line a model; empty where there is no pair."""
    lines = []
    for worth in found.get("knowledge", []):
        lines.append(_head(worth, found["metric"], texts))
        lines += [f"  {_line(entry, texts)}" for entry in worth["entries"]]
    return lines


def against_control(run: Path, control: Path, texts: Texts) -> tuple[str, list[str]]:
    """The same of one run and its control: the head line, and one line a model.

    Where `control` is not the same run but for the weights of its models, the head line says so and stands alone.

    Raises:
        UserError: one of them was not evaluated, or they were not measured alike.
    """
    names = (run.name, control.name) if run.name != control.name else (str(run), str(control))
    found = compare(dict(zip(names, ([run], [control]), strict=True)), sliced=False)
    worth = next((one for one in found.get("knowledge", []) if one["variant"] == names[0]), None)
    if worth is None:
        return texts("knowledge_no_control", control=control.name), []
    return _head(worth, found["metric"], texts), [_line(entry, texts) for entry in worth["entries"]]


def _head(worth: Knowledge, metric: str, texts: Texts) -> str:
    weights = ", ".join(f"{key}: {kind}" for key, kind in worth["weights"].items())
    return texts(
        "knowledge_worth",
        variant=worth["variant"],
        control=worth["control"],
        weights=weights,
        metric=metric_name(metric),
    )


def _line(entry: Estimate, texts: Texts) -> str:
    """One model's gain by its knowledge, with its interval and test, and a word where nothing can be told."""
    low, high = entry["difference_interval"]
    gain = entry["gain_percent"]
    told = texts(
        "knowledge_of",
        model=texts.name(entry["model"]),
        gain="" if gain is None else f"{gain:+.1f} %",
        difference=signed(entry["difference"]),
        low=signed(low),
        high=signed(high),
        p=p_relation(entry["p"]),
    )
    level = low <= 0 <= high and entry["p"] >= LEVEL
    note = texts("knowledge_level") if level else disagreement(texts, entry["difference_interval"], entry["p"])
    return f"{told} {note}" if note else told
