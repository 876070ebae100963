import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recdistill.cli import main
from recdistill.config import EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.compare import compare
from recdistill.evaluation.significance import holm
from recdistill.evaluation.variants import variants_of
from recdistill.reporting.comparison import comparison_tables

few = partial(compare, bootstrap_samples=50, permutations=64)
"""A comparison with few draws, so that it is quick."""


@pytest.fixture
def data(make_data: Callable[..., PreparedData]) -> PreparedData:
    return make_data([1, 2, 3, 4], [4, 3, 2, 5], [1, 3, 5, 6], num_items=30)  # three users, one test row each


def ndcg(rank: int) -> float:
    return 1 / np.log2(1 + rank) if rank <= 10 else 0.0


def test_hand_worked(data: PreparedData, store_run: Callable[..., Path], tmp_path: Path) -> None:
    old = [
        store_run(tmp_path / "old1", data, {"popularity": [9, 9, 9], "student": [1, 3, 20]}, seed=1),
        store_run(tmp_path / "old2", data, {"popularity": [9, 9, 9], "student": [3, 3, 20]}, seed=2),
    ]
    new = [store_run(tmp_path / "new", data, {"popularity": [9, 9, 9], "student": [1, 1, 3]}, seed=1)]
    found = few({"old": old, "new": new})
    assert [(entry["variant"], entry["model"], entry["seeds"]) for entry in found["entries"]] == [
        ("old", "student", 2),
        ("new", "student", 1),
    ]
    first, second = found["entries"]
    seeds = [(1 + 0.5 + 0) / 3, (0.5 + 0.5 + 0) / 3]
    assert first["mean"] == pytest.approx(np.mean(seeds))
    assert first["std"] == pytest.approx(np.std(seeds, ddof=1))
    assert "difference" not in first
    assert second["mean"] == pytest.approx(2.5 / 3)
    assert second["std"] is None
    assert second["against"] == {"variant": "old", "model": "student"}
    assert second["difference"] == pytest.approx(2.5 / 3 - 1.25 / 3)
    assert second["gain_percent"] == pytest.approx(100)
    # Users' differences of means over seeds: 0.25, 0.5, 0.5, all of one sign: +++ and --- of eight patterns.
    assert second["p"] == pytest.approx(2 / 8)
    assert second["p_holm"] == second["p"]
    low, high = second["difference_interval"]
    assert 0 <= low <= second["difference"] <= high <= 0.5 + 1e-9
    assert found["variants"]["old"]["seeds"] == [1, 2]
    assert found["variants"]["old"]["steps"]["student"] == {"seconds": 4.5, "core_seconds": 4.5}
    assert list(found["variants"]["old"]["steps"]) == ["prepare", "student", "evaluation"]
    json.dumps(found, allow_nan=False)


def test_devices_are_told(data: PreparedData, store_run: Callable[..., Path], tmp_path: Path) -> None:
    cpu = {"model": "A processor", "cores": 2, "threads": 2}
    card = {"name": "A card", "count": 1, "memory_gib": 80.0, "driver": None, "cuda": None}
    gpu = {"device": "cuda", "cpu": cpu, "gpu": card}
    places = {"here": gpu | {"device": "cpu"}, "there": gpu, "silent": {}}
    variants = {}
    for variant, environment in places.items():
        run = store_run(tmp_path / variant, data, {"student": [1, 3, 20]}, seed=1)
        manifest = run / "student" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"environment": environment}))
        variants[variant] = [run]
    found = few(variants)
    assert [found["variants"][variant]["devices"] for variant in places] == [
        {"student": ["A processor"]},
        {"student": ["A card"]},
        {},
    ]
    assert "costs cannot be compared: here: A processor; there: A card; silent: not recorded." in (
        comparison_tables(found)
    )


