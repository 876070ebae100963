import pytest

from recdistill.config import BASELINES
from recdistill.evaluation.results import Metrics, Test
from recdistill.reporting.language import Texts
from recdistill.reporting.wording import (
    baselines_left_out,
    best_baseline,
    between,
    duration,
    metric_name,
    p_relation,
    p_value,
    plain,
    sentence,
    significance,
    story_sentences,
)


def metrics(models: dict[str, dict[str, float]], tests: list[Test]) -> Metrics:
    """An evaluation of which a sentence reads the models and the tests alone."""
    return {
        "split": "test",
        "filter_seen": True,
        "items": 9,
        "rows": 9,
        "users": 9,
        "fingerprints": {},
        "repeats": 0,
        "seed": 0,
        "bootstrap_samples": 9,
        "permutations": 9,
        "models": models,
        "intervals": {},
        "tests": tests,
        "slices": {},
    }


def made(difference: float, low: float, high: float, p_holm: float, a: str = "distilled", b: str = "student") -> Test:
    return {
        "a": a,
        "b": b,
        "metric": "ndcg@10",
        "difference": difference,
        "interval": [low, high],
        "p": p_holm / 2,
        "p_holm": p_holm,
    }


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "expected"),
    [
        (0.01, 0.03, 0.01, "clear"),
        (-0.03, -0.01, 0.01, "clear"),
        (0.01, 0.03, 0.2, "perhaps"),
        (-0.01, 0.03, 0.2, "level"),
        (-0.01, 0.03, 0.01, "level"),
        (0.0, 0.03, 0.01, "level"),
    ],
)
def test_significance(low: float, high: float, p_holm: float, expected: str) -> None:
    assert significance(made(0.01, low, high, p_holm)) == expected


def test_sentences_say_what_the_interval_says() -> None:
    texts = Texts("en")
    above = sentence(texts, made(0.0213, 0.011, 0.031, 0.0002))
    assert above.startswith("The distilled student is above the student by 0.0213 NDCG@10")
    assert "The difference exceeds the variation between users." in above
    assert "+0.0110 to +0.0310" in above
    assert "below" in sentence(texts, made(-0.02, -0.03, -0.01, 0.01))
    assert "no detectable difference" in sentence(texts, made(0.02, -0.01, 0.05, 0.3))
    assert "is inconclusive (" in sentence(texts, made(0.02, 0.01, 0.03, 0.08))
    undecided = sentence(texts, made(0.02, 0.01, 0.03, 0.3))
    assert undecided.endswith("Treat the difference as undecided.")
    assert "inconclusive" not in undecided
    assert undecided.count("excludes 0") == 1
    assert "有意差はありません" in sentence(Texts("ja"), made(0.02, -0.01, 0.05, 0.3))


def test_between_turns_a_test_round() -> None:
    tests = [made(0.02, -0.01, 0.05, 0.3)]
    assert between(tests, "distilled", "student", "ndcg@10") == tests[0]
    turned = between(tests, "student", "distilled", "ndcg@10")
    assert turned is not None
    assert (turned["a"], turned["difference"], turned["interval"]) == ("student", -0.02, [-0.05, 0.01])
    assert between(tests, "student", "teacher", "ndcg@10") is None
    assert between(tests, "distilled", "student", "mrr@10") is None


def test_numbers() -> None:
    assert (p_value(0.0004), p_value(0.04)) == ("< 0.001", "0.040")
    assert (p_relation(0.0004), p_relation(0.04)) == ("<\u00a00.001", "=\u00a00.040")
    assert [metric_name(key) for key in ("ndcg@10", "hit_rate@5")] == ["NDCG@10", "HR@5"]
    assert [duration(Texts("en"), seconds) for seconds in (4.12, 61, 3725)] == ["4.1 s", "1 min 01 s", "1 h 02 min"]
    assert duration(Texts("ja"), 61) == "1 分 1 秒"


def test_the_best_simple_baseline_comes_first_and_is_told_where_it_is_ahead() -> None:
    def test(a: str, b: str, difference: float) -> Test:
        ends = [difference - 0.01, difference + 0.01]
        return {
            "a": a,
            "b": b,
            "metric": "ndcg@10",
            "difference": difference,
            "interval": ends,
            "p": 0.01,
            "p_holm": 0.02,
        }

    values = {"popularity": 0.05, "cooccurrence": 0.12, "student": 0.08, "distilled": 0.10}
    models = {name: {"ndcg@10": value} for name, value in values.items()}
    tests = [test("distilled", "student", 0.02), test("distilled", "cooccurrence", -0.02)]
    for language, ahead in (("en", "ranks above the distilled student here"), ("ja", "上回っています")):
        told = story_sentences(metrics(models, tests), Texts(language), "ndcg@10")
        assert ahead in told[1]
        assert len(told) == 3
    models["cooccurrence"]["ndcg@10"] = 0.09
    tests[1] = test("distilled", "cooccurrence", 0.01)
    told = story_sentences(metrics(models, tests), Texts("en"), "ndcg@10")
    assert "co-occurrence baseline" in told[0]
    assert not any("ranks above" in line for line in told)


def test_a_baseline_that_was_left_out_is_told_in_both_languages() -> None:
    found = metrics({}, [])
    found["baselines"] = {"popularity": {}, "ease": {"left_out": {"items": 30000, "most": 20000}}}
    told = {language: baselines_left_out(found, Texts(language)) for language in ("en", "ja")}
    assert told["en"] == [
        "The EASE baseline is left out: the catalog has 30,000 items, more than evaluate.ease_items (20,000)."
    ]
    assert "30,000" in told["ja"][0]
    assert "evaluate.ease_items" in told["ja"][0]
    assert not baselines_left_out(metrics({}, []), Texts("en"))


def test_the_best_of_all_baselines_is_the_one_to_beat() -> None:
    values = {"popularity": 0.05, "cooccurrence": 0.12, "item_knn": 0.13, "ease": 0.14, "student": 0.1}
    models = {name: {"ndcg@10": value} for name, value in values.items()}
    assert best_baseline(models, "ndcg@10") == "ease"
    pairs = [("student", name) for name in BASELINES]
    tests: list[Test] = [
        {
            "a": a,
            "b": b,
            "metric": "ndcg@10",
            "difference": -0.01,
            "interval": [-0.02, -0.005],
            "p": 0.01,
            "p_holm": 0.02,
        }
        for a, b in pairs
    ]
    told = story_sentences(metrics(models, tests), Texts("en"), "ndcg@10")
    assert len(told) == 3, "against the best, a word of care, and against popularity"
    assert "EASE" in told[0]
    assert "ranks above the student here" in told[1]
    assert "popularity" in told[2]


@pytest.mark.parametrize(
    ("value", "told"), [(True, "true"), (None, "null"), (0.20000000298023224, "0.2"), (3e-07, "3e-07"), ("nf4", "nf4")]
)
def test_a_value_is_told_as_yaml_writes_it(value: object, told: str) -> None:
    assert plain(value) == told
