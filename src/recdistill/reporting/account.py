"""The sections that account for the run: data, training, cost, gate, evidence, environment, how to do it again."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import yaml

from recdistill.data.about import About, Matches, Statistics
from recdistill.data.counts import NOUNS, filter_settings, lost
from recdistill.measure.facts import Judged
from recdistill.reporting import plots
from recdistill.reporting.collect import Run, Step
from recdistill.reporting.document import Block, Code, Figure, Heading, Paragraph, Remark, table
from recdistill.reporting.language import Texts, is_message
from recdistill.reporting.wording import duration, metric, plain
from recdistill.steps import STEPS, TRAINED
from recdistill.storage.manifest import Environment, Gpu

Kind = Literal["rss", "allocated"]
"""Peaks of memory that are shown: the process's, and the CUDA allocator's."""

VARYING = ("time",)
"""What differs between the environments of one run's steps without meaning anything."""
SHOWN_SHARE = 0.01
"""Phases shorter than this share of the longest are not drawn."""


def data(run: Run, texts: Texts) -> list[Block]:
    """How much of what was learned from and tested on."""
    heading = Heading(texts("contents_data"))
    if run.data is None or "statistics" not in run.data:
        return [heading, Remark(texts("no_data"))]
    rows = [[texts("source"), run.data.get("source", texts("unknown"))]]
    if split := run.data.get("settings", {}).get("split"):
        rows.append([texts("split"), str(split)])
    rows += [[texts(name), f"{number:,}"] for name, number in _counts(run.data["statistics"], run.data.get("titles"))]
    rows += _dropped(run.data, texts)
    rows.append([texts("fingerprint"), run.data["fingerprint"][:16]])
    return [heading, table([texts("key"), texts("value")], rows, labels=2)]


def _counts(counts: Statistics, titles: Matches | None) -> Iterator[tuple[str, int]]:
    """What is left, targets by split, and oddities; those of the items' file where there are any."""
    yield from (("users", counts["users"]), ("items", counts["items"]), ("events", counts["events"]))
    yield from ((f"{name}_targets", number) for name, number in counts["targets"].items())
    odd = {
        "bad_rows": counts.get("bad_rows"),
        "titles_missing": counts.get("titles_missing"),
        "tied_events": counts.get("tied_events"),
        "items_unmatched": (titles and titles["unmatched"]) or None,
        "second_titles": (titles and titles["second_titles"]) or None,
    }
    yield from ((name, number) for name, number in odd.items() if number is not None)


def _dropped(data: About, texts: Texts) -> Iterator[list[str]]:
    """A row for each filter: what it dropped."""
    steps = data.get("filters", {})
    for before, step in pairwise(steps):
        dropped = lost(steps[before], steps[step])
        names = filter_settings(step, data.get("settings", {}))
        told = texts("both", one=names[0], other=names[1]) if len(names) > 1 else names[0]
        yield [texts("dropped", filter=told), ", ".join(f"{dropped[noun]:,} {texts(noun)}" for noun in NOUNS)]


def curves(run: Run, texts: Texts) -> list[Block]:
    """How the models were trained."""
    trained = {name: run.steps[name].curve for name in TRAINED if name in run.steps and run.steps[name].curve}
    heading = Heading(texts("contents_curves"))
    if not trained:
        return [heading, Remark(texts("no_curves"))]
    rows = []
    for name, points in trained.items():
        last = points[-1]
        best = max(
            (point for point in points if point.ndcg is not None), key=lambda point: point.ndcg or 0, default=None
        )
        rows.append(
            [
                texts.label(name),
                metric(best.ndcg) if best and best.ndcg is not None else "",
                f"{best.epoch:g}" if best else "",
                f"{last.epoch:g}",
                f"{last.step:,}",
                f"{last.targets:,}",
                f"{last.seconds:,.1f}",
            ]
        )
    keys = ("model", "best_validation", "at_epoch", "epochs", "optimiser_steps", "targets_seen", "seconds")
    return [
        heading,
        Figure("curves", plots.curves("curves", trained, texts), texts("curves_figure")),
        table([texts(key) for key in keys], rows, texts("curves_caption")),
    ]


