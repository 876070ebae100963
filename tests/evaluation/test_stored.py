import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.evaluation.compare import compare
from recdistill.evaluation.variants import study_variants, variants_of
from recdistill.storage.step_files import write_manifest

RANKS = {"student": [1, 2, 3]}


@pytest.fixture
def data(make_data: Callable[..., PreparedData]) -> PreparedData:
    return make_data([1, 2, 3, 4], [4, 3, 2, 5], [1, 3, 5, 6], num_items=30)


def test_runs_that_differ_in_their_seed_alone_are_one_arm(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    first, second = (store_run(tmp_path / f"plain-seed{seed}", data, RANKS, seed=seed) for seed in (1, 2))
    other = store_run(tmp_path / "more_dropout", data, RANKS, seed=1)
    change_json(other / "student" / "manifest.json", config={"dropout": 0.5})
    assert variants_of([first, other, second], group=True) == {"plain": [first, second], "more_dropout": [other]}
    assert list(variants_of([first, other, second], group=False)) == ["plain-seed1", "more_dropout", "plain-seed2"]


def test_a_run_that_is_named_twice_is_refused(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = store_run(tmp_path / "run", data, RANKS, seed=1)
    for group in (False, True):
        with pytest.raises(UserError, match=r"compare: .*run/\.\./run is named twice"):
            variants_of([run, run / ".." / "run"], group)


def test_another_language_model_is_another_variant(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    first, second = (store_run(tmp_path / f"run{seed}", data, RANKS, seed=seed) for seed in (1, 2))
    change_json(second / "student" / "manifest.json", inputs={"data": "data", "seed": "2", "llm": "larger"})
    assert len(variants_of([first, second], group=True)) == 2


def test_reports_and_unfinished_steps_do_not_part_runs(
    data: PreparedData, store_run: Callable[..., Path], change_json: Callable[..., None], tmp_path: Path
) -> None:
    first, second = (store_run(tmp_path / f"run_{seed}", data, RANKS, seed=seed) for seed in (1, 2))
    for step in ("report", "teacher.partial"):
        (second / step).mkdir()
        (second / step / "manifest.json").write_text((second / "student" / "manifest.json").read_text())
    assert list(variants_of([first, second], group=True)) == ["run"]


def test_folders_of_seeds_in_a_folder_are_called_like_it(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    runs = [store_run(tmp_path / "kd" / str(seed), data, RANKS, seed=seed) for seed in (1, 2)]
    assert list(variants_of(runs, group=True)) == ["kd"]
    assert list(variants_of(runs[:1], group=True)) == ["kd"]
    assert list(variants_of(runs[:1], group=False)) == ["1"]
    names = [store_run(tmp_path / name, data, RANKS, seed=seed) for name, seed in (("x", 1), ("y", 2))]
    assert list(variants_of(names, group=True)) == ["x"]


def test_folders_of_one_name_are_called_by_their_paths(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path
) -> None:
    runs = [store_run(tmp_path / parent / "demo", data, RANKS) for parent in "ab"]
    assert list(variants_of(runs, group=False)) == [str(run) for run in runs]


def test_a_studys_folder_is_its_arms_with_main_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("another/seed-1", "main/seed-1", "main/seed-2", "zero/seed-1"):
        (tmp_path / name / "evaluation").mkdir(parents=True)
        if name != "zero/seed-1":
            (tmp_path / name / "evaluation/metrics.json").write_text("{}")
    variants = variants_of([tmp_path], group=False)
    assert list(variants.items()) == [
        ("main", [tmp_path / "main/seed-1", tmp_path / "main/seed-2"]),
        ("another", [tmp_path / "another/seed-1"]),
    ]
    assert "zero/seed-1 has not been evaluated and is left out" in caplog.text
    with pytest.raises(UserError, match="no run of this study has been evaluated"):
        (tmp_path / "b/main/seed-1").mkdir(parents=True)
        study_variants(tmp_path / "b")


@pytest.mark.parametrize(
    ("step", "file"),
    [
        ("evaluation", "manifest.json"),
        ("evaluation", "metrics.json"),
        ("prepare", "manifest.json"),
        ("student", "manifest.json"),
        ("student", "timings.json"),
    ],
)
def test_a_file_that_is_gone_is_named_and_never_left_out(
    data: PreparedData, store_run: Callable[..., Path], tmp_path: Path, step: str, file: str
) -> None:
    runs = [store_run(tmp_path / name / "seed-1", data, RANKS) for name in ("main", "other")]
    for run in runs:
        for folder in run.iterdir():
            write_manifest(folder, json.loads((folder / "manifest.json").read_text()), None)
    compare(variants_of([tmp_path], group=False))
    (runs[0] / step / file).unlink()
    with pytest.raises(UserError, match=f"{runs[0] / step / file}: damaged \\(missing\\)"):
        compare(variants_of([tmp_path], group=False))
