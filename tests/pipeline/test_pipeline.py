"""The whole chain through the command line, on interactions and a language model small enough for seconds."""

import gc
import json
import math
import re
import shutil
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.layout_engine import ConstrainedLayoutEngine

import recdistill
from chain import NUM_ITEMS, STEPS, options, write_interactions
from processes import ended, kill_after
from recdistill.cli import main
from recdistill.config import ExportConfig, ReportConfig, RunConfig, TeacherConfig
from recdistill.errors import UserError
from recdistill.evaluation.stored import read_stored
from recdistill.measure.environment import environment
from recdistill.pipeline import check_models, plans
from recdistill.pipeline import run as run_steps
from recdistill.pipeline.plans import Plan
from recdistill.reporting import plots as drawings
from recdistill.steps import RESULTS
from recdistill.students.make import load_student
from recdistill.teacher.ranker import Ranker
from recdistill.training.fit import fit

METRICS = {f"{name}@{k}" for name in ("hit_rate", "ndcg", "mrr", "recall") for k in (5, 10, 20)}
MODELS = ["popularity", "cooccurrence", "item_knn", "ease", "student", "teacher", "distilled"]
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the interactions, the user's cache and all runs of this module."""
    folder = tmp_path_factory.mktemp("chain")
    write_interactions(folder / "data")
    return folder


@pytest.fixture(scope="module")
def do(folder: Path, tiny_llm: Path) -> Iterator[Run]:
    """Run a command in the run folder `name`; it must end well."""

    def do(name: str, *more: str, command: str = "run") -> Path:
        arguments = options(folder / name, tiny_llm, folder / "data" / "events.csv", *more)
        assert main([command, *arguments]) == 0
        return folder / name

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        yield do


@pytest.fixture(scope="module")
def finished(do: Run) -> Path:
    """The run with the plain options, done in one go."""
    return do("finished")


@pytest.fixture(scope="module")
def copied(finished: Path) -> Run:
    """The finished run once more, under another name: all steps, or those that are named."""

    def copied(name: str, *steps: str) -> Path:
        for step in steps or STEPS:
            shutil.copytree(finished / step, finished.with_name(name) / step)
        return finished.with_name(name)

    return copied


