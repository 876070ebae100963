"""Each of the report's settings changes what runs, and leaves evidence of it, or is refused.

The report's FP32 and BF16 rows were the same run twice: the setting was dropped on the way, and nobody could tell.
"""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from recdistill.config import AdapterConfig, ExportConfig, Padding, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.errors import UserError
from recdistill.language_models.backbone import check_machine
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json
from recdistill.students.make import make_student, save_student
from recdistill.teacher.compiling import graphs_made
from recdistill.teacher.ranker import Ranker
from recdistill.teacher.teacher import load_teacher
from recdistill.training.scoring import teacher_scorer
from recdistill.training.teacher import TeacherTraining, train_teacher

STUDENT = StudentConfig(embedding_dim=8, num_layers=1, num_heads=1, max_length=8)


Known = tuple[dict[str, Any], Path, RunConfig]
Trained = Callable[..., Known]
"""Trains, and answers with the evidence, the folder and the settings."""


def tiny_config(llm: Path, **settings: Any) -> RunConfig:
    """Of a tiny teacher with some settings, those of its training among them as `train`."""
    train_settings = {"max_epochs": 1, "batch_size": 8, "patience": 0} | settings.pop("train", {})
    base: dict[str, Any] = {
        "llm": str(llm),
        "layers": 2,
        "history_length": 8,
        "head_dim": 8,
        "title_dim": 6,
        "prompt": "text",
        "adapter": AdapterConfig(dropout=0.0),
        "train": TrainConfig(**train_settings),
        "title_encoder": "llm",
        "title_decay": 0.0,
    }
    return RunConfig(student=STUDENT, teacher=TeacherConfig(**(base | settings)))


def train_tiny(config: RunConfig, data: PreparedData, folder: Path) -> Known:
    """Train a tiny teacher into a folder beside its `student`; the whole of its evidence."""
    users = [str(number) for number in range(data.num_users)]
    with Profiler() as profiler:
        context = RunContext("cpu", profiler, folder)
        train_teacher(config, data, users, folder.with_name("student"), context, "x")
    return read_json(folder / "evidence.json") | {"phases": profiler.timings()["phases"]}, folder, config


def make_place(folder: Path, data: PreparedData) -> None:
    """An untrained student, and no blocks that another test has compiled."""
    torch.compiler.reset()  # what another test has compiled would be taken over
    torch.manual_seed(0)
    (folder / "student").mkdir()
    save_student(make_student(STUDENT, data.num_items), folder / "student")


