"""A run's folder as the steps leave it, with made-up numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

METRICS = [f"{name}@{k}" for name in ("recall", "hit_rate", "ndcg", "mrr") for k in (5, 10, 20)]
MODELS = {"popularity": 0.04, "cooccurrence": 0.09, "student": 0.1, "teacher": 0.102, "distilled": 0.12}
ENVIRONMENT = {
    "device": "cpu",
    "time": "2030-01-02T03:04:05+00:00",
    "system": "Linux x86_64",
    "cpu": {"model": "Some CPU", "cores": 2, "threads": 2},
    "memory_gib": 7.7,
    "gpu": None,
    "python": "3.12.1",
    "packages": {"torch": "2.9.0", "bitsandbytes": None},
    "git": {"commit": "0123abcd", "dirty": True},
}


def compared(models: dict[str, float], rows: int, metrics: list[str]) -> dict[str, Any]:
    """Metrics, intervals and tests; differences of 0.015 and more are significant, of 0.005 and more perhaps."""
    names = list(models)
    pairs = [(a, b) for index, a in enumerate(names) for b in names[:index]]
    tests = []
    for metric in metrics:
        for a, b in pairs:
            gap = models[a] - models[b]
            p = 0.0004 if abs(gap) >= 0.015 else 0.03 if abs(gap) >= 0.005 else 0.6
            tests.append(
                {
                    "a": a,
                    "b": b,
                    "metric": metric,
                    "difference": gap,
                    "interval": [gap - 0.004, gap + 0.004],
                    "p": p,
                    "p_holm": min(1.0, 10 * p),
                }
            )
    return {
        "rows": rows,
        "users": rows,
        "models": {name: dict.fromkeys(METRICS, value) for name, value in models.items()},
        "intervals": {
            name: {metric: [value - 0.01, value + 0.01] for metric in METRICS} for name, value in models.items()
        },
        "tests": tests,
    }


def made_up_metrics(models: dict[str, float]) -> dict[str, Any]:
    overall = compared(models, 940, ["ndcg@10", "hit_rate@10"])
    for values in overall["models"].values():
        values |= {"coverage@10": 0.25, "mean_popularity@10": 120.5, "novelty@10": 9.876}
    bounds = {
        "popularity": [("cold", 0, 4), ("1", 5, 70), ("2", 71, 500)],
        "history_length": [("1", 3, 20), ("2", 21, 99)],
    }
    slices = {
        kind: [
            {"name": name, "from": low, "to": high} | compared(models, 100, ["ndcg@10"]) for name, low, high in parts
        ]
        for kind, parts in bounds.items()
    }
    metric = "hit_rate@1 among 20"
    among = {
        "random": 19,
        "metric": metric,
        "models": {name: {metric: 5 * value} for name, value in models.items()},
        "intervals": {name: {metric: [5 * value - 0.01, 5 * value + 0.01]} for name, value in models.items()},
    }
    return {
        "split": "test",
        "filter_seen": True,
        "items": 1682,
        "repeats": 3,
        "seed": 42,
        "bootstrap_samples": 2000,
        "permutations": 10000,
        "fingerprints": {"data": "d", "split": "s"},
        **overall,
        "slices": slices,
        "candidates": among,
    }


def training_csv(rows: int) -> str:
    lines = ["epoch,step,targets,loss,learning_rate,ndcg@10,hit_rate@10,seconds", "0.0,0,0,,,0.01,0.02,0.1"]
    for row in range(1, rows + 1):
        lines.append(
            f"{row}.0,{row * 15},{row * 97171},{7 - row * 0.1:.3f},0.001,{0.1 - 1 / (10 + row):.4f},0.2,{row * 1.5}"
        )
    return "\n".join(lines) + "\n"


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def _make_run(folder: Path, without: tuple[str, ...] = (), models: dict[str, float] | None = None) -> Path:
    configs = {
        "prepare": {"source": "ml-100k", "split": "leave_one_out"},
        "student": {"model": "sasrec"},
        "teacher": {"llm": "smollm2"},
        "teacher_outputs": {"top_k": 20},
        "distilled": {"weight": 0.5},
        "evaluation": {"split": "test"},
    }
    phases = {"load data": 0.5, "train step": 90.25, "validation": 8.0, "write": 0.004}
    for step, config in configs.items():
        if step in without:
            continue
        manifest = {
            "step": step,
            "status": "finished",
            "fingerprint": "f" * 16,
            "inputs": {"seed": "42"},
            "config": config,
            "environment": ENVIRONMENT,
            "started": "2030-01-02T03:04:05+00:00",
            "finished": "2030-01-02T03:10:05+00:00",
            "seconds": 98.754,
        }
        write(folder / step / "manifest.json", manifest)
        write(folder / step / "timings.json", {"phases": phases})
        peaks = {"peak_rss_gib": 1.5, "peak_allocated_gib": None, "peak_reserved_gib": None, "peak_device_gib": None}
        write(folder / step / "memory.json", {"phases": dict.fromkeys(phases, peaks)})
        if step in ("student", "teacher", "distilled"):
            write(folder / step / "training.csv", training_csv(4 if step == "teacher" else 40))
    if "prepare" not in without:
        targets = {"train": 97171, "validation": 943, "test": 943}
        counts = {"users": 943, "items": 1682, "events": 100000, "titles_missing": 0, "tied_events": 50561}
        about = {"source": "ml-100k", "settings": configs["prepare"], "statistics": counts | {"targets": targets}}
        kept = {name: counts[name] for name in ("events", "users", "items")}
        read = kept | {"events": 100_207, "users": 950}
        about |= {"filters": {"read": read, "duplicates": kept, "k_core": kept}}
        none = dict.fromkeys(("without_title", "other_forms", "own_ids", "like_titles"), 0)
        named = {"file": "u.item", "items": 1682, "titled": 1679, "examples": [], "like_example": []}
        about |= {"titles": none | named | {"unmatched": 3, "second_titles": 1}}
        write(folder / "prepare" / "data.json", about | {"fingerprint": "d" * 64, "split_fingerprint": "s" * 64})
    if "teacher" not in without:
        examples = [{"user": str(user), "weights": [0.4, 0.3, 0.2, 0.1]} for user in range(8)]
        gate = {"users": examples, "entropy": 1.28, "between_user_std": 0.031}
        write(folder / "teacher" / "gate_examples.json", gate)
        judged = {"key": "teacher.compile", "asked": True, "seen": "0 graphs", "in_effect": False}
        found = {"attention_in_use": "sdpa", "frozen_dtypes": ["torch.float32"], "frozen_parameters": 49000000}
        masked = {"key": "seen_softmaxes", "values": {"softmaxes": 2}}
        attention = {"key": "teacher.attention", "asked": "eager", "seen": [masked], "in_effect": True}
        found |= {"settings": [judged, attention], "attention_reason": {"key": "attention_runs", "values": {}}}
        write(folder / "teacher" / "evidence.json", found)
    if "teacher_outputs" not in without:
        remembered = {"targets": 97171, "ndcg@10": 0.5856, "probability": 0.337, "entropy": 1.4912}
        others = {"targets": 943, "ndcg@10": 0.0616, "probability": 0.0193, "entropy": 2.007}
        write(folder / "teacher_outputs" / "target_memorisation.json", {"train": remembered, "validation": others})
    if "evaluation" not in without:
        write(folder / "evaluation" / "metrics.json", made_up_metrics(MODELS if models is None else models))
    return folder


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """Write a run to a folder, without some steps, with some models' NDCG@10."""
    return _make_run