@pytest.fixture
def not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports whose words are looked at: their figures are made and not turned into SVG, which is half of a run."""
    monkeypatch.setattr(drawings, "to_svg", lambda figure, name: "<svg></svg>")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def metrics(run: Path) -> Any:
    return read(run / "evaluation" / "metrics.json")


def fingerprints(run: Path) -> dict[str, str]:
    return {path.parent.name: read(path)["fingerprint"] for path in run.glob("*/manifest.json")}


def times(run: Path) -> dict[str, int]:
    """When each step was last done."""
    return {path.parent.name: path.stat().st_mtime_ns for path in run.glob("*/manifest.json")}


def test_every_step_leaves_its_folder_with_manifest_times_and_memory(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == set(STEPS)
    for step in STEPS:
        manifest = read(finished / step / "manifest.json")
        assert manifest["status"] == "finished"
        assert manifest["attempts"] == 1
        assert manifest["environment"]["packages"]["torch"]
        autos = {name for name, value in manifest["config"].items() if value == "auto"} & {"weight", "dropout"}
        assert set(manifest.get("chosen", {})) == (autos if step == "distilled" else set())
        seconds = read(finished / step / "timings.json")["phases"]
        memory = read(finished / step / "memory.json")["phases"]
        assert seconds
        assert set(memory) == set(seconds)
        assert all(value >= 0 for value in seconds.values())
        assert sum(seconds.values()) <= manifest["seconds"] + 0.01
        assert all(0 < peaks["peak_rss_gib"] < 64 for peaks in memory.values())
        assert all(peaks["peak_allocated_gib"] is None for peaks in memory.values())


def test_nothing_unfinished_is_left(finished: Path) -> None:
    names = [path.name for path in finished.rglob("*")]
    assert not [name for name in names if name.endswith((".tmp", ".partial", ".old")) or "checkpoint" in name]


def test_steps_name_what_they_were_made_from(finished: Path) -> None:
    made = fingerprints(finished)
    assert len(set(made.values())) == len(STEPS)
    inputs = {step: read(finished / step / "manifest.json")["inputs"] for step in STEPS}
    assert inputs["teacher"]["student"] == made["student"]
    assert inputs["teacher_outputs"]["teacher"] == made["teacher"]
    assert inputs["distilled"]["teacher_outputs"] == made["teacher_outputs"]
    assert inputs["evaluation"].items() >= {"student": made["student"], "distill": made["distilled"]}.items()


def test_metrics_have_their_stable_form(finished: Path) -> None:
    found = metrics(finished)
    assert found["split"] == "test"
    assert found["filter_seen"] is True
    assert list(found["models"]) == MODELS
    for values in found["models"].values():
        assert set(values) >= METRICS
        assert all(isinstance(value, float) and math.isfinite(value) for value in values.values())
        assert values["ndcg@5"] <= values["ndcg@10"] <= values["ndcg@20"] <= 1
    for test in found["tests"]:
        assert {"a", "b", "metric", "difference", "interval", "p"} <= set(test)
        first, second = (found["models"][test[side]][test["metric"]] for side in "ab")
        assert test["difference"] == pytest.approx(first - second)
    pairs = {(test["a"], test["b"]) for test in found["tests"] if test["metric"] == "ndcg@10"}
    assert len(pairs) == len(MODELS) * (len(MODELS) - 1) // 2


def test_training_finds_what_popularity_cannot(finished: Path) -> None:
    models = metrics(finished)["models"]
    assert models["student"]["ndcg@10"] > models["popularity"]["ndcg@10"]


def test_the_report_shows_every_model_in_both_forms(finished: Path) -> None:
    for name in ("report.md", "report.html"):
        text = (finished / "report" / name).read_text(encoding="utf-8")
        assert all(model in text.lower() for model in MODELS)
        assert f"{metrics(finished)['models']['distilled']['ndcg@10']:.4f}" in text


@pytest.mark.parametrize(("command", "made"), [("evaluate", "evaluation"), ("report", "report/report.html")])
def test_an_evaluation_and_a_report_end_with_the_main_table(
    do: Run, finished: Path, capsys: pytest.CaptureFixture[str], command: str, made: str
) -> None:
    do("finished", command=command)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NDCG@10", "HR@10", "MRR@10"]
    assert [line.split()[0] for line in lines[1 : 1 + len(MODELS)]] == MODELS
    assert lines[-1] == str(finished / made)


def test_what_was_done_is_not_done_again(do: Run, finished: Path) -> None:
    before = times(finished)
    do("finished")
    assert times(finished) == before


def test_the_same_seed_gives_the_same_numbers(do: Run, finished: Path) -> None:
    assert metrics(do("again", command="evaluate"))["models"] == metrics(finished)["models"]


def test_another_seed_gives_other_numbers(do: Run, finished: Path) -> None:
    models, others = metrics(do("seed", "--seed=7", command="evaluate"))["models"], metrics(finished)["models"]
    assert models["popularity"] == others["popularity"]
    assert models["student"] != others["student"]


@pytest.mark.usefixtures("not_drawn")
def test_a_changed_setting_redoes_its_step_and_what_follows_only(do: Run, copied: Run) -> None:
    run = copied("changed")
    before = times(run)
    do("changed", "--distill.weight=2")
    after = times(run)
    assert {step for step in STEPS if after[step] != before[step]} == {"distilled", "evaluation", "report"}
    assert read(run / "distilled" / "manifest.json")["config"]["weight"] == 2
    do("changed", "--distill.weight=2", "--report.language=ja")
    assert {step for step in STEPS if times(run)[step] != after[step]} == {"report"}
    assert any("ぁ" <= letter <= "ん" for letter in (run / "report" / "report.md").read_text(encoding="utf-8"))
    assert 'lang="ja"' in (run / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("not_drawn")
def test_a_control_without_pretrained_knowledge_is_one_setting_away_and_the_report_tells_of_it(
    do: Run, copied: Run
) -> None:
    known, control = copied("known"), copied("lost")
    do("lost", "--teacher.llm_weights=shuffled", command="evaluate")
    assert metrics(control)["models"]["student"] == metrics(known)["models"]["student"]
    assert metrics(control)["models"]["teacher"] != metrics(known)["models"]["teacher"]
    facts = read(control / "teacher" / "evidence.json")
    assert facts["llm_weights"]["kind"] == "shuffled"
    judged = {one["key"]: one["in_effect"] for one in facts["settings"]}
    assert judged["teacher.llm_weights"] is True
    before = times(known)
    do("known", f"--report.control={control}")
    assert {step for step in STEPS if times(known)[step] != before[step]} == {"report"}
    told = (known / "report" / "report.md").read_text(encoding="utf-8")
    assert "What pretrained knowledge is worth" in told
    assert "teacher.llm\\_weights: shuffled" in told or "teacher.llm_weights: shuffled" in told
    assert "not by itself the language model's knowledge" not in told


def test_an_unknown_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="until: 'studnet' is none of prepare, student, teacher, export, distill,"):
        run_steps(RunConfig(run=str(tmp_path / "run")), until="studnet")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_control_that_was_not_evaluated_is_told_before_any_work(tmp_path: Path) -> None:
    config = RunConfig(run=str(tmp_path / "run"), report=ReportConfig(control=str(tmp_path / "nothing")))
    with pytest.raises(UserError, match=r"nothing: not an evaluated run"):
        run_steps(config)
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_has_not_changed_is_not_ranked_again(
    do: Run,
    finished: Path,
    folder: Path,
    tiny_llm: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    committed = environment("cpu") | {"git": None}  # whatever is being worked on here
    monkeypatch.setattr(plans, "environment", lambda device: committed | {"device": device})
    run = do("kept", command="evaluate")
    cost = read(run / "evaluation" / "timings.json")["phases"]
    for weight in ("2", "auto"):  # there and back: then it must be as if nothing had happened
        arguments = options(run, tiny_llm, folder / "data" / "events.csv", f"--distill.weight={weight}")
        assert main(["evaluate", *(argument for argument in arguments if argument != "--quiet")]) == 0
        told = capsys.readouterr().err
        assert "evaluate: student has not changed, its ranks are read back" in told
        assert "evaluate: teacher has not changed, its ranks are read back" in told
        assert "distilled has not changed" not in told
        assert read(run / "evaluation" / "timings.json")["phases"]["rank teacher"] == cost["rank teacher"]
    assert metrics(run) == metrics(finished)


def test_what_is_done_again_is_explained_by_the_settings_own_names(
    copied: Run, folder: Path, tiny_llm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied("explained")
    changes = ("--export.top_k=9", "--distill.weight=3", "--evaluate.candidates=3")
    arguments = options(run, tiny_llm, folder / "data" / "events.csv", *changes)
    assert main(["evaluate", *(argument for argument in arguments if argument != "--quiet")]) == 0
    told = capsys.readouterr().err
    for key in ("export.top_k: 10 → 9", "distill.weight: 'auto' → 3.0", "evaluate.candidates: 5 → 3"):
        assert f"re-running, since {key}" in told


def test_a_model_changed_in_place_is_read_again_and_its_file_named(
    do: Run, folder: Path, tiny_llm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llm = shutil.copytree(tiny_llm, folder / "own-llm")
    run = do("own model", f"--teacher.llm={llm}", command="teacher")
    assert set(read(run / "teacher" / "manifest.json")["inputs"]["llm"]) >= {"model.safetensors", "tokenizer.json"}
    weights = bytearray((llm / "model.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    tokenizer = (llm / "tokenizer_config.json").read_bytes() + b"\n"
    for name, content in (("model.safetensors", weights), ("tokenizer_config.json", tokenizer)):
        (llm / name).write_bytes(content)
        arguments = options(run, llm, folder / "data" / "events.csv")
        assert main(["teacher", *(argument for argument in arguments if argument != "--quiet")]) == 0
        told = capsys.readouterr().err
        assert "student: finished before" in told
        assert f"teacher: re-running, since teacher.llm: {name} is another file" in told


def test_a_step_of_a_version_with_other_results_is_done_again_and_told(
    do: Run,
    finished: Path,
    folder: Path,
    tiny_llm: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = shutil.copytree(finished, folder / "other version")
    assert read(run / "evaluation" / "manifest.json")["code"] == {
        "version": recdistill.__version__,
        "results": RESULTS["evaluate"],
    }
    before = RESULTS["evaluate"]
    monkeypatch.setitem(RESULTS, "evaluate", before + 1)
    arguments = options(run, tiny_llm, folder / "data" / "events.csv")
    assert main(["evaluate", *(argument for argument in arguments if argument != "--quiet")]) == 0
    told = capsys.readouterr().err
    assert "distill: finished before" in told
    count = f"evaluate: {before} → {before + 1}"
    reason = f"recdistill {recdistill.__version__} made it, whose results or files are not this version's ({count})"
    assert f"evaluate: re-running, since {reason}" in told
    assert "its ranks are read back" not in told
    assert read(run / "evaluation" / "manifest.json")["code"]["results"] == before + 1
    monkeypatch.setitem(RESULTS, "prepare", RESULTS["prepare"] + 1)
    assert main(["evaluate", *arguments]) == 2
    assert "choose another run folder or remove this one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"quantization": "nf4", "precision": "fp16"}, "teacher.precision: fp16 needs a CUDA device"),
        ({"llm": "/no/such/model"}, "teacher.llm: /no/such/model: no such folder"),
    ],
)
def test_a_language_model_for_titles_alone_is_asked_for_before_any_work(settings: dict[str, Any], word: str) -> None:
    teacher = TeacherConfig(kind="second_student", title_encoder="llm", title_decay=0.0, **settings)
    with pytest.raises(UserError, match=word):
        check_models(RunConfig(device="cpu", teacher=teacher))


def test_titles_are_embedded_by_all_blocks_so_their_number_is_not_checked(tiny_llm: Path) -> None:
    settings: dict[str, Any] = {"llm": str(tiny_llm), "title_encoder": "llm", "title_decay": 0.0, "layers": 9}
    check_models(RunConfig(device="cpu", teacher=TeacherConfig(kind="second_student", **settings)))
    with pytest.raises(UserError, match=r"teacher\.layers: 9"):
        check_models(RunConfig(device="cpu", teacher=TeacherConfig(**settings)))


def test_a_limit_of_time_is_no_part_of_a_teachers_name() -> None:
    plain, patient, other = (
        Plan("teacher", TeacherConfig(**settings), {"data": "d"}).fingerprint
        for settings in ({}, {"compile_seconds": 5.0}, {"compile_buckets": 3})
    )
    assert plain == patient != other


def test_one_step_does_what_it_needs_and_no_more(do: Run) -> None:
    run = do("teacher only", command="teacher")
    assert {path.name for path in run.iterdir()} == {"prepare", "student", "teacher"}


def test_an_export_cut_off_before_its_folder_took_its_name_is_taken_as_it_is(do: Run, copied: Run) -> None:
    run = copied("cut off")
    store = {path.name: path.read_bytes() for path in (run / "teacher_outputs").iterdir() if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in (run / "teacher_outputs").rglob("shard-*/*")}
    (run / "teacher_outputs").rename(run / "teacher_outputs.partial")
    (run / "teacher_outputs.partial" / "target_memorisation.json").unlink()
    do("cut off", command="export")
    assert {path: path.stat().st_mtime_ns for path in (run / "teacher_outputs").rglob("shard-*/*")} == times
    for name in ("outputs.json", "target_memorisation.json", "evidence.json"):
        assert (run / "teacher_outputs" / name).read_bytes() == store[name]


@pytest.mark.usefixtures("not_drawn")
def test_without_export_there_is_no_distillation(do: Run, copied: Run) -> None:
    copied("no export", "prepare", "student", "teacher")
    run = do("no export", "--export.enabled=false")
    assert {path.name for path in run.iterdir()} == set(STEPS) - {"teacher_outputs", "distilled"}
    assert list(metrics(run)["models"]) == MODELS[:-1]


@pytest.mark.usefixtures("not_drawn")
def test_without_a_teacher_students_and_baselines_are_compared_and_no_language_model_is_asked_for(
    do: Run, copied: Run
) -> None:
    copied("no teacher", "prepare", "student")
    run = do("no teacher", "--teacher.kind=none", "--teacher.llm=not/there", "--teacher.title_encoder=minilm")
    assert {path.name for path in run.iterdir()} == {"prepare", "student", "evaluation", "report"}
    assert list(metrics(run)["models"]) == MODELS[:-2]
    report = (run / "report" / "report.md").read_text(encoding="utf-8")
    assert "No teacher was trained in this run." in report
    assert "teacher:\n  kind: none\n" in report  # the configuration that gives this run again


@pytest.mark.usefixtures("not_drawn")
def test_steps_that_the_settings_leave_out_are_not_told_though_an_earlier_run_left_them(do: Run, copied: Run) -> None:
    run = copied("left out")
    do("left out", "--export.enabled=false")
    report = (run / "report" / "report.md").read_text(encoding="utf-8")
    assert "export:\n  enabled: false\n" in report
    assert list(read_stored(run).steps()) == ["prepare", "student", "teacher", "evaluation"]
    do("left out", "--teacher.kind=none")
    report = (run / "report" / "report.md").read_text(encoding="utf-8")
    assert "No teacher was trained in this run." in report
    assert list(read_stored(run).steps()) == ["prepare", "student", "evaluation"]
    assert (run / "teacher").is_dir()  # hours of work are not thrown away
    do("left out", command="evaluate")
    assert list(read_stored(run).steps()) == [step for step in STEPS if step != "report"]


ONE_EPOCH = "--teacher.train.max_epochs=1"
VARIANTS = {
    "the paper's teacher": (
        ONE_EPOCH,
        "--teacher.prompt=text",
        "--teacher.targets=last",
        "--teacher.gate.kind=instance",
        "--teacher.candidates=5",
        "--teacher.head=plain",
    ),
    "gru4rec": ("--student.model=gru4rec", "--distill.method=topk_kl"),
    "global time": (
        ONE_EPOCH,
        "--data.split=global_time",
        "--data.validation_fraction=0.2",
        "--data.test_fraction=0.2",
    ),
    "sampled rows": (ONE_EPOCH, "--data.limit_rows=120", "--student.loss.name=gbce", "--student.loss.negatives=8"),
    "dllm2rec, selected": (
        "--distill.method=dllm2rec",
        "--distill.selection=student_misses",
        "--distill.embedding_weight=0",
        "--distill.dro_weight=0.1",
    ),
    "mixed histories": ("--export.mixed_histories=9", "--distill.method=full_catalog_ce"),
    "validation, unfiltered": ("--evaluate.split=validation", "--evaluate.filter_seen=false"),
    "QLoRA, packed, by tokens": (
        ONE_EPOCH,
        "--teacher.quantization=nf4",
        "--teacher.prompt=text",
        "--teacher.padding=packed",
        "--teacher.train.batch_tokens=400",
        "--teacher.gradient_checkpointing=true",
        "--export.batch_size=auto",
    ),
    "a growing cache": (
        ONE_EPOCH,
        "--teacher.targets=last",
        "--export.use_cache=true",
        "--export.states=false",
        "--student.train.batch_tokens=100",
        "--distill.train.batch_tokens=100",
    ),
    "a student with titles": ("--teacher.student=titled",),
    "compiled": (ONE_EPOCH, "--teacher.compile=true", "--teacher.compile_buckets=1"),
    "recompute and text": (
        ONE_EPOCH,
        "--teacher.prompt=text",
        "--teacher.gradient_checkpointing=true",
        "--teacher.layers=null",
    ),
}


@pytest.fixture(scope="module")
def varied(do: Run, copied: Run) -> Run:
    """The run with a variant's settings, done to the end once; from the finished one, where its data are the same.

    Its figures are drawn and no room is made for their labels, which is half of what drawing costs.
    """

    @cache
    def varied(variant: str) -> Path:
        settings = VARIANTS[variant]
        if not any(option.startswith("--data.") for option in settings):
            copied(variant)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)
            return do(variant, *settings)

    return varied


def test_the_teacher_is_asked_about_made_up_histories(varied: Run) -> None:
    run = varied("mixed histories")
    users = np.concatenate([np.load(path) for path in sorted(run.glob("teacher_outputs/shard-*/users.npy"))])
    people = len(json.loads((run / "prepare" / "users.json").read_text(encoding="utf-8")))
    assert sorted(set(users[users >= people].tolist())) == list(range(people, people + 9))


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_settings_run_to_the_end(request: pytest.FixtureRequest, varied: Run, variant: str) -> None:
    if variant == "compiled":
        request.getfixturevalue("graphs_alone")
    found = metrics(varied(variant))
    titled = ["titled"] if variant.endswith("titles") else []
    assert list(found["models"]) == [*MODELS[:-2], *titled, *MODELS[-2:]]
    assert all(0 <= values["ndcg@10"] <= 1 for values in found["models"].values())
    assert found["split"] == ("validation" if variant.startswith("validation") else "test")
    assert found["filter_seen"] is not variant.endswith("unfiltered")


def test_a_teacher_reads_the_student_with_titles_and_the_report_names_it(varied: Run, finished: Path) -> None:
    run = varied("a student with titles")
    plain, titled = load_student(run / "student"), load_student(run / "teacher" / "titled")
    assert torch.equal(plain.item_vectors(), load_student(finished / "student").item_vectors())
    assert not torch.equal(plain.item_vectors(), titled.item_vectors())
    ranks = metrics(run)["models"]
    assert ranks["titled"] != ranks["student"]
    report = (run / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"distilled student (and|is (above|below)) the student with titles", report)


def test_limit_rows_takes_whole_users(do: Run, finished: Path) -> None:
    run = do("sampled rows", *VARIANTS["sampled rows"], command="prepare")
    users, lengths = ([np.load(r / "prepare" / "offsets.npy") for r in (run, finished)][i] for i in (0, 1))
    whole = dict(zip(read(finished / "prepare" / "users.json"), np.diff(lengths), strict=True))
    kept = dict(zip(read(run / "prepare" / "users.json"), np.diff(users), strict=True))
    assert 0 < len(kept) < len(whole)
    assert all(whole[user] == length for user, length in kept.items())


def test_the_teacher_is_gone_when_the_distilled_student_trains(do: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from recdistill.training import distilled

    made: list[weakref.ref[Ranker]] = []
    alive: list[int] = []
    make, train = Ranker.__init__, fit

    def remember(self: Ranker, *args: Any, **keywords: Any) -> None:
        make(self, *args, **keywords)
        made.append(weakref.ref(self))

    def look(*args: Any, **keywords: Any) -> Any:
        gc.collect()
        alive.append(sum(ranker() is not None for ranker in made))
        return train(*args, **keywords)

    monkeypatch.setattr(Ranker, "__init__", remember)
    monkeypatch.setattr(distilled, "fit", look)
    do("memory", command="distill")
    assert made
    assert alive == [0]


def test_export_holds_every_training_and_validation_target(finished: Path) -> None:
    events = len(np.load(finished / "prepare" / "items.npy"))
    users = len(np.load(finished / "prepare" / "offsets.npy")) - 1
    rows = sum(len(np.load(path)) for path in (finished / "teacher_outputs").rglob("*users*.npy"))
    assert rows == events - users - users  # all but each user's first event, which has no history, and the test event
    assert ExportConfig().enabled


def test_recommend_answers_with_titles_and_ids(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", str(finished), "film 3", "i4", "--top_k=5"]) == 0
    text = capsys.readouterr().out
    after, following = text.split("next\n")
    assert "Film 3  [i3]" in after
    assert "Film 4  [i4]" in after
    lines = following.splitlines()
    assert [line.split(".")[0].strip() for line in lines] == ["1", "2", "3", "4", "5"]
    assert not [line for line in lines if "[i3]" in line or "[i4]" in line]
    assert all(1 <= int(line.split("Film ")[1].split(" ")[0]) <= NUM_ITEMS for line in lines)


@pytest.mark.parametrize(
    ("option", "filter_seen", "listed"),
    [("", True, False), ("", False, True), ("--keep_seen", True, True), ("--leave_seen_out", False, False)],
)
def test_recommend_lists_seen_items_as_the_run_or_the_option_says(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, filter_seen: bool, listed: bool
) -> None:
    run = tmp_path / "run"
    for folder in ("prepare", "distilled"):
        shutil.copytree(finished / folder, run / folder)
    (run / "evaluation").mkdir()
    manifest = {"fingerprint": "f" * 16, "inputs": {}, "config": {"filter_seen": filter_seen}}
    (run / "evaluation/manifest.json").write_text(json.dumps(manifest))
    assert main(["recommend", str(run), "i3", f"--top_k={NUM_ITEMS}", *[option] * bool(option)]) == 0
    following = capsys.readouterr().out.split("next\n")[1]
    assert ("[i3]" in following) == listed
    assert main(["recommend", str(run), "i3", "--keep_seen", "--leave_seen_out"]) == 2


KILLED = ("--student.train.checkpoint_seconds=0", "--teacher.train.checkpoint_seconds=0", "--student.dropout=0.2")


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_killed_run_goes_on_to_the_numbers_of_one_that_was_not(
    do: Run, folder: Path, tiny_llm: Path, tmp_path: Path, quantization: str
) -> None:
    settings = (*KILLED, f"--teacher.quantization={quantization}")
    whole = do(f"whole {quantization}", *settings, command="evaluate")
    run = folder / f"killed {quantization}"
    arguments = ["run", *options(run, tiny_llm, folder / "data" / "events.csv", *settings)]
    for step, checkpoints in (("student", 4), ("teacher", 3)):
        assert ended(arguments, tmp_path / "stderr", kill_after, step, checkpoints) == -9
        assert (tmp_path / "stderr").read_text() == ""
        assert (run / f"{step}.partial" / "checkpoint.safetensors").is_file()
        assert not (run / step).exists()
    do(f"killed {quantization}", *settings, command="evaluate")
    assert metrics(run) == metrics(whole)
    assert fingerprints(run) == fingerprints(whole)
    for step in ("student", "teacher"):
        assert read(run / step / "manifest.json")["attempts"] == 2
        rows, expected = (
            [line.rsplit(",", 1)[0] for line in (r / step / "training.csv").read_text().splitlines()]
            for r in (run, whole)
        )
        assert rows == expected


def test_a_second_student_takes_the_language_models_place(do: Run, finished: Path) -> None:
    run = do("second_student", "--teacher.kind=second_student")
    found = metrics(run)["models"]
    assert list(found) == MODELS
    assert found["student"] == metrics(finished)["models"]["student"]
    assert found["teacher"] != metrics(finished)["models"]["teacher"]
    assert not (run / "teacher" / "adapter").exists()
