"""The sections that say how good the models are: summary, results, tests, slices."""

from collections.abc import Iterable

from recdistill.evaluation.knowledge import PRETRAINED, WEIGHTS
from recdistill.evaluation.results import Metrics, Slice, Test
from recdistill.reporting import plots
from recdistill.reporting.collect import Run
from recdistill.reporting.document import Block, Bullets, Figure, Heading, Paragraph, Remark, Table, table
from recdistill.reporting.knowledge import against_control
from recdistill.reporting.language import Texts
from recdistill.reporting.plots import Estimate
from recdistill.reporting.wording import (
    PAIRS,
    baselines_left_out,
    between,
    bracketed,
    certain_misses,
    disagreement,
    metric,
    metric_name,
    p_value,
    signed,
    significance,
    story_sentences,
)

MAIN = "ndcg@10"
BOUND = "oracle"
"""The rule that made generated data: no model, and so never the best one."""
LISTED = (MAIN, "hit_rate@10", "mrr@10", "ndcg@20", "hit_rate@20")
"""The metrics of the results table; the others stand in metrics.json."""


def how(run: Run, texts: Texts) -> str:
    """What was ranked and how, in one line to stand beside every number."""
    metrics = run.metrics
    if metrics is None:
        raise ValueError("a run that was not evaluated has no ranking")
    return texts(
        "how",
        split=texts(f"split_{metrics['split']}"),
        rows=f"{metrics['rows']:,}",
        users=f"{metrics['users']:,}",
        items=f"{metrics['items']:,}",
        seen=texts("seen_filtered" if metrics["filter_seen"] else "seen_kept"),
    )


def summary(run: Run, texts: Texts) -> list[Block]:
    """Who is best, by how much, and whether that is more than the noise of users; of seeds a run knows nothing."""
    blocks: list[Block] = [Heading(texts("contents_summary"))]
    if run.metrics is None:
        return [*blocks, Remark(texts("no_metrics"))]
    models, ends = run.metrics["models"], run.metrics["intervals"]
    best = max((name for name in models if name != BOUND), key=lambda name: models[name][MAIN])
    low, high = map(metric, ends[best][MAIN])
    value = metric(models[best][MAIN])
    blocks.append(
        Paragraph(texts("best", model=texts.name(best), value=value, low=low, high=high, how=how(run, texts)))
    )
    if sentences := story_sentences(run.metrics, texts, MAIN):
        blocks.append(Bullets(tuple(sentences)))
    return [*blocks, Remark(texts("one_seed")), *_knowledge(run, texts), *_missing_models(run, texts)]


def _knowledge(run: Run, texts: Texts) -> list[Block]:
    """What the models' knowledge is worth, where the run has a control; else what a gain does not show."""
    teacher = run.steps.get("teacher")
    settings = teacher.manifest["config"] if teacher else {"kind": "none"}
    if settings.get("kind", "llm") != "llm":
        return []
    lost = {f"teacher.{key}": kind for key in WEIGHTS if (kind := settings.get(key, PRETRAINED)) != PRETRAINED}
    if lost:
        return [Remark(texts("knowledge_lost", weights=", ".join(f"{key}: {kind}" for key, kind in lost.items())))]
    if run.control is None:
        return [Remark(texts("knowledge"))]
    head, lines = against_control(run.folder, run.control, texts)
    return [Paragraph(head), Bullets(tuple(lines))] if lines else [Remark(head)]


def _missing_models(run: Run, texts: Texts) -> list[Block]:
    """What the pipeline has and this run has not."""
    if "teacher" not in run.steps:
        return [Remark(texts("no_teacher"))]
    if "teacher_outputs" not in run.steps:
        return [Remark(texts("no_outputs"))]
    return [] if "distilled" in run.steps else [Remark(texts("no_distilled"))]


def results(run: Run, texts: Texts) -> list[Block]:
    """Every model's metrics with intervals."""
    if run.metrics is None:
        return []
    models, ends = run.metrics["models"], run.metrics["intervals"]
    header = [texts("model"), *map(metric_name, LISTED), texts("coverage"), texts("mean_popularity"), texts("novelty")]
    rows = [
        [
            texts.label(name),
            *(bracketed(values[key], ends[name][key]) for key in LISTED),
            f"{values['coverage@10']:.1%}",
            f"{values['mean_popularity@10']:.1f}",
            f"{values['novelty@10']:.2f}",
        ]
        for name, values in models.items()
    ]
    highest = {key: max(values[key] for name, values in models.items() if name != BOUND) for key in LISTED}
    strong = [
        (row, column)
        for row, (name, values) in enumerate(models.items())
        for column, key in enumerate(LISTED, start=1)
        if name != BOUND and values[key] == highest[key]
    ]
    caption = texts("results_caption", how=how(run, texts), samples=f"{run.metrics['bootstrap_samples']:,}")
    estimates = {
        metric_name(key): [_estimate(run.metrics, name, key) for name in models] for key in (MAIN, "hit_rate@10")
    }
    blocks: list[Block] = [Heading(texts("contents_results")), table(header, rows, caption, strong=strong)]
    if repeats := run.metrics["repeats"]:
        blocks.append(Remark(certain_misses(repeats, run.metrics["rows"], texts)))
    blocks += [Remark(told) for told in baselines_left_out(run.metrics, texts)]
    names = _drawn(models, texts)
    return [*blocks, Figure("metrics", plots.intervals("metrics", names, estimates), texts("results_figure"))]


