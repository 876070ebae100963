"""Studies of the student on a file of forty users."""

import importlib.util
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recdistill import pipeline
from recdistill.cli import main
from recdistill.config import DataConfig, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.config.settings import run_config
from recdistill.data.prepared import PreparedData, SplitName, Targets
from recdistill.errors import UserError
from recdistill.experiments.tune import tune as tuning
from recdistill.experiments.tune.config import TuneConfig
from recdistill.experiments.tune.space import Choices, Range, Space
from recdistill.experiments.tune.study import TrialRecord
from recdistill.experiments.tune.tune import Watch, tune, write_results
from recdistill.interruption import Interrupted, handled_signals
from recdistill.steps import RESULTS
from recdistill.storage.typed import JsonValue
from recdistill.training.checkpoint import Counts
from recdistill.training.divergence import DivergedError
from recdistill.training.fit import fit as tuning_fit
from recdistill.training.student import StudentTraining
from recdistill.training.validations import Validation

needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="needs the extra `tune`")
SPACE: Space = {"student.embedding_dim": Choices((4, 8)), "student.train.learning_rate": Range(1e-3, 1e-1, log=True)}
SETTINGS = TuneConfig(trials=4, startup=2, prune_after=1)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    generator = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp"]
    for user in range(40):
        items = (generator.integers(12) + np.cumsum(generator.choice([1, 2], size=8))) % 12
        lines += [f"{user},{item},{time}" for time, item in enumerate(dict.fromkeys(items.tolist()))]
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    student = StudentConfig(max_length=6, train=TrainConfig(max_epochs=2, batch_size=16))
    data = DataConfig(source="csv", path=str(tmp_path / "events.csv"), min_user_events=3)
    return RunConfig(
        run=str(tmp_path / "run"), threads=1, data=data, student=student, teacher=TeacherConfig(history_length=6)
    )