def cost(run: Run, texts: Texts) -> list[Block]:
    """Seconds and peak memory of every phase of every step."""
    heading = Heading(texts("contents_cost"))
    phases = [(step, phase, seconds) for step, found in run.steps.items() for phase, seconds in found.seconds.items()]
    if not phases:
        return [heading, Remark(texts("no_cost"))]
    on_gpu = any(_peak(run.steps[step], phase, "allocated") is not None for step, phase, _ in phases)
    kinds: tuple[Kind, ...] = ("rss", "allocated") if on_gpu else ("rss",)
    rows = [
        [texts(f"step_{step}"), texts.phase(phase), f"{seconds:,.2f}"]
        + [_gib(_peak(run.steps[step], phase, kind)) for kind in kinds]
        for step, phase, seconds in phases
    ]
    total = sum(seconds for *_, seconds in phases)
    rows.append([texts("total"), "", f"{total:,.2f}", *("" for _ in kinds)])
    header = [texts(key) for key in ("step", "phase", "seconds", *kinds)]
    longest = max(seconds for *_, seconds in phases)
    drawn = [
        (texts.step(step), texts.phase(phase), seconds)
        for step, phase, seconds in phases
        if seconds >= SHOWN_SHARE * longest
    ]
    peaks = [
        (texts.step(step), kind, peak)
        for step in run.steps
        for kind in kinds
        if (peak := _step_peak(run.steps[step], kind))
    ]
    time = plots.bars("time", drawn, texts("seconds"))
    blocks: list[Block] = [heading, Figure("time", time, texts("time_figure"))]
    if peaks:
        blocks.append(Figure("memory", plots.bars("memory", peaks, "GiB"), texts("memory_figure")))
    return [*blocks, table(header, rows, texts("cost_caption"), labels=2)]


def _peak(step: Step, phase: str, kind: Kind) -> float | None:
    peaks = step.memory.get(phase)
    if peaks is None:
        return None
    return peaks["peak_rss_gib"] if kind == "rss" else peaks.get("peak_allocated_gib")


def _step_peak(step: Step, kind: Kind) -> float | None:
    """The largest peak of a step's phases, in GiB."""
    found = (_peak(step, phase, kind) for phase in step.memory)
    return max((peak for peak in found if peak is not None), default=None)