def _drawn(models: Iterable[str], texts: Texts) -> list[str]:
    """What models are called in drawings."""
    return [texts.short(label) for label in plots.plain_labels(list(models), texts("model"))]


def candidates(run: Run, texts: Texts) -> list[Block]:
    """The papers' protocol: each target among random candidates."""
    if run.metrics is None or "candidates" not in run.metrics:
        return []
    found = run.metrics["candidates"]
    metric_key = found["metric"]
    rows = [
        [texts.label(name), bracketed(values[metric_key], found["intervals"][name][metric_key])]
        for name, values in found["models"].items()
    ]
    text = texts("candidates_text", random=found["random"])
    header = [texts("model"), texts("first_of", size=found["random"] + 1)]
    blocks: list[Block] = [Heading(texts("contents_candidates")), Paragraph(text)]
    blocks.append(table(header, rows, texts("candidates_caption")))
    if left_out := found.get("left_out"):  # what earlier versions wrote has no such count
        total = f"{run.metrics['rows']:,}"
        blocks.append(
            Remark(texts("candidates_left_out", left_out=f"{left_out:,}", rows=total, random=found["random"]))
        )
    return blocks


def tests(run: Run, texts: Texts) -> list[Block]:
    """All pairs of models."""
    if run.metrics is None:
        return []
    heading = Heading(texts("contents_tests"))
    if not run.metrics["tests"]:
        return [heading, Remark(texts("no_tests"))]
    caption = texts("tests_caption", permutations=f"{run.metrics['permutations']:,}")
    header = [texts("difference"), texts("metric"), *_test_header(texts)]
    rows = [[_pair(test, texts), metric_name(test["metric"]), *_test_row(test, texts)] for test in run.metrics["tests"]]
    return [heading, table(header, rows, caption, labels=2, told=True)]


def slice_sections(run: Run, texts: Texts) -> list[Block]:
    """The same by popularity of the target and by length of the history."""
    if run.metrics is None:
        return []
    blocks: list[Block] = []
    for kind, parts in run.metrics["slices"].items():
        models = list(run.metrics["models"])
        estimates = {
            label: [_estimate(part, name, MAIN) for part in parts]
            for label, name in zip(_drawn(models, texts), models, strict=True)
        }
        labels = [f"{part['from']}-{part['to']}\nn = {part['rows']}" for part in parts]
        svg = plots.slices(kind, labels, _axis(kind, texts), estimates, "NDCG@10")
        blocks += [Heading(texts(f"contents_{kind}")), Figure(kind, svg, texts("slice_figure"))]
        blocks += [_slice_table(parts, models, kind, texts), *_slice_tests(parts, kind, texts)]
    return blocks


def _slice_table(parts: list[Slice], models: list[str], kind: str, texts: Texts) -> Table:
    header = [_axis(kind, texts), texts("rows"), *map(texts.short, models)]
    rows = [
        [_slice_name(part, kind, texts), f"{part['rows']:,}"]
        + [bracketed(part["models"][name][MAIN], part["intervals"][name][MAIN]) for name in models]
        for part in parts
    ]
    return table(header, rows, texts("slice_caption"))


def _slice_tests(parts: list[Slice], kind: str, texts: Texts) -> list[Block]:
    """The comparisons with the student within each slice, or what there is to compare instead."""
    models = parts[0]["models"]
    pairs = [pair for pair in PAIRS[:2] if pair[0] in models] or PAIRS
    rows = []
    for part in parts:
        found = (between(part["tests"], a, b, MAIN) for a, b in pairs)
        rows += [
            [_slice_name(part, kind, texts), _pair(test, texts), *_test_row(test, texts)] for test in found if test
        ]
    header = [_axis(kind, texts), texts("difference"), *_test_header(texts)]
    return [table(header, rows, texts("slice_tests_caption"), labels=2, told=True)] if rows else []


def _axis(kind: str, texts: Texts) -> str:
    return texts({"popularity": "target_popularity", "history_length": "history_length"}[kind])


def _slice_name(part: Slice, kind: str, texts: Texts) -> str:
    return texts.slice_name(part["name"], kind, part["from"], part["to"])


def _estimate(compared: Metrics | Slice, model: str, key: str) -> Estimate:
    return Estimate(compared["models"][model][key], *compared["intervals"][model][key])


def _pair(test: Test, texts: Texts) -> str:
    return texts("minus", a=texts.short(test["a"]), b=texts.short(test["b"]))


def _test_header(texts: Texts) -> list[str]:
    return [texts("value"), texts("interval"), texts("p"), texts("p_holm"), texts("result")]


def _test_row(test: Test, texts: Texts) -> list[str]:
    low, high = test["interval"]
    result, reason = texts(f"result_{significance(test)}"), disagreement(texts, test["interval"], test["p"])
    return [
        signed(test["difference"]),
        f"[{signed(low)}, {signed(high)}]",
        p_value(test["p"]),
        p_value(test["p_holm"]),
        texts("result_with_reason", result=result, reason=reason) if reason else result,
    ]