@pytest.fixture
def trained(tiny_llm: Path, tiny_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Train a tiny teacher with some settings, in a folder of this test alone."""
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    make_place(tmp_path, tiny_data)

    def train(name: str = "teacher", **settings: Any) -> Known:
        return train_tiny(tiny_config(tiny_llm, **settings), tiny_data, tmp_path / name)

    return train


@pytest.fixture(scope="module")
def known(tiny_llm: Path, tiny_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A teacher with some settings, trained once for all tests that read it and change nothing."""
    made: dict[str, Known] = {}

    def known(**settings: Any) -> Known:
        if repr(settings) not in made:
            folder = tmp_path_factory.mktemp("known")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
                make_place(folder, tiny_data)
                made[repr(settings)] = train_tiny(tiny_config(tiny_llm, **settings), tiny_data, folder / "teacher")
        return made[repr(settings)]

    return known


@pytest.fixture
def untouched(known: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Known:
    """That with no settings, to be read with others by blocks that no other test has compiled."""
    found = known()
    torch.compiler.reset()
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    return found


def last_row(folder: Path) -> dict[str, str]:
    """The last validation of a training's log."""
    with (folder / "training.csv").open() as file:
        return list(csv.DictReader(file))[-1]


def judged(evidence: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in evidence["settings"] if one["key"] == key)


SETTINGS = [
    ("teacher.precision", {"precision": "bf16"}, "products"),
    ("teacher.precision", {"precision": "bf16-mixed"}, "products"),
    ("teacher.quantization", {"quantization": "nf4"}, "quantised_kernels"),
    ("teacher.quantization", {"quantization": "int8"}, "quantised_kernels"),
    ("teacher.double_quantization", {"quantization": "nf4", "double_quantization": False}, "double_quantised_layers"),
    ("teacher.compute_dtype", {"quantization": "nf4", "compute_dtype": "bf16"}, "compute_dtypes"),
    ("teacher.attention", {"attention": "eager"}, "attention_kernels"),
    ("teacher.padding", {"padding": "packed"}, "tokens"),
    ("teacher.padding", {"padding": "fixed"}, "tokens"),
    ("teacher.padding", {"padding": "longest"}, "tokens"),
    ("teacher.gradient_checkpointing", {"gradient_checkpointing": True}, "block_executions"),
    ("teacher.train.accumulate_grad_batches", {"train": {"accumulate_grad_batches": 2}}, "micro_batches_per_step"),
    ("teacher.train.batch_tokens", {"train": {"batch_tokens": 300}}, "tokens"),
    ("teacher.train.num_workers", {"train": {"num_workers": 2}}, "batches_by_worker"),
    ("teacher.compile", {"compile": True, "compile_buckets": 2}, "compiled_graphs"),
]


@pytest.mark.usefixtures("graphs_alone")
@pytest.mark.parametrize(("key", "settings", "fact"), SETTINGS, ids=lambda one: str(one).replace(" ", ""))
def test_a_setting_changes_what_runs_and_leaves_evidence(
    known: Trained, key: str, settings: dict[str, Any], fact: Any
) -> None:
    base, _, _ = known(**({"quantization": "nf4"} if settings.get("quantization") == "nf4" else {}))
    changed, _, _ = known(**settings)
    assert judged(changed, key)["in_effect"], judged(changed, key)
    if settings != {"quantization": "nf4"}:
        assert changed[fact] != base[fact]
    others = [one for one in [*base["settings"], *changed["settings"]] if not one["in_effect"]]
    assert others == []


class Killed(Exception):  # noqa: N818 (not an error of the program)
    """Stands for a process that ends at once."""


COUNTED = ("tokens", "batches_by_worker", "micro_batches_per_step", "settings")
SAVED_EACH_STEP = {"max_epochs": 2, "accumulate_grad_batches": 2, "checkpoint_seconds": 0.0}


@pytest.mark.parametrize("place", ["in the first step", "in a later step", "behind the last step"])
def test_evidence_is_of_all_tries(
    trained: Trained, known: Trained, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    whole, _, _ = known(padding="packed", train=SAVED_EACH_STEP)
    with monkeypatch.context() as patch:
        if place == "behind the last step":
            patch.setattr(Ranker, "save", mock.Mock(side_effect=Killed))
        else:
            losses = whole["tokens"]["train"]["micro_batches"]
            real, calls = TeacherTraining.loss, []

            def loss(self: TeacherTraining, batch: Any) -> Any:
                calls.append(1)
                # The first call is that of the step that is watched.
                if len(calls) == 1 + (1 if place == "in the first step" else losses - 3):
                    raise Killed
                return real(self, batch)

            patch.setattr(TeacherTraining, "loss", loss)
        with pytest.raises(Killed):
            trained("cut", padding="packed", train=SAVED_EACH_STEP)
    resumed, _, _ = trained("cut", padding="packed", train=SAVED_EACH_STEP)
    for name in COUNTED:
        assert resumed[name] == whole[name], name
    assert whole["tokens"]["train"]["micro_batches"] > 6
    assert {"teacher.padding", "teacher.targets", "teacher.train.batch_size"} <= {
        one["key"] for one in whole["settings"]
    }


def test_four_bits_change_what_runs(known: Trained) -> None:
    plain, four = known()[0], known(quantization="nf4")[0]
    assert not plain["quantised_kernels"]
    assert sum(four["quantised_kernels"].values()) > 0
    assert four["quantised_layers"] == 2 * 7
    assert four["double_quantised_layers"] == 14


@pytest.mark.usefixtures("graphs_alone")
def test_compiled_blocks_are_few_and_none_is_made_after_the_warm_up(known: Trained) -> None:
    evidence, _, _ = known(compile=True, compile_buckets=2)
    assert 0 < evidence["compiled_graphs"] <= 2 * 2  # two lengths, for training and for reading
    assert evidence["graphs_after_warm_up"] == 0
    assert evidence["phases"]["compile"] > 0
    assert evidence["tokens"]["train"]["widths"] <= 2


@pytest.mark.parametrize(("whole", "prompt", "rows", "lengths"), [(True, "soft", 1, 1), (False, "text", 2, 2)])
def test_compiled_blocks_train_packed_prompts_as_plain_ones_do(
    request: pytest.FixtureRequest, trained: Trained, whole: bool, prompt: str, rows: int, lengths: int
) -> None:
    if not whole:
        request.getfixturevalue("graphs_alone")
    packed: dict[str, Any] = {"prompt": prompt, "padding": "packed", "train": {"batch_tokens": 110, "batch_size": rows}}
    compiled, folder, _ = trained("compiled", compile=True, **packed)
    # The block is in four parts around its attention, for training and for one or two lengths of reading.
    assert 0 < compiled["compiled_graphs"] <= 4 * (1 + lengths)
    assert compiled["graphs_after_warm_up"] == 0
    assert [one for one in compiled["settings"] if not one["in_effect"]] == []
    assert compiled["tokens"]["train"]["micro_batches"] > 1
    _, plain, _ = trained("plain", **packed)
    losses = [float(last_row(one)["loss"]) for one in (folder, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.usefixtures("graphs_alone")
def test_compiling_has_an_end(trained: Trained) -> None:
    with pytest.raises(UserError, match=r"teacher\.compile: compiling took longer than teacher\.compile_seconds"):
        trained(compile=True, compile_seconds=0.05)


@pytest.mark.usefixtures("graphs_alone")
def test_one_compiled_length_is_all_that_runs(known: Trained) -> None:
    compiled, folder, _ = known(padding="fixed", compile=True)
    assert 0 < compiled["compiled_graphs"] <= 2  # for training and for reading
    assert compiled["graphs_after_warm_up"] == 0
    assert [one for one in compiled["settings"] if not one["in_effect"]] == []
    assert compiled["tokens"]["train"]["widths"] == 1
    _, plain, _ = known(padding="fixed")
    losses = [last_row(one)["loss"] for one in (plain, folder)]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-3)


SCORED = [
    {"padding": "bucketed", "compile_buckets": 2},
    {"padding": "fixed"},
    {"padding": "packed", "train": {"batch_tokens": 110, "batch_size": 2}},
]


@pytest.mark.usefixtures("graphs_alone")
@pytest.mark.parametrize("settings", SCORED, ids=lambda one: one["padding"])
def test_scoring_compiles_all_its_shapes_before_it_scores(
    untouched: Known, tiny_llm: Path, tiny_data: PreparedData, tmp_path: Path, settings: dict[str, Any]
) -> None:
    _, folder, _ = untouched
    plain = tiny_config(tiny_llm, **settings)
    config = replace(plain, teacher=replace(plain.teacher, compile=True))
    targets = tiny_data.targets("test")
    where = (tiny_data, targets, folder.with_name("student"), folder)
    profiler = Profiler()
    scorer = teacher_scorer(config, *where, RunContext("cpu", profiler, tmp_path))
    assert profiler.seconds["compile"] > 0
    made = graphs_made()
    # By ones and by all, since whoever scores may ask in any batches.
    found = scorer.score(targets.users, targets.positions)
    for row in range(0, len(targets), 9):
        alone = scorer.score(targets.users[row : row + 1], targets.positions[row : row + 1])
        torch.testing.assert_close(alone[0], found[row], rtol=1e-3, atol=1e-3)
    assert graphs_made() == made
    expected = teacher_scorer(plain, *where, RunContext("cpu", profiler, tmp_path))
    wanted = expected.score(targets.users, targets.positions)
    torch.testing.assert_close(found[:, 1:], wanted[:, 1:], rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("graphs_alone")
def test_scoring_ends_a_compiler_that_does_not_end(untouched: Known, tiny_data: PreparedData, tmp_path: Path) -> None:
    _, folder, config = untouched
    hasty = replace(config, teacher=replace(config.teacher, compile=True, compile_seconds=0.05))
    context = RunContext("cpu", Profiler(), tmp_path)
    targets = tiny_data.targets("test")
    with pytest.raises(UserError, match=r"teacher\.compile: compiling took longer than teacher\.compile_seconds"):
        teacher_scorer(hasty, tiny_data, targets, folder.with_name("student"), folder, context)


REFUSED = [
    ({"precision": "fp16"}, "teacher.precision: fp16 needs a CUDA device"),
    ({"precision": "fp16-mixed"}, "teacher.precision: fp16-mixed needs a CUDA device"),
    ({"attention": "flash_attention_2"}, "teacher.attention: flash_attention_2 needs a CUDA device"),
    ({"attention": "flex_attention"}, "teacher.attention: flex_attention has no backward pass on a CPU"),
    ({"compile": True, "cuda_graphs": True}, "teacher.cuda_graphs: they need a CUDA device"),
    ({"quantization": "nf4", "compute_dtype": "fp16"}, "teacher.compute_dtype: fp16 needs a CUDA device"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=lambda one: str(one)[:40])
def test_what_a_cpu_cannot_do_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        check_machine(TeacherConfig(**settings), "cpu")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_settings_that_nothing_reads_are_refused() -> None:
    with pytest.raises(UserError, match=r"teacher\.compute_dtype: only 4-bit layers have one"):
        TeacherConfig(compute_dtype="bf16")
    with pytest.raises(UserError, match=r"teacher\.cuda_graphs: they are made of compiled blocks"):
        TeacherConfig(cuda_graphs=True)
    with pytest.raises(UserError, match=r"export\.use_cache: targets: every reads each history once"):
        RunConfig(export=ExportConfig(use_cache=True))


def export(config: RunConfig, data: PreparedData, student: Path, folder: Path, out: Path, **settings: Any) -> Any:
    teacher = load_teacher(config, data, student, folder, "cpu")
    wish = replace(config.decided_export, top_k=5, **settings)
    prints = Fingerprints("d", "s", "t")
    with Profiler() as profiler:
        export_outputs(teacher, data, teacher.titles, wish, RunContext("cpu", profiler, out), prints)
    targets = data.targets("train")
    records = OutputsReader(out, prints).lookup(targets.users, targets.positions)
    assert records.found.all()
    return records, read_json(out / "evidence.json")


@pytest.mark.parametrize("padding", ["bucketed", "packed"])
def test_the_exports_settings_change_how_it_reads_and_not_what(
    untouched: Known, tiny_llm: Path, tiny_data: PreparedData, tmp_path: Path, padding: Padding
) -> None:
    _, folder, _ = untouched
    config = tiny_config(tiny_llm, targets="last", padding=padding)
    where = (config, tiny_data, folder.with_name("student"), folder)
    one, small = export(*where, tmp_path / "one", batch_size=4)
    two, found = export(*where, tmp_path / "two", batch_size="auto")
    three, cached = export(*where, tmp_path / "three", batch_size=4, use_cache=True)
    for other in (two, three):
        np.testing.assert_allclose(other.top_scores, one.top_scores, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(other.states.astype(float), one.states.astype(float), rtol=1e-2, atol=1e-2)
        assert (other.top_items == one.top_items).mean() > 0.99
    assert small["tokens"]["export"]["most_prompts"] == 4
    assert found["batch_size"] in [trial["batch_size"] for trial in found["batch_size_trials"]]
    assert cached["tokens"]["export"]["reused"] > 0
    assert cached["tokens"]["export"]["most_prompts"] == 4
    assert cached["tokens"]["export"]["processed"] > cached["tokens"]["export"]["useful"]
    assert cached["tokens"]["export"]["processed"] < small["tokens"]["export"]["processed"]
    for evidence in (small, found, cached):
        assert all(setting["in_effect"] for setting in evidence["settings"]), evidence["settings"]
