import unicodedata

from recdistill.evaluation.results import Comparison, Estimate, Variant
from recdistill.reporting.comparison import comparison_tables, study_table

BASE: Estimate = {
    "variant": "base",
    "model": "student",
    "seeds": 2,
    "mean": 0.1,
    "std": 0.002,
    "interval": [0.08, 0.12],
    "beside": {"coverage@10": 0.25, "novelty@10": 9.5},
}
KD: Estimate = {
    **BASE,
    "variant": "kd",
    "seeds": 1,
    "mean": 0.11,
    "std": None,
    "against": {"variant": "base", "model": "student"},
    "difference": 0.01,
    "difference_interval": [-0.001, 0.021],
    "gain_percent": 10.0,
    "p": 0.04,
    "p_holm": 0.0004,
    "beside": {"coverage@10": 0.5},
}
FOUND: Comparison = {
    "fingerprints": {},
    "seed": 1,
    "split": "test",
    "filter_seen": True,
    "items": 1682,
    "rows": 943,
    "users": 943,
    "repeats": 0,
    "metric": "ndcg@10",
    "bootstrap_samples": 2000,
    "permutations": 10000,
    "tests": 1,
    "entries": [BASE, KD],
    "slices": {
        "popularity": [{"name": "cold", "from": 0, "to": 4, "rows": 1943, "entries": [BASE, KD]}],
        "history_length": [{"name": "1", "from": 3, "to": 20, "rows": 943, "entries": [BASE]}],
    },
    "variants": {
        "base": {
            "runs": [],
            "seeds": [1],
            "settings": {},
            "steps": {"student": {"seconds": 105.25, "core_seconds": None}},
        },
        "kd": {
            "runs": [],
            "seeds": [1],
            "settings": {},
            "steps": {"student": {"seconds": 90.0, "core_seconds": 1180.0}},
        },
    },
}


def test_contenders_with_differences_and_without() -> None:
    lines = comparison_tables(FOUND).splitlines()
    assert lines[0].startswith("NDCG@10. Full ranking: 943 targets (test split) of 943 users among all 1,682 items")
    assert lines[3].split() == ["base", "student", "2", "0.1000", "0.0020", "[0.0800,", "0.1200]"]
    assert lines[4].split() == [
        "kd",
        "student",
        "1",
        "0.1100",
        "[0.0800,",
        "0.1200]",
        "+0.0100",
        "[-0.0010,",
        "+0.0210]",
        "+10.0",
        "%",
        "0.040",
        "<",
        "0.001",
    ]
    assert len(lines[2]) == len(lines[4])
    assert lines[6].startswith("Differences to base:student. Intervals: 2,000 bootstrap resamples")
    assert lines[6].endswith("Holm over 1 test.")


def test_slices_what_stands_beside_and_cost() -> None:
    text = comparison_tables(FOUND)
    assert "NDCG@10 by training interactions of the target; no tests" in text
    assert "NDCG@10 by items before the target; no tests" in text
    (cold,) = [line for line in text.splitlines() if line.startswith("cold")]
    assert cold.split()[:5] == ["cold,", "0–4", "interactions", "1,943", "base"]
    rows = [line.split() for line in text.splitlines()]
    assert ["variant", "model", "coverage@10", "novelty@10"] in rows
    assert ["kd", "student", "0.5000"] in rows
    assert ["base", "student", "105.2"] in rows
    assert ["kd", "student", "90.0", "1,180.0"] in rows


def test_devices_stand_last_where_they_are_known() -> None:
    assert "Device" not in comparison_tables(FOUND)
    variants: dict[str, Variant] = {
        variant: {**about, "devices": {"student": ["A card"]}} for variant, about in FOUND["variants"].items()
    }
    assert comparison_tables({**FOUND, "variants": variants}).endswith("\n\nDevice: A card.")


def test_arms_that_used_the_same_devices_for_other_steps_are_told_apart() -> None:
    variants: dict[str, Variant] = {
        variant: {
            "runs": [],
            "seeds": [1],
            "settings": {},
            "steps": {step: {"seconds": 1.0, "core_seconds": 1.0} for step in ("student", "teacher")},
            "devices": {"student": [one], "teacher": [other]},
        }
        for variant, one, other in (("base", "A card", "A processor"), ("kd", "A processor", "A card"))
    }
    assert "Devices differ" in comparison_tables({**FOUND, "variants": variants})


def test_one_arm_alone() -> None:
    text = comparison_tables({**FOUND, "entries": [BASE], "slices": {}})
    assert "One variant and no baseline: no differences." in text


def test_a_row_whose_interval_and_p_disagree_says_why() -> None:
    """Seen: [-.0113, +.0017] beside p .044."""
    row: Estimate = {**KD, "difference_interval": [-0.0113, 0.0017], "p": 0.044, "p_holm": 0.044}
    assert "kd:student: The interval includes 0 although p" in comparison_tables({**FOUND, "entries": [BASE, row]})
    other: Estimate = {**KD, "difference_interval": [0.0001, 0.0113], "p": 0.053, "p_holm": 0.053}
    assert "kd:student: The interval excludes 0 although p" in comparison_tables({**FOUND, "entries": [BASE, other]})
    agree: list[Estimate] = [{**KD, "p": 0.4}, {**KD, "difference_interval": [0.001, 0.02]}]
    for agreeing in agree:
        assert "although" not in comparison_tables({**FOUND, "entries": [BASE, agreeing]})
    earlier = comparison_tables({**FOUND, "entries": [BASE, {**row, "seeds": 2}]})
    assert "holds the seeds fixed" in earlier
    assert "holds the seeds fixed" not in comparison_tables({**FOUND, "entries": [BASE, row], "p_over_seeds": True})


def test_a_study_ends_with_arms_and_metrics() -> None:
    found: dict[str, Comparison] = {name: {**FOUND, "metric": name} for name in ("ndcg@10", "hit_rate@10", "mrr@10")}
    lines = study_table(found).splitlines()
    assert lines[0] == "NDCG@10"
    assert any(line.split()[:3] == ["kd", "student", "1"] for line in lines)
    assert lines[-3].split() == ["variant", "model", "HR@10", "MRR@10"]
    assert lines[-1].split()[:3] == ["kd", "student", "0.1100"]


def width(line: str) -> int:
    """Columns that a line takes: two for each wide letter."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


def test_tables_are_in_the_language_asked_for_and_as_wide_as_their_letters() -> None:
    text = comparison_tables(FOUND, "ja")
    lines = text.splitlines()
    assert lines[0].startswith("NDCG@10。全アイテムのランキング")
    assert lines[2].split()[:5] == ["条件", "モデル", "シード数", "平均", "標準偏差"]
    assert width(lines[2]) == width(lines[4])
    assert "差は base:student に対する値です" in text
    for words in ("Differences", "Intervals", "no tests", "core-seconds", "variant "):
        assert words not in text
    assert "差は base:student に対する値です" in study_table({"ndcg@10": FOUND, "hit_rate@10": FOUND}, "ja")
