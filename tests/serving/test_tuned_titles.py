"""A run whose title encoder was trained on its histories, from training to new items and a bundle of it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from chain import NUM_ITEMS, options
from recdistill.cli import main
from recdistill.language_models.title_lora import TUNING_FILE, load_tuning
from recdistill.serving.bundle import make_bundle
from recdistill.serving.new_items import add_items

SETTINGS = (
    "--data.text=[genre]",
    "--teacher.title_tuning.steps=3",
    "--teacher.title_tuning.pairs=8",
    "--teacher.title_tuning.learning_rate=0.02",
)


@pytest.fixture(scope="module")
def tuned(made_run: Path, tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The titled run once more, its titles read by a tuned encoder."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    shutil.copytree(made_run, run)
    events = made_run.parent / "data" / "events.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(made_run.parent / "cache"))
        assert main(["distill", *options(run, tiny_llm, events, *SETTINGS)]) == 0
    return run


@pytest.fixture(autouse=True)
def _cache(made_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(made_run.parent / "cache"))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text("item_id,title,genre\nn1,Film 100,kind 1\n")
    return path


def test_what_was_learned_goes_from_the_teacher_to_its_outputs_and_its_student(tuned: Path, made_run: Path) -> None:
    of_teacher, of_student = (load_tuning(tuned / step) for step in ("teacher", "distilled"))
    assert of_teacher is not None
    assert of_student is not None
    assert of_teacher.digest == of_student.digest
    facts = json.loads((tuned / "teacher" / "evidence.json").read_text())
    assert facts["title_encoder"]["tuning"] == of_teacher.facts
    judged = {one["key"]: one["in_effect"] for one in facts["settings"]}
    assert judged["teacher.title_tuning.steps"] is True
    plain, other = (
        load_file(run / "distilled" / "title_map.safetensors")["embeddings"].float() for run in (made_run, tuned)
    )
    assert (plain - other).abs().amax(dim=1).min() > 1e-3
    assert not (made_run / "teacher" / TUNING_FILE).exists()


def test_new_items_are_read_by_the_tuned_encoder(tuned: Path, new: Path, tmp_path: Path) -> None:
    assert add_items(tuned, new, tmp_path / "more") == 1
    assert load_tuning(tmp_path / "more" / "distilled") is not None
    assert add_items(tmp_path / "more", _later(tmp_path), tmp_path / "most") == 1


def test_without_what_was_learned_new_items_are_refused(
    tuned: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tuned, tmp_path / "run")
    (tmp_path / "run" / "distilled" / TUNING_FILE).unlink()
    assert main(["add-items", str(tmp_path / "run"), str(new), "--out", str(tmp_path / "more")]) == 2
    assert TUNING_FILE in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "more").exists()


def test_a_bundle_takes_it_along(tuned: Path, new: Path, tmp_path: Path) -> None:
    folder = make_bundle(tuned, tmp_path / "bundle")
    assert load_tuning(folder) is not None
    assert add_items(folder, new, tmp_path / "more") == 1
    assert load_tuning(tmp_path / "more") is not None
    catalog = json.loads((tmp_path / "more" / "catalog.json").read_text())
    assert catalog["item_ids"][NUM_ITEMS + 1 :] == ["n1"]


def test_an_export_reads_titles_as_the_teacher_did(tuned: Path, made_run: Path, tiny_llm: Path, tmp_path: Path) -> None:
    shutil.copytree(tuned, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "teacher_outputs")
    shutil.rmtree(tmp_path / "run" / "distilled")
    events = made_run.parent / "data" / "events.csv"
    assert main(["distill", *options(tmp_path / "run", tiny_llm, events, *SETTINGS)]) == 0
    before, after = (
        load_file(run / "distilled" / "title_map.safetensors")["embeddings"] for run in (tuned, tmp_path / "run")
    )
    assert torch.equal(before, after)


def _later(folder: Path) -> Path:
    path = folder / "later.csv"
    path.write_text("item_id,title,genre\nn2,Film 200,kind 0\n")
    return path
