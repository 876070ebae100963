"""Numbers as a person reads them, and what a paired test says in words."""

from collections.abc import Mapping
from typing import Any, Literal

from recdistill.reporting.language import Texts

LEVEL = 0.05
PAIRS = (
    ("distilled", "student"),
    ("teacher", "student"),
    ("distilled", "teacher"),
    ("student", "neighbours"),
    ("student", "popularity"),
)
"""The comparisons that the story is about, (a, b), a - b above 0 being a gain."""

Verdict = Literal["clear", "perhaps", "level"]


def metric(value: float) -> str:
    """Four decimals, as papers print metrics."""
    return f"{value:.4f}"


def signed(value: float) -> str:
    """Four decimals with a sign."""
    return f"{value:+.4f}"


def bracketed(value: float, ends: list[float]) -> str:
    """A value and its interval."""
    return f"{metric(value)} [{metric(ends[0])}, {metric(ends[1])}]"


def p_value(p: float) -> str:
    """Three decimals, or that it is less."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def duration(seconds: float) -> str:
    """Seconds as `1 h 02 min`, `3 min 20 s` or `4.1 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def verdict(test: Mapping[str, Any]) -> Verdict:
    """`clear`: the interval leaves out 0 and the corrected p-value is small. `perhaps`: one of the two."""
    low, high = test["interval"]
    outside, significant = low > 0 or high < 0, test["p_holm"] < LEVEL
    if outside and significant:
        return "clear"
    return "perhaps" if outside or significant else "level"


def between(tests: list[dict[str, Any]], a: str, b: str, metric_name: str) -> dict[str, Any] | None:
    """The test of a against b, turned round where it was made of b against a; None where there is none."""
    for test in tests:
        if test["metric"] != metric_name:
            continue
        if (test["a"], test["b"]) == (a, b):
            return test
        if (test["a"], test["b"]) == (b, a):
            low, high = test["interval"]
            return test | {"a": a, "b": b, "difference": -test["difference"], "interval": [-high, -low]}
    return None


def sentence(texts: Texts, test: Mapping[str, Any]) -> str:
    """One comparison in words."""
    kind = verdict(test)
    key: str = kind
    difference = signed(test["difference"])
    if kind == "clear":
        key, difference = (
            ("clearly_above" if test["difference"] > 0 else "clearly_below"),
            metric(abs(test["difference"])),
        )
    low, high = test["interval"]
    return texts(
        key,
        a=texts.name(test["a"]),
        b=texts.name(test["b"]),
        difference=difference,
        interval=texts("interval_text", low=signed(low), high=signed(high)),
        p=texts("p_text", p=p_value(test["p"]), p_holm=p_value(test["p_holm"])),
    )
