"""Numbers as a person reads them, and what a paired test says in words."""

from collections.abc import Mapping, Sequence
from typing import Literal

from recdistill.config import BASELINES
from recdistill.evaluation.results import Metrics, Test
from recdistill.reporting.language import Texts
from recdistill.steps import SERVED

LEVEL = 0.05
PAIRS = (
    ("distilled", "student"),
    ("teacher", "student"),
    ("distilled", "teacher"),
    ("distilled", "titled"),
    *(("student", baseline) for baseline in reversed(BASELINES)),
)
"""The comparisons that a run is made for, (a, b), a - b above 0 being a gain."""

Significance = Literal["clear", "perhaps", "level"]


def metric(value: float) -> str:
    """Four decimals, as papers print metrics."""
    return f"{value:.4f}"


def signed(value: float) -> str:
    """Four decimals with a sign."""
    return f"{value:+.4f}"


def bracketed(value: float, ends: list[float]) -> str:
    """A value and its interval."""
    return f"{metric(value)} [{metric(ends[0])}, {metric(ends[1])}]"


def metric_name(key: str) -> str:
    """`ndcg@10` as papers print it."""
    name, _, k = key.partition("@")
    return f"{'HR' if name == 'hit_rate' else name.upper()}@{k}"


def p_value(p: float) -> str:
    """Three decimals, or that it is less."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def p_relation(p: float) -> str:
    """The same behind the letter p: `= 0.040`, `< 0.001`; it does not break over lines."""
    return (f"= {p:.3f}" if p >= 0.001 else "< 0.001").replace(" ", "\u00a0")


def certain_misses(repeats: int, rows: int, texts: Texts) -> str:
    """How many targets repeat their history and so are misses for every model."""
    return texts("repeats", repeats=f"{repeats:,}", rows=f"{rows:,}")


def baselines_left_out(metrics: Metrics, texts: Texts) -> list[str]:
    """Which baselines the catalog was too large for; earlier versions recorded none."""
    left_out = {name: fit.get("left_out") for name, fit in metrics.get("baselines", {}).items()}
    return [
        texts(
            "baseline_left_out", model=texts.name(name), name=name, **{key: f"{value:,}" for key, value in why.items()}
        )
        for name, why in left_out.items()
        if isinstance(why, dict)
    ]


def duration(texts: Texts, seconds: float) -> str:
    """Seconds as `1 h 02 min`, `3 min 20 s` or `4.1 s`."""
    if seconds < 60:
        return texts("some_seconds", seconds=f"{seconds:.1f}")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return texts("minutes", minutes=minutes, seconds=rest)
    return texts("hours", hours=minutes // 60, minutes=minutes % 60)


def significance(test: Test) -> Significance:
    """`level`: the interval holds 0. `clear`: it does not, and the corrected p-value is small. `perhaps`: it is not."""
    low, high = test["interval"]
    if low <= 0 <= high:
        return "level"
    return "clear" if test["p_holm"] < LEVEL else "perhaps"


def between(tests: Sequence[Test], a: str, b: str, metric_name: str) -> Test | None:
    """The test of a against b, turned round where it was made of b against a; None where there is none."""
    for test in tests:
        if test["metric"] != metric_name:
            continue
        if (test["a"], test["b"]) == (a, b):
            return test
        if (test["a"], test["b"]) == (b, a):
            low, high = test["interval"]
            return {**test, "a": a, "b": b, "difference": -test["difference"], "interval": [-high, -low]}
    return None


def best_baseline(models: Mapping[str, Mapping[str, float]], metric_name: str) -> str | None:
    """The simple baseline that ranks best; None where there is none."""
    there = [name for name in BASELINES if name in models]
    return max(there, key=lambda name: models[name][metric_name], default=None)


def story_sentences(metrics: Metrics, texts: Texts, metric_name: str) -> list[str]:
    """The comparisons that a run is made for, that with the best simple baseline first, and a word of care where the
    baseline is ahead. Of the baselines the best one and popularity are told; all stand in the tables of tests.
    """
    models = metrics["models"]
    best = best_baseline(models, metric_name)
    served = next((name for name in SERVED if name in models), None)
    pairs = dict.fromkeys([(served, best), *PAIRS] if served and best else PAIRS)
    told = [pair for pair in pairs if pair[1] not in BASELINES or pair[1] in (best, "popularity")]
    found = [between(metrics["tests"], a, b, metric_name) for a, b in told if a and b]
    sentences = [sentence(texts, test) for test in found if test]
    if served and best and models[best][metric_name] > models[served][metric_name]:
        sentences.insert(1, texts("baseline_ahead", a=texts.name(served), b=texts.name(best)))
    return sentences


def disagreement(texts: Texts, interval: Sequence[float], p: float) -> str:
    """Why an interval and an uncorrected p-value do not say the same; empty where they do."""
    holds_zero = interval[0] <= 0 <= interval[1]
    if holds_zero and p < LEVEL:
        return texts("interval_holds_zero", p=p_relation(p))
    if not holds_zero and p >= LEVEL:
        return texts("interval_without_zero", p=p_relation(p))
    return ""


def sentence(texts: Texts, test: Test) -> str:
    """One comparison in words."""
    kind = significance(test)
    key: str = kind
    difference = signed(test["difference"])
    if kind == "clear":
        key, difference = (
            ("clearly_above" if test["difference"] > 0 else "clearly_below"),
            metric(abs(test["difference"])),
        )
    note = disagreement(texts, test["interval"], test["p"])
    if kind == "perhaps" and note:  # which calls it undecided
        key = "undecided"
    low, high = test["interval"]
    told = texts(
        key,
        a=texts.name(test["a"]),
        b=texts.name(test["b"]),
        difference=difference,
        interval=texts("interval_text", low=signed(low), high=signed(high)),
        p=texts("p_text", p=p_relation(test["p"]), p_holm=p_value(test["p_holm"]).replace(" ", "\u00a0")),
    )
    return f"{told} {note}" if note else told


def plain(value: object) -> str:
    """A setting's or a fact's value as YAML writes it, real numbers with six digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return "null" if value is None else str(value)