def test_code_and_settings_are_told(data: PreparedData, store_run: Callable[..., Path], tmp_path: Path) -> None:
    runs = []
    for seed, (commit, dirty) in enumerate([("a1", False), ("b2", True)]):
        run = store_run(tmp_path / str(seed), data, {"student": [1, 3, 20]}, seed=seed)
        manifest = run / "student" / "manifest.json"
        environment = {"git": {"commit": commit, "dirty": dirty}, "packages": {"torch": "2.13.0", "peft": None}}
        made = {"environment": environment, "config": {"dropout": 0.1 * (1 + seed)}}
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | made))
        runs.append(run)
    about = few({"a": runs})["variants"]["a"]
    assert about["code"] == {"commit": ["a1", "b2 with changes"], "torch": ["2.13.0"]}
    assert about["settings"]["student"] == {"dropout": 0.1}


def test_all_comparisons_are_one_family_of_holm(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    ranks = {"student": [9, 9, 9], "teacher": [9, 9, 9], "distilled": [1, 1, 1]}
    found = few({"a": [store_run(tmp_path / "a", data, ranks)]}, baseline="a:student")
    tested = {entry["model"]: entry for entry in found["entries"] if "p" in entry}
    assert set(tested) == {"teacher", "distilled"}
    assert (tested["teacher"]["p"], tested["teacher"]["p_holm"]) == (1, 1)
    assert tested["distilled"]["p"] == pytest.approx(2 / 8)
    assert tested["distilled"]["p_holm"] == pytest.approx(2 * 2 / 8)


def test_a_baseline_that_is_zero_has_no_relative_gain(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    variants = {name: [store_run(tmp_path / name, data, {"student": [r] * 3})] for name, r in (("a", 30), ("b", 1))}
    assert few(variants)["entries"][1]["gain_percent"] is None


def test_one_arm_without_a_baseline_has_no_differences(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    found = few({"a": [store_run(tmp_path / "a", data, {"student": [1, 2, 3]})]})
    assert all("difference" not in entry and "p" not in entry for entry in found["entries"])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 25), min_size=3, max_size=3), min_size=1, max_size=3), st.integers(0, 99))