def _gib(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def gate(run: Run, texts: Texts) -> list[Block]:
    """Whether the experts are used, and used differently for different users."""
    if "teacher" not in run.steps:
        return []
    heading = Heading(texts("contents_gate"))
    if run.gate is None:
        return [heading, Remark(texts("no_gate"))]
    experts = len(run.gate.weights[0])
    svg = plots.shares("gate", plots.plain_labels(run.gate.users, texts("drawn_user")), run.gate.weights, texts)
    text = texts(
        "gate_text",
        entropy=f"{run.gate.entropy:.3f}",
        maximum=f"{math.log(experts):.3f}",
        std=f"{run.gate.between_user_std:.3f}",
    )
    caption = texts("gate_figure", experts=experts, uniform=f"{1 / experts:.2f}")
    return [heading, Paragraph(text), Figure("gate", svg, caption)]


def lists(run: Run, texts: Texts) -> list[Block]:
    """How much of the teacher's lists is memory of their targets."""
    if not run.target_memorisation:
        return []
    rows = [
        [texts(f"{split}_targets"), f"{found['targets']:,}"]
        + [f"{one:.3f}" for one in (found["ndcg@10"], found["probability"], found["entropy"])]
        for split, found in run.target_memorisation.items()
    ]
    header = [texts("targets"), texts("number"), "NDCG@10", texts("probability"), texts("entropy")]
    return [
        Heading(texts("contents_lists")),
        Paragraph(texts("lists_text")),
        table(header, rows, texts("lists_caption")),
        *_strength(run, texts),
    ]


def _strength(run: Run, texts: Texts) -> list[Block]:
    """How hard the lists were learned, where that was left to be chosen, and why."""
    if not run.strength:
        return []
    chosen, dropout = run.strength, run.strength.dropout
    shown = texts("strength_plain") if dropout is None else f"{dropout:g}"
    told = texts("strength_text", weight=f"{chosen.weight:g}", dropout=shown)
    reason = texts("strength_why", events=f"{chosen.events_per_item:.1f}", limit=f"{chosen.limit:g}")
    return [Paragraph(f"{told} {reason}")]


def evidence(run: Run, texts: Texts) -> list[Block]:
    """What the teacher was when it ran."""
    if "teacher" not in run.steps:
        return []
    heading = Heading(texts("contents_evidence"))
    if not run.evidence:
        return [heading, Remark(texts("no_evidence"))]
    facts = {key: value for key, value in run.evidence.items() if key != "settings"}
    rows = [[key, value] for key, value in _flat(facts, texts)]
    return [
        heading,
        Paragraph(texts("evidence_text")),
        *_settings([*run.evidence.get("settings", []), *run.export_settings], texts),
        table([texts("key"), texts("value")], rows, labels=2),
    ]


def _settings(settings: Sequence[Judged], texts: Texts) -> list[Block]:
    """Each setting with what was seen of it; those without a trace are told first."""
    if not settings:
        return []
    without = [one["key"] for one in settings if not one["in_effect"]]
    rows = [
        [
            one["key"],
            plain(one["asked"]),
            texts("yes" if one["in_effect"] else "not_in_effect"),
            texts.told(one["seen"]),
        ]
        for one in settings
    ]
    header = [texts(key) for key in ("setting", "asked", "in_effect", "seen")]
    remark: list[Block] = [Remark(texts("settings_without_trace", keys=", ".join(without)))] if without else []
    return [*remark, table(header, rows, texts("settings_caption"), labels=4)]


def _flat(value: object, texts: Texts, key: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as dotted keys and plain text."""
    if is_message(value):
        yield key, texts.told(value)
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, texts, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        yield key, ", ".join(map(plain, value))
    elif isinstance(value, dict):
        yield key, texts("none")
    else:
        yield key, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(value)


def environment(run: Run, texts: Texts) -> list[Block]:
    """The machine and the software; said where not all steps had the same."""
    environments = {name: step.manifest.get("environment", Environment()) for name, step in run.steps.items()}
    last = list(environments.values())[-1]
    rows = [[texts(key), text] for key, text in machine(last, texts)]
    rows += [[name, version or texts("none")] for name, version in last.get("packages", {}).items()]
    blocks: list[Block] = [
        Heading(texts("contents_environment")),
        table([texts("key"), texts("value")], rows, labels=2),
    ]
    others = [texts(f"step_{name}") for name, found in environments.items() if _constant(found) != _constant(last)]
    if others:
        blocks.append(Remark(texts("mixed_environment", steps=", ".join(others))))
    return blocks


def _constant(found: Environment) -> dict[str, object]:
    return {key: value for key, value in found.items() if key not in VARYING}


def machine(found: Environment, texts: Texts) -> Iterator[tuple[str, str]]:
    """What the manifest says about the machine, as far as it says it."""
    yield "device", found.get("device", texts("unknown"))
    yield "system", found.get("system", texts("unknown"))
    if cpu := found.get("cpu"):
        yield "cpu", texts("cpu_text", model=cpu["model"], cores=str(cpu["cores"]), threads=cpu["threads"])
    if "memory_gib" in found:
        yield "memory", f"{found['memory_gib']:.1f} GiB"
    gpu, git = found.get("gpu"), found.get("git")
    yield "gpu", _gpu(gpu, texts) if gpu else texts("none")
    if git is None:
        yield "git", texts("unknown")
    else:
        yield "git", texts("git_dirty", commit=git["commit"]) if git["dirty"] else git["commit"]
    yield "python", found.get("python", texts("unknown"))


def _gpu(gpu: Gpu, texts: Texts) -> str:
    memory = f"{gpu['memory_gib']:.1f}"
    return texts("gpu_text", name=gpu["name"], memory=memory, driver=str(gpu["driver"]), cuda=str(gpu["cuda"]))


def reproduce(run: Run, texts: Texts) -> list[Block]:
    """The command and the whole configuration."""
    manifests = {name: step.manifest for name, step in run.steps.items()}
    seeds = [str(found["inputs"]["seed"]) for found in manifests.values() if "seed" in found["inputs"]]
    last = list(manifests.values())[-1].get("environment", Environment())
    config: dict[str, object] = {"run": f"runs/{run.name}"}
    config |= {"seed": int(seeds[0])} if seeds else {}
    config |= {"device": last["device"]} if "device" in last else {}
    config |= {"threads": last["cpu"]["threads"]} if "cpu" in last else {}
    for spec in STEPS:
        if spec.folder in manifests:
            config[spec.section] = manifests[spec.folder]["config"]
    left_out = next((spec for spec in STEPS if spec.folder in run.left_out), None)
    if left_out is not None:
        switch = left_out.left_out_by[-1]  # Those before it would have left out an earlier step.
        config[switch.section] = {switch.key: switch.value}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return [
        Heading(texts("contents_reproduce")),
        Paragraph(texts("reproduce")),
        Code("recdistill run --config config.yaml", "sh"),
        Code(text, "yaml", title=texts("configuration")),
    ]


def made(run: Run, texts: Texts) -> Paragraph:
    """When it ran and how long it took."""
    manifests = [step.manifest for step in run.steps.values()]
    started = min(found.get("started", "")[:16] for found in manifests).replace("T", " ")
    finished = max(found.get("finished", "")[:16] for found in manifests).replace("T", " ")
    total = duration(texts, sum(found.get("seconds", 0.0) for found in manifests))
    return Paragraph(texts("made", started=started, finished=finished, total=total))
