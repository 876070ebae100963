"""Whether items already seen are ranked decides alike in training, tuning, lists and evaluation: the whole chain, on
histories that go in circles.
"""

import csv
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from chain import options
from older_runs import without_checksums
from recdistill.cli import main
from recdistill.config import EvaluateConfig, ExportConfig, RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.errors import UserError
from recdistill.evaluation.stored import read_stored
from recdistill.pipeline import Pipeline
from recdistill.pipeline.work import forget_other_machines_ranks
from recdistill.storage.files import read_json, write_json
from recdistill.storage.run_folder import RunFolder
from recdistill.storage.step_files import write_manifest

USERS, LOOP = 12, 4
MODELS = {"student": "student", "teacher": "teacher", "distilled": "distilled"}
COMMON = ("--data.duplicates=keep", "--student.train.max_epochs=2", "--teacher.train.max_epochs=1", "--seed=3")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each user goes round four neighbouring items, two and a half times."""
    folder = tmp_path_factory.mktemp("circles")
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "timestamp"])
        writer.writerows([f"u{user}", f"i{user + step % LOOP}", step] for user in range(USERS) for step in range(10))
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title"])
        writer.writerows([f"i{item}", f"Film {item}"] for item in range(USERS + LOOP))
    return folder / "events.csv"


@pytest.fixture(scope="module")
def kept(events: Path, tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ranks seen items, evaluated on validation."""
    run = tmp_path_factory.mktemp("runs") / "kept"
    more = (*COMMON, "--evaluate.filter_seen=false", "--evaluate.split=validation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(events.parent / "cache"))
        assert main(["run", *options(run, tiny_llm, events, *more)]) == 0
    return run


def best_validation(run: Path, step: str) -> float:
    with (run / step / "training.csv").open() as file:
        return max(float(row["ndcg@10"]) for row in csv.DictReader(file))


@pytest.mark.parametrize("model", MODELS)
def test_what_training_validated_is_what_evaluation_measures(kept: Path, model: str) -> None:
    metrics = read_json(kept / "evaluation" / "metrics.json")
    assert metrics["split"] == "validation"
    assert metrics["repeats"] == 0
    assert best_validation(kept, MODELS[model]) == pytest.approx(metrics["models"][model]["ndcg@10"], abs=1e-6)
    assert metrics["models"][model]["ndcg@10"] > 0


def test_lists_hold_what_is_ranked(kept: Path) -> None:
    about = read_json(kept / "teacher_outputs" / "manifest.json")
    assert about["config"]["exclude_seen"] is False
    data = PreparedData.load(kept / "prepare")
    pipeline = Pipeline(RunConfig(run=str(kept)), RunFolder(kept), "cpu")
    prints = Fingerprints(data.fingerprint, data.split_fingerprint, pipeline.made("teacher"))
    targets = data.targets("validation")
    records = OutputsReader(kept / "teacher_outputs", prints).require(targets.users, targets.positions)
    seen = [
        np.isin(row, data.history(user, position)).any()
        for row, user, position in zip(records.top_items, targets.users, targets.positions, strict=True)
    ]
    assert any(seen)


def test_another_filter_is_another_training_and_misses_are_counted(
    kept: Path,
    events: Path,
    tiny_llm: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    monkeypatch.setenv("RECDISTILL_CACHE", str(events.parent / "cache"))

    def do(*more: str) -> tuple[str, str]:
        words = options(run, tiny_llm, events, *COMMON, "--teacher.kind=none", *more)
        assert main(["evaluate", *(word for word in words if word != "--quiet")]) == 0
        shown = capsys.readouterr()
        return shown.out, shown.err

    table, log = do()
    assert f"{USERS} of {USERS} validation targets and {USERS} of {USERS} test targets" in log
    assert f"{USERS} of {USERS} targets repeat an item of their own history" in table
    assert best_validation(run, "student") == 0.0, "every target is in its history"
    table, log = do("--evaluate.filter_seen=false")
    assert "student: re-running, since input.evaluate.filter_seen" in log
    assert "can only be misses" not in log
    assert "repeat an item" not in table
    assert best_validation(run, "student") == best_validation(kept, "student")
    _, log = do("--evaluate.filter_seen=false", "--evaluate.candidates=0")
    assert "student: finished before" in log


def test_lists_that_hold_what_is_ranked_are_the_same_step_however_it_is_said(kept: Path) -> None:
    """`export.exclude_seen` left to the ranking, or written out as the ranking has it, names one work."""
    config = RunConfig(evaluate=EvaluateConfig(filter_seen=False))
    written = RunConfig(evaluate=config.evaluate, export=ExportConfig(exclude_seen=False))
    assert config.decided_export == written.decided_export
    assert config.decided_export.exclude_seen is False
    assert RunConfig().decided_export.exclude_seen is True
    assert RunConfig(export=ExportConfig(exclude_seen=False)).decided_export.exclude_seen is False


def test_an_interrupted_evaluation_of_another_machine_begins_anew(
    kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(shutil.copytree(kept, tmp_path / "run"))
    partial = run.path / "evaluation.partial"
    shutil.copytree(run.path / "evaluation", partial)
    pipeline = Pipeline(RunConfig(run=str(run.path)), run, "cpu")
    forget_other_machines_ranks(pipeline)
    assert partial.is_dir(), "the same machine and code"
    manifest = read_json(partial / "manifest.json")
    cpu = manifest["environment"]["cpu"] | {"model": "another"}
    write_manifest(partial, manifest | {"environment": manifest["environment"] | {"cpu": cpu}})
    with caplog.at_level(logging.INFO, "recdistill"):
        forget_other_machines_ranks(pipeline)
    assert not partial.exists()
    assert "since cpu differs" in caplog.text


def test_ranks_of_an_older_run_are_compared_though_its_titles_were_ids(kept: Path, tmp_path: Path) -> None:
    run = without_checksums(shutil.copytree(kept, tmp_path / "run"))
    about = read_json(run / "prepare" / "data.json")
    about["statistics"]["titles_missing"] = 1
    write_json(run / "prepare" / "data.json", about)
    with pytest.raises(UserError, match="an older version prepared this"):
        PreparedData.load(run / "prepare")
    assert read_stored(run).data().num_users == USERS
