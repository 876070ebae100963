"""Variants × seeds: what is shared, what is not, and files that say something wrong."""

import csv
import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from chain import options, write_interactions
from processes import together
from recdistill.cli import main
from recdistill.errors import UserError
from recdistill.experiments.study_file import read_study
from recdistill.language_models.blocks import decoder_blocks
from recdistill.pipeline import Pipeline
from recdistill.storage.files import read_json
from recdistill.teacher.ranker import Ranker

Make = Callable[..., Path]
TRAINING = "main/seed-1/student/training.csv"


@pytest.fixture
def make(tmp_path: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write a study of tiny runs; keys given replace those of the file."""
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    write_interactions(tmp_path / "data")
    chain = options(tmp_path / "unused", tiny_llm, tmp_path / "data" / "events.csv")[1:]
    settings = dict(option.removeprefix("--").split("=", 1) for option in chain)
    del settings["run"]
    base = {key: yaml.safe_load(value) for key, value in settings.items()}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"run": "runs/mine", "student": {"dropout": 0.2}}))

    def make(**keys: object) -> Path:
        content = {"config": "config.yaml", "base": base, "seeds": [1, 2], "variants": {"main": {}}} | keys
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    return make


def inode(run: Path, file: str) -> int:
    return (run / file).stat().st_ino


def test_equal_steps_are_done_once_and_others_anew(make: Make, tmp_path: Path) -> None:
    variants = {"main": {}, "listwise": {"distill.method": "listwise"}, "short": {"student": {"max_length": 10}}}
    out = tmp_path / "out"
    assert main(["study", str(make(variants=variants, seeds=[1])), "--out", str(out), "--quiet"]) == 0
    two = ["study", str(make(variants=variants)), "--out", str(out), "--only", "main", "--until", "student", "--quiet"]
    assert main(two) == 0
    main_run, listwise, short = (out / variant / "seed-1" for variant in variants)
    for file in ("student/student.safetensors", "teacher/ranker.safetensors", "teacher_outputs/outputs.json"):
        assert inode(main_run, file) == inode(listwise, file) == inode(short, file)  # short says what the base says
    assert inode(main_run, "distilled/student.safetensors") != inode(listwise, "distilled/student.safetensors")
    assert inode(main_run, "evaluation/metrics.json") == inode(short, "evaluation/metrics.json")
    other = out / "main" / "seed-2"
    assert inode(main_run, "prepare/items.npy") == inode(other, "prepare/items.npy")
    assert inode(main_run, "student/student.safetensors") != inode(other, "student/student.safetensors")
    assert read_json(other / "student" / "manifest.json")["inputs"]["seed"] == "2"
    assert read_json(main_run / "student" / "manifest.json")["config"]["dropout"] == 0.2  # of the named file


def by_two(words: list[str]) -> None:
    """What each of two processes does."""
    sys.exit(main(words))


def test_a_study_by_two_processes_does_equal_steps_once_and_has_the_losses_of_one(make: Make, tmp_path: Path) -> None:
    variants: dict[str, object] = {"main": {}, "longer": {"distill.weight": 2}}
    path = str(make(variants=variants, seeds=[1]))
    settings = ["--until=student", "--set", "student.dropout=0"]
    out = {devices: tmp_path / f"by-{devices}" for devices in (1, 2)}
    assert main(["study", path, f"--out={out[1]}", *settings, "--quiet"]) == 0
    line = ["study", path, f"--out={out[2]}", *settings, "devices=2"]
    assert together(2, by_two, [line], tmp_path / "stderr") == [0, 0]
    assert "student: as in" in (tmp_path / "stderr0").read_text()
    assert (tmp_path / "stderr1").read_text() == ""
    first, second = (out[2] / variant / "seed-1" for variant in variants)
    assert inode(first, "student/student.safetensors") == inode(second, "student/student.safetensors")
    losses = [
        [float(row["loss"]) for row in csv.DictReader((run / TRAINING).open()) if row["loss"]] for run in out.values()
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert not list(out[2].rglob("*.partial"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"devices": 2}, "devices, nodes: must be the same for all variants of a study: main 1 and 1, other 2 and 1"),
        ({"nodes": 2}, "devices, nodes: must be the same for all variants of a study: main 1 and 1, other 1 and 2"),
    ],
)
def test_runs_of_a_study_by_different_numbers_of_processes_are_refused(
    make: Make, change: dict[str, object], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(make(variants={"main": {}, "other": change}))]) == 2
    assert capsys.readouterr().err == f"recdistill: error: {told}\n"


def test_several_processes_have_devices_of_one_kind(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    variants = {"main": {"devices": 2}, "other": {"devices": 2, "device": "auto"}}
    assert main(["study", str(make(variants=variants))]) == 2
    assert "device: must be the same for all variants" in capsys.readouterr().err


def test_a_study_on_several_machines_says_what_starts_it(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", str(make()), "--set", "nodes=2"]) == 2
    assert "nodes: 2: start this command on each machine by torchrun, or by Slurm" in capsys.readouterr().err


def test_a_second_call_does_nothing_and_only_chooses_variants(make: Make, tmp_path: Path) -> None:
    study, out = make(seeds=[1], variants={"main": {}, "other": {"distill.weight": 0.5}}), tmp_path / "out"
    command = ["study", str(study), "--out", str(out), "--quiet"]
    assert main([*command, "--only", "main", "--until", "student"]) == 0
    run = out / "main" / "seed-1"
    assert not (run / "teacher").exists()
    assert not (out / "other").exists()
    made = inode(run, "student/student.safetensors")
    assert main([*command, "--only", "main", "--until", "student"]) == 0
    assert inode(run, "student/student.safetensors") == made


def test_no_step_begins_with_the_language_model_of_the_one_before(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[nn.Module]] = []
    alive: dict[str, int] = {}
    begin, do = Ranker.__init__, Pipeline.do

    def remember(self: Ranker, *args: Any, **keywords: Any) -> None:
        begin(self, *args, **keywords)
        made.append(weakref.ref(decoder_blocks(self.llm)[0]))  # which a forward of its own holds in a circle

    def look(self: Pipeline, step: Any) -> bool:
        alive[step] = sum(block() is not None for block in made)
        return do(self, step)

    monkeypatch.setattr(Ranker, "__init__", remember)
    monkeypatch.setattr(Pipeline, "do", look)
    gc.disable()  # else Python may collect by chance
    try:
        assert main(["study", str(make(seeds=[1])), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    finally:
        gc.enable()
    assert len(made) == 3, "trained, exported, evaluated"
    assert alive == dict.fromkeys(("prepare", "student", "teacher", "export", "distill", "evaluate"), 0)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"variants": None}, "variants"),
        ({"variants": {"a/b": {}}}, r"variants\.a/b"),
        ({"variants": {"main": {"student.dropuot": 1}}}, "dropuot"),
        ({"variants": {"main": {"seed": 1}}}, r"study\.yaml: variants\.main\.seed"),
        ({"base": {"seed": 1}}, r"study\.yaml: base\.seed"),
        ({"variants": {"main": {"student.dropout": 2.0}}}, r"student\.dropout"),
        ({"variants": {"main": 3}}, r"variants\.main"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"seeds": ["x"]}, "seeds"),
        ({"config": "nowhere.yaml"}, r"nowhere\.yaml"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_is_wrong_is_named_before_anything_runs(make: Make, keys: dict[str, object], word: str) -> None:
    with pytest.raises(UserError, match=word):
        read_study(make(**keys))


def test_more_candidates_than_items_are_refused_before_anything_is_trained(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, out = make(variants={"main": {"evaluate.candidates": 1000}}, seeds=[1]), tmp_path / "out"
    assert main(["study", str(study), "--out", str(out), "--quiet"]) == 2
    assert "evaluate.candidates" in capsys.readouterr().err
    assert (out / "main" / "seed-1" / "prepare").is_dir()
    assert not (out / "main" / "seed-1" / "student").exists()


def test_what_the_command_line_sets_wins_over_every_variant(make: Make, tmp_path: Path) -> None:
    study, out = make(variants={"main": {"evaluate.split": "validation"}, "other": {}}), tmp_path / "out"
    words = ["study", str(study), "--out", str(out), "--quiet", "--until", "prepare", "--seeds", "2"]
    assert main([*words, "--set", "evaluate.split=test", "data.min_user_events=4"]) == 0
    assert sorted(path.name for path in out.glob("*/*")) == ["seed-2", "seed-2"]
    assert read_json(out / "main" / "seed-2" / "prepare" / "manifest.json")["config"]["min_user_events"] == 4
    variants = read_study(study, {"evaluate.split": "test"})
    assert {variants.config(variant, 1, out).evaluate.split for variant in variants.variants} == {"test"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "evaluate.split"], "set: 'evaluate.split' is not KEY=VALUE"),
        (["--set", "evaluate.split=nowhere"], "evaluate.split"),
        (["--set", "seed=3"], "set.seed: set by the study itself"),
        (["--set", "data.text=[a"], "set: data.text: '[a' cannot be read"),
        (["--seeds", "9"], "seeds: the study has no seed 9; it has 1, 2"),
    ],
)
def test_what_cannot_be_set_is_told(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["study", str(make()), "--out", str(tmp_path / "out"), "--quiet", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_arm_written_twice_is_refused(make: Make) -> None:
    path = make()
    path.write_text(path.read_text().replace("variants:\n", "variants:\n  main: {distill.weight: 0.5}\n"))
    with pytest.raises(UserError, match="'main' is there twice"):
        read_study(path)


def test_an_arm_that_is_not_there(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", str(make()), "--out", str(tmp_path / "out"), "--only", "mian", "--quiet"]) == 2
    assert "mian" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_arms_own_settings_that_nothing_reads_are_told_once_and_those_in_common_are_not(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = yaml.safe_load(make().read_text())
    variants = {"main": {}, "listwise": {"distill.method": "listwise", "distill.temperature": 4.0}}
    path = make(base=study["base"] | {"student.loss.negatives": 64}, variants=variants)
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--until", "prepare"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "not read" in line]
    assert len(told) == 1
    assert told[0].endswith(
        "variants.listwise: distill.temperature: 4.0 is not read without distill.method: topk_kl or full_catalog_ce"
    )


@pytest.mark.parametrize("path", sorted(Path("configs/studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_ready_studies_are_right_to_the_last_key(path: Path) -> None:
    study = read_study(path)
    assert study.name == path.stem
    assert len(study.seeds) >= 3
    assert f"recdistill study {path}" in path.read_text(encoding="utf-8")