def test_identical_runs_differ_by_nothing(
    data: PreparedData,
    store_run: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    ranks: list[int],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    variants = {
        variant: [store_run(folder / f"{variant}{s}", data, {"student": row}, seed=s) for s, row in enumerate(ranks)]
        for variant in ("a", "b")
    }
    found = few(variants, seed=seed)
    other = found["entries"][1]
    assert (other["difference"], other["difference_interval"], other["p"], other["p_holm"]) == (0, [0, 0], 1, 1)
    inside = [entry for parts in found["slices"].values() for part in parts for entry in part["entries"][1:]]
    assert inside
    assert all(entry["difference"] == 0 and entry["difference_interval"] == [0, 0] for entry in inside)


def test_slices_hold_all_rows_and_differences_within(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    variants = {
        "a": [store_run(tmp_path / "a", data, {"student": [9, 9, 9]})],
        "b": [store_run(tmp_path / "b", data, {"student": [1, 9, 9]})],
    }
    slices = few(variants)["slices"]
    assert {kind: sum(part["rows"] for part in parts) for kind, parts in slices.items()} == {
        "popularity": 3,
        "history_length": 3,
    }
    assert slices["popularity"][0]["name"] == "cold"
    difference = slices["popularity"][0]["entries"][1]["difference"]
    assert difference == pytest.approx((1 - ndcg(9)) / 3)


def test_what_stands_beside_the_metric_is_a_mean_over_seeds(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    runs = [store_run(tmp_path / str(seed), data, {"student": [seed, 9, 9]}, seed=seed) for seed in (1, 2)]
    (entry,) = few({"a": runs})["entries"]
    assert entry["beside"]["hit_rate@1 among 3"] == pytest.approx((1 / 3 + 0) / 2)
    assert entry["beside"]["coverage@10"] == pytest.approx(10 / 30)
    assert entry["beside"]["novelty@10"] > 0
    change_json(runs[0] / "evaluation" / "metrics.json", candidates=None)
    change_json(runs[0] / "student" / "timings.json", core_seconds=None)
    found = few({"a": runs})
    assert "hit_rate@1 among 3" not in found["entries"][0]["beside"]
    assert found["variants"]["a"]["steps"]["student"]["core_seconds"] is None


def test_other_metrics_and_models_by_name(data: PreparedData, store_run: Callable[..., Path], tmp_path: Path) -> None:
    ranks = {"popularity": [20, 20, 1], "student": [1, 6, 7], "teacher": [1, 1, 1]}
    variants = {name: [store_run(tmp_path / name, data, ranks)] for name in "ab"}
    found = few(variants, models=["student", "popularity"], metric="hit_rate@5")
    assert [(one["variant"], one["model"]) for one in found["entries"]] == [
        (variant, model) for variant in "ab" for model in ("student", "popularity")
    ]
    assert [one["mean"] for one in found["entries"]] == pytest.approx([1 / 3] * 4)
    everything = few({"a": [store_run(tmp_path / "c", data, {"popularity": [1, 1, 1]})]})
    assert [one["model"] for one in everything["entries"]] == ["popularity"]


def test_seeds_are_told_from_users_by_the_interval(
    make_data: Callable[..., PreparedData], store_run: Callable[..., Path], tmp_path: Path
) -> None:
    """All users alike and seeds apart: the interval spans the seeds; with one seed it has no width."""
    data = make_data(*[[1, 2, 3, 4]] * 30, num_items=30)
    variants = {
        "seeds": [store_run(tmp_path / str(s), data, {"student": [r] * 30}, seed=s) for s, r in enumerate((1, 3, 7))],
        "one": [store_run(tmp_path / "one", data, {"student": [3] * 30})],
    }
    apart, alone = compare(variants, bootstrap_samples=400, permutations=20)["entries"]
    assert apart["interval"] == pytest.approx([ndcg(7), 1], abs=0.12)
    assert alone["interval"] == pytest.approx([0.5, 0.5])


def test_the_same_arguments_give_the_same_numbers(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    variants = {
        name: [store_run(tmp_path / name, data, {"student": ranks})]
        for name, ranks in (("a", [1, 5, 9]), ("b", [2, 2, 8]))
    }
    assert few(variants) == few(variants)
    assert few(variants, seed=1)["entries"] != few(variants)["entries"]


UNLIKE = {
    "data": r"fingerprints\.data other against data, fingerprints\.split \w+ against \w+",
    "split": r"fingerprints\.split \w+ against \w+",
    "filter_seen": r"evaluate\.filter_seen false against true",
    "evaluated split": r"evaluate\.split validation against test",
}


@pytest.mark.parametrize("what", UNLIKE)
def test_runs_that_were_not_measured_alike_are_refused(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path, what: str
) -> None:
    plain = EvaluateConfig(bootstrap_samples=20, permutations=20, candidates=0)
    config = {"filter_seen": replace(plain, filter_seen=False), "evaluated split": replace(plain, split="validation")}
    other = {"data": replace(data, fingerprint="other"), "split": replace(data, train_ends=data.train_ends - 1)}
    first = store_run(tmp_path / "a", data, {"student": [1, 2, 3]})
    second = store_run(tmp_path / "b", other.get(what, data), {"student": [1, 2, 3]}, config=config.get(what, plain))
    with pytest.raises(UserError, match=rf"b was not measured as .*a was: {UNLIKE[what]}$"):
        few({"a": [first], "b": [second]})


def test_seeds_that_shuffle_histories_are_one_variant_and_stand_beside_those_in_order(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    def run(name: str, seed: int, order: str, trained: Any) -> Path:
        part = replace(data, split_fingerprint=trained)
        folder = store_run(tmp_path / name, part, {"student": [1, 2, 3]}, seed=seed)
        change_json(folder / "prepare" / "manifest.json", config={"history_order": order}, inputs={"split": trained})
        return folder

    first, second = run("mixed-1", 1, "shuffled", "a"), run("mixed-2", 2, "shuffled", "b")
    assert variants_of([first, second], group=True) == {"mixed": [first, second]}
    found = few({"mixed": [first, second], "plain": [run("plain", 1, "time", "c")]})
    assert [entry["seeds"] for entry in found["entries"]] == [2, 1]


def test_seeds_that_train_on_other_users_are_one_arm(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    def run(name: str, seed: int, trained: Any, share: float) -> Path:
        part = replace(data, trained_users=np.array(trained), split_fingerprint=f"{trained}")
        folder = store_run(tmp_path / name, part, {"student": [1, 2, 3]}, seed=seed)
        np.save(folder / "prepare" / "trained_users.npy", np.array(trained))
        change_json(
            folder / "prepare" / "manifest.json", config={"train_user_fraction": share}, inputs={"split": f"{trained}"}
        )
        return folder

    first, second = run("half-1", 1, [True, False, True], 0.5), run("half-2", 2, [False, True, True], 0.5)
    assert variants_of([first, second], group=True) == {"half": [first, second]}
    found = few({"half": [first, second]})
    assert found["entries"][0]["seeds"] == 2
    assert list(found["slices"]) == ["history_length"]  # a target's train events differ between the two
    assert "trained on different users" in comparison_tables(found)
    alone = few({"half": [first]})
    assert list(alone["slices"]) == ["popularity", "history_length"]
    assert "trained on different users" not in comparison_tables(alone)
    third = run("third-1", 1, [True, False, False], 0.3)
    with pytest.raises(UserError, match=r"data\.train_user_fraction 0\.3 against 0\.5"):
        few({"half": [first], "third": [third]})


def test_one_model_in_two_arms_is_no_test(data: PreparedData, store_run: Callable[..., Path], tmp_path: Path) -> None:
    ranks = {"student": [3, 9, 1], "teacher": [1, 4, 2]}
    variants = {
        name: [store_run(tmp_path / name, data, ranks | {"distilled": other})]
        for name, other in (("a", [2, 2, 2]), ("b", [2, 3, 9]), ("c", [5, 1, 1]))
    }
    found = few(variants)
    tests = {(entry["variant"], entry["model"]): entry for entry in found["entries"] if "p" in entry}
    assert all(tests[variant, model]["p_holm"] == 1 for variant in "bc" for model in ("student", "teacher"))
    different = [tests[variant, "distilled"] for variant in "bc"]
    assert [entry["p_holm"] for entry in different] == holm(np.array([entry["p"] for entry in different])).tolist()
    assert found["tests"] == 2
    assert "Holm over 2 tests" in comparison_tables(found)


def test_a_model_that_arms_share_is_one_question_to_another_model(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    ranks = {"student": [3, 9, 1], "teacher": [1, 4, 2]}
    variants = {
        name: [store_run(tmp_path / name, data, ranks | {"distilled": other})]
        for name, other in (("a", [2, 2, 2]), ("b", [2, 3, 9]), ("c", [5, 1, 1]))
    }
    found = few(variants, baseline="a:student")
    tests = {(entry["variant"], entry["model"]): entry for entry in found["entries"]}
    assert found["tests"] == 4  # the teacher, and three distilled students
    asked = [tests["a", "teacher"], *(tests[variant, "distilled"] for variant in "abc")]
    assert [entry["p_holm"] for entry in asked] == holm(np.array([entry["p"] for entry in asked])).tolist()
    assert all(tests[variant, "teacher"]["p_holm"] == tests["a", "teacher"]["p_holm"] for variant in "bc")
    assert all(tests[variant, "student"]["p_holm"] == 1 for variant in "bc")


def test_rows_in_another_order_are_refused(data: PreparedData, store_run: Callable[..., Path], tmp_path: Path) -> None:
    variants = {name: [store_run(tmp_path / name, data, {"student": [1, 2, 3]})] for name in "ab"}
    np.save(tmp_path / "b" / "evaluation" / "users.npy", np.array([2, 1, 0], dtype=np.int32))
    with pytest.raises(UserError, match=r"differ in evaluation/users\.npy"):
        few(variants)


def test_wrong_input_is_named(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    run = store_run(tmp_path / "a", data, {"student": [1, 2, 3]}, seed=3)
    variants = {"a": [run]}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"models": ["teacher"]}, "models: no run has 'teacher'; there are student"),
        ({"baseline": "a"}, "baseline: 'a' is not VARIANT:MODEL of what is compared: a:student"),
        ({"baseline": "b:student"}, "baseline: 'b:student' is not"),
        ({"metric": "ndcg@7"}, "metric: 'ndcg@7' is out of range"),
        ({"metric": "precision@10"}, "metric: 'precision@10' is out of range"),
        ({"permutations": 0}, "permutations: 0 is out of range"),
        ({"seed": -1}, "seed: -1 is out of range"),
    ]
    for settings_, message in wrong:
        with pytest.raises(UserError, match=f"^{message}"):
            few(variants, **settings_)
    with pytest.raises(UserError, match=r"variant a: .*a and .*a have the same seed 3"):
        few({"a": [run, run]})
    with pytest.raises(UserError, match="a variant without a run"):
        few({"a": []})
    with pytest.raises(UserError, match=r"nowhere: not an evaluated run .* run `recdistill evaluate` first"):
        few({"a": [tmp_path / "nowhere"]})


def test_files_that_are_broken_or_missing_are_named(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    run = store_run(tmp_path / "a", data, {"student": [1, 2, 3]})
    np.save(run / "evaluation" / "ranks" / "student.npy", np.array([1, 2]))
    with pytest.raises(UserError, match=r"ranks/student\.npy: \(2,\) rows, where metrics\.json says 3"):
        few({"a": [run]})
    (run / "evaluation" / "ranks" / "student.npy").unlink()
    with pytest.raises(UserError, match=r"ranks/student\.npy: no such file"):
        few({"a": [run]})
    run = store_run(tmp_path / "b", data, {"student": [1, 2, 3]})
    change_json(run / "prepare" / "data.json", fingerprint="other")
    with pytest.raises(UserError, match=r"prepare: not the data that .*evaluation was made from"):
        few({"b": [run]})
    change_json(run / "evaluation" / "metrics.json", seed=None)
    with pytest.raises(UserError, match=r"metrics\.json: seed: missing"):
        few({"b": [run]})


def test_the_command_prints_tables_or_json(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        str(
            store_run(
                tmp_path / f"{variant}-{seed}", data, {"student": [3, 9, 9], "distilled": [best, 9, 9]}, seed=seed
            )
        )
        for variant, best in (("base", 3), ("kd", 1))
        for seed in (1, 2)
    ]
    for path in tmp_path.glob("kd-*/student/manifest.json"):
        path.write_text(path.read_text().replace("0.1", "0.5"))
    options = ["--group", "--models=distilled,student", "--baseline=base:student", "--permutations=64", "--quiet"]
    assert main(["compare", *runs, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("kd") and "distilled" in line)
    assert row.split()[2] == "2"
    assert "+0.1667" in row
    assert any(
        line.startswith("Differences to base:student.") and line.endswith("Holm over 2 tests.") for line in lines
    )
    assert main(["compare", *runs, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["variants"]) == ["base", "kd"]
    assert found["variants"]["kd"]["seeds"] == [1, 2]
    assert main(["compare", runs[0], str(tmp_path / "nowhere")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recdistill: error: ")
    assert "nowhere: no such run" in line