def trials(config: RunConfig) -> list[dict[str, Any]]:
    lines = (Path(config.run) / "tune/trials.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


@needs_optuna
def test_a_study_that_goes_on_is_the_study_that_never_stopped(config: RunConfig, tmp_path: Path) -> None:
    whole = replace(config, run=str(tmp_path / "whole"))
    tune(whole, SETTINGS, SPACE)
    tune(config, replace(SETTINGS, trials=2), SPACE)
    assert [row["trial"] for row in trials(config)] == [1, 2]
    tune(config, SETTINGS, SPACE)
    assert trials(config) == trials(whole)
    assert len({json.dumps(row["drawn"]) for row in trials(whole)}) == 4, "trials differ"


@needs_optuna
def test_a_trial_that_was_cut_off_is_drawn_again(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(config, run=str(tmp_path / "whole"))
    tune(whole, SETTINGS, SPACE)
    tune(config, replace(SETTINGS, trials=1), SPACE)
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "fit", _raise(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            tune(config, SETTINGS, SPACE)
    assert len(trials(config)) == 1
    tune(config, SETTINGS, SPACE)
    assert trials(config) == trials(whole)
    left = {path.name for path in (Path(config.run) / "tune").iterdir()}
    assert left == {"study.journal", "study.ends.json", "trials.jsonl", "best.yaml"}


@needs_optuna
def test_a_trial_that_a_signal_stopped_goes_on_at_its_step(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, loss = [0, 0], StudentTraining.loss

    def watched(self: StudentTraining, batch: Any) -> Any:
        steps[0] += 1
        if steps[0] == steps[1]:
            signal.raise_signal(signal.SIGTERM)
        return loss(self, batch)

    monkeypatch.setattr(StudentTraining, "loss", watched)
    whole = replace(config, run=str(tmp_path / "whole"))
    tune(whole, SETTINGS, SPACE)
    of_all, steps[:] = steps[0], [0, 9]
    (Path(config.run) / "tune/.trial-killed").mkdir(parents=True)
    with pytest.raises(Interrupted) as stopped, handled_signals(quiet=True):
        tune(config, SETTINGS, SPACE)
    assert stopped.value.saved.startswith("the student of this trial")
    kept = [path.name for path in (Path(config.run) / "tune").glob(".trial-*")]
    assert len(kept) == 1
    assert kept != [".trial-killed"]
    tune(config, SETTINGS, SPACE)
    assert trials(config) == trials(whole), "pruning too sees the epochs before the signal"
    assert steps[0] == of_all, "no step was done twice"
    left = {path.name for path in (Path(config.run) / "tune").iterdir()}
    assert left == {"study.journal", "study.ends.json", "trials.jsonl", "best.yaml"}


@needs_optuna
@pytest.mark.parametrize("cut", [1, 40])
def test_half_a_line_at_the_journals_end_is_dropped_and_told(
    config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    """As a full disk leaves it; and the lock of a process that was killed is no reason to wait."""
    whole = replace(config, run=str(tmp_path / "whole"))
    tune(whole, replace(SETTINGS, trials=2), SPACE)
    tune(config, replace(SETTINGS, trials=1), SPACE)
    journal = Path(config.run) / "tune/study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.with_name("study.ends.json").unlink()  # as in a study of an earlier version
    journal.write_bytes(b"".join(lines) + lines[-1][:-cut])
    journal.with_name("study.journal.lock").symlink_to(journal)
    journal.with_name("study.journal.lock0483.rename").symlink_to(journal)
    with caplog.at_level("WARNING", logger="recdistill"):
        tune(config, replace(SETTINGS, trials=2), SPACE)
    assert f"line {len(lines) + 1}, which was not written to its end, is dropped" in caplog.text
    assert trials(config) == trials(whole)
    assert not list(journal.parent.glob("*.lock*"))


@needs_optuna
def test_a_journal_that_is_broken_elsewhere_is_named_with_its_line(config: RunConfig) -> None:
    tune(config, replace(SETTINGS, trials=1), SPACE)
    journal = Path(config.run) / "tune/study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.with_name("study.ends.json").unlink()  # as in a study of an earlier version
    journal.write_bytes(b"".join([lines[0], lines[1][:5] + b"\n", *lines[2:]]))
    with pytest.raises(UserError, match=r"study\.journal:2: not a line of optuna's journal"):
        tune(config, SETTINGS, SPACE)


@needs_optuna
def test_the_best_trial_is_a_configuration_that_run_reads(config: RunConfig) -> None:
    path = tune(config, replace(SETTINGS, trials=2), SPACE)
    best = max((row for row in trials(config) if row["state"] == "complete"), key=lambda row: row["value"])
    read = run_config(yaml.safe_load(path.read_text()))
    assert read.student.embedding_dim == best["drawn"]["student.embedding_dim"]
    assert read.student.train.learning_rate == best["drawn"]["student.train.learning_rate"]
    assert replace(read, student=config.student) == config
    assert f"recdistill run --config {path}" in path.read_text()


@needs_optuna
def test_another_space_or_seed_in_the_same_folder_is_refused(config: RunConfig) -> None:
    tune(config, replace(SETTINGS, trials=1), SPACE)
    for other, space in ((replace(config, seed=7), SPACE), (config, SPACE | {"student.num_layers": Range(1, 2)})):
        with pytest.raises(UserError, match="holds a study of other settings, space or data"):
            tune(other, SETTINGS, space)


@needs_optuna
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_damaged_journal_is_cut_back_and_its_later_trials_are_done_again(
    config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: int
) -> None:
    tune(config, replace(SETTINGS, trials=3), SPACE)
    found, folder = trials(config), Path(config.run) / "tune"
    ends = json.loads((folder / "study.ends.json").read_text())["ends"]
    journal = bytearray((folder / "study.journal").read_bytes())
    assert [end["bytes"] for end in ends][-1] == len(journal)
    journal[ends[kept]["bytes"] - 9] ^= 1
    (folder / "study.journal").write_bytes(journal)
    tune(config, replace(SETTINGS, trials=3), SPACE)
    assert f"trials are done again from trial {kept + 1} on" in caplog.text
    again = trials(config)
    assert again[:kept] == found[:kept]
    assert [row["drawn"] for row in again] == [row["drawn"] for row in found]
    assert [row["value"] for row in again] == [row["value"] for row in found]


@needs_optuna
@pytest.mark.parametrize("content", ["", None])
def test_where_the_journals_ends_are_damaged_they_are_written_anew_and_find_later_damage(
    config: RunConfig, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    tune(config, replace(SETTINGS, trials=2), SPACE)
    found, folder = trials(config), Path(config.run) / "tune"
    ends = folder / "study.ends.json"
    ends.write_text(ends.read_text()[:-20] if content is None else content)
    tune(config, replace(SETTINGS, trials=2), SPACE)
    assert f"the journal is taken as it is, since {ends}: damaged" in caplog.text
    size = (folder / "study.journal").stat().st_size
    assert [end["bytes"] for end in json.loads(ends.read_text())["ends"]] == [size, size]
    tune(config, replace(SETTINGS, trials=3), SPACE)
    journal = bytearray((folder / "study.journal").read_bytes())
    journal[size + 9] ^= 1
    (folder / "study.journal").write_bytes(journal)
    tune(config, replace(SETTINGS, trials=2), SPACE)
    assert "trials are done again from trial 3 on" in caplog.text
    assert trials(config) == found


@needs_optuna
def test_a_study_of_students_with_other_results_is_refused(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(config, replace(SETTINGS, trials=1), SPACE)
    monkeypatch.setitem(RESULTS, "student", RESULTS["student"] + 1)
    monkeypatch.setattr(pipeline, "run", lambda config, until: Path(config.run))
    with pytest.raises(UserError, match="a study of students that another version trained"):
        tune(config, replace(SETTINGS, trials=2), SPACE)


@needs_optuna
def test_test_is_never_looked_at(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.run(config, until="prepare")  # which counts the targets of all splits
    asked: set[str] = set()
    targets = PreparedData.targets

    def watched(data: PreparedData, split: SplitName) -> Targets:
        asked.add(split)
        return targets(data, split)

    monkeypatch.setattr(PreparedData, "targets", watched)
    tune(config, replace(SETTINGS, trials=1), SPACE)
    assert asked == {"validation"}


@needs_optuna
def test_a_trial_that_diverges_is_recorded_and_the_study_goes_on(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = tuning_fit

    def diverge(*arguments: Any, **settings: Any) -> Any:
        fit(*arguments, **settings)
        raise DivergedError("not a number")

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "fit", diverge)
        with pytest.raises(UserError, match="every trial diverged"):
            tune(config, replace(SETTINGS, trials=1), SPACE)
    path = tune(config, replace(SETTINGS, trials=2), SPACE)
    assert [row["state"] for row in trials(config)] == ["diverged", "complete"]
    assert path.is_file()


@needs_optuna
def test_a_draw_that_is_refused_is_a_trial_and_the_study_goes_on(config: RunConfig) -> None:
    """Of long ranges the pairs of the ends alone are looked at before."""
    config = replace(config, student=replace(config.student, num_heads=1))
    space: dict[str, Choices | Range] = {"student.embedding_dim": Range(60, 180), "student.num_heads": Choices((1, 4))}
    tune(config, replace(SETTINGS, trials=8, startup=8), space)
    found = trials(config)
    refused = [row for row in found if row["state"] == "refused"]
    assert [row["trial"] for row in found] == list(range(1, 9))
    assert 0 < len(refused) < 8
    assert all(row["drawn"]["student.embedding_dim"] % row["drawn"]["student.num_heads"] for row in refused)
    assert refused[0]["reason"].startswith("student.embedding_dim")
    assert len({json.dumps(row["drawn"]) for row in found}) > 4, "the seed moves on"


@needs_optuna
def test_a_space_of_refused_draws_alone_says_why(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "changed_student", _raise(UserError("student.num_heads: 3")))
    with pytest.raises(UserError, match=r"every draw was refused, the last one for student\.num_heads: 3"):
        tune(config, replace(SETTINGS, trials=2), SPACE)


@needs_optuna
def test_studies_of_neighbouring_seeds_draw_other_students(config: RunConfig, tmp_path: Path) -> None:
    other = replace(config, run=str(tmp_path / "other"), seed=config.seed + 1)
    tune(config, replace(SETTINGS, trials=2), SPACE)
    tune(other, replace(SETTINGS, trials=1), SPACE)
    rates = [row["drawn"]["student.train.learning_rate"] for row in trials(config) + trials(other)]
    assert len(set(rates)) == 3


class StubTrial:
    """Is pruned at a step."""

    def __init__(self, prune_at: int) -> None:
        self.prune_at, self.reports = prune_at, list[tuple[int, float]]()

    def report(self, value: float, step: int) -> None:
        self.reports.append((step, value))

    def should_prune(self) -> bool:
        return self.reports[-1][0] >= self.prune_at


def test_a_watch_reports_each_validation_and_ends_a_pruned_trial() -> None:
    trial = StubTrial(prune_at=2)
    watch = Watch(trial)
    history = [Validation(value, 0, 0, None, None, {"ndcg@10": value}, 0.0) for value in (0.1, 0.3, 0.2)]
    watch.started(Counts(history=history[:1]), resumed=True)
    assert [watch.validated(history[:end]) for end in (2, 3)] == [False, True]
    assert trial.reports == [(0, 0.1), (1, 0.3), (2, 0.2)]
    assert watch.pruned


def test_a_pruned_trial_is_never_the_best(config: RunConfig, tmp_path: Path) -> None:
    drawn: dict[str, JsonValue] = {"student.max_length": 4}
    rows: list[TrialRecord] = [
        {"trial": 1, "state": "complete", "value": 0.2, "seconds": 1.0, "drawn": drawn},
        {"trial": 2, "state": "pruned", "value": 0.3, "seconds": 1.0, "drawn": drawn},
        {"trial": 3, "state": "complete", "value": 0.2, "seconds": 1.0, "drawn": drawn},
    ]
    path = write_results(rows, config, tmp_path)
    assert path.read_text().startswith("# Trial 1: validation NDCG@10 0.2000\n")
    assert yaml.safe_load(path.read_text())["teacher"]["history_length"] == 4, "no longer than the student's"


def test_without_optuna_the_command_says_how_to_get_it(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "optuna" else find(name, *rest)
    )
    assert main(["tune", "--run", config.run, "--data.source=planted", "--quiet"]) == 2
    told = "tune: optuna is not installed; run pip install '.[tune]' in the repository's folder"
    assert capsys.readouterr().err == f"recdistill: error: {told}\n"
    assert not Path(config.run).exists()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match=r"tune.trials: 0 is out of range"):
        TuneConfig(trials=0)
    with pytest.raises(UserError, match=r"tune.prune_after: -1 is out of range"):
        TuneConfig(prune_after=-1)


def _raise(error: BaseException) -> Any:
    def raising(*_: Any, **__: Any) -> None:
        raise error

    return raising


@needs_optuna
def test_a_lack_of_memory_is_one_line_with_the_setting_to_lower(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to\nmore")

    monkeypatch.setattr(tuning, "fit", fails)
    with pytest.raises(UserError) as told:
        tune(config, SETTINGS, SPACE)
    assert str(told.value).startswith("student: out of memory (cpu, ")
    assert str(told.value).endswith("take a smaller student.train.batch_size (16)")
    assert "\n" not in str(told.value)
