"""Tune the student on validation: trials of a seeded sampler, poor ones stopped early, everything kept on disk.

    runs/<name>/tune/
      study.journal   optuna's own record, which an interrupted study resumes from
      trials.jsonl    a line for each trial: state, value, epochs, seconds, the student's configuration
      best.yaml       the run's configuration with the best student, for `recdistill run --config`

Test is not looked at. Trials are trained one after another, each in a folder (`.trial-…`) that is thrown away at its
end; one that was interrupted is drawn again with the same values and resumes from the checkpoint there.
"""

import importlib.util
import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from recdistill import pipeline
from recdistill.config import RunConfig, StudentConfig
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError, not_installed
from recdistill.evaluation.protocol import deciding
from recdistill.experiments.tune.config import TuneConfig
from recdistill.experiments.tune.space import Space, changed_student, check_space, space_as_dict
from recdistill.experiments.tune.study import TrialRecord, ask, mark_end, open_study, records, tell
from recdistill.interruption import deferred
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.pipeline.memory import memory_errors
from recdistill.storage.files import clear_temporary, disk_errors, write_text
from recdistill.storage.run_folder import RunFolder, fingerprint
from recdistill.training.callbacks import Callback
from recdistill.training.checkpoint import Counts
from recdistill.training.divergence import DivergedError
from recdistill.training.fit import fit
from recdistill.training.student import student_training
from recdistill.training.validations import Validation

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("recdistill")

FOLDER, TRIAL = "tune", ".trial-"


def tune(config: RunConfig, settings: TuneConfig, space: Space) -> Path:
    """Try students until `settings.trials` of them are done, counting those of earlier calls.

    Args:
        config: the run; `student` is the base that trials change, and `data` is prepared where it is not yet.
        settings: of the study.
        space: what trials may change.

    Returns:
        The file with the best configuration.

    Raises:
        UserError: optuna is missing, the space holds what the configuration refuses, the folder has another study, or
            no trial came to its end.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError(f"tune: {not_installed('optuna', 'tune')}")
    check_space(space, config.student)
    run = pipeline.run(config, until="prepare")
    folder, data = run / FOLDER, PreparedData.load(run / "prepare")
    with RunFolder(run).lock():
        with disk_errors(folder):
            clear_temporary(folder)
            study = open_study(folder, settings, _made_of(config, settings, space, data))
            while len(records(study)) < settings.trials:
                tell_next(study, config, settings, space, data, folder)
                write_results(records(study), config, folder)
        if not (path := write_results(records(study), config, folder)).is_file():
            raise UserError(f"tune: {_why_none(records(study))}")
        return path


def _why_none(trials: Sequence[TrialRecord]) -> str:
    """Why no trial came to its end."""
    refused = [record.get("reason", "") for record in trials if record["state"] == "refused"]
    if len(refused) == len(trials):
        return f"every draw was refused, the last one for {refused[-1]}"
    return "every trial diverged; the space's learning rates may be too high"


def _made_of(config: RunConfig, settings: TuneConfig, space: Space, data: PreparedData) -> str:
    """Names what a study's trials depend on; it can go on with more of them."""
    return fingerprint(
        "tune",
        config.student,
        replace(settings, trials=1),
        space_as_dict(space),
        config.seed,
        data.fingerprint,
        data.split_fingerprint,
        *deciding(config.evaluate).items(),
    )


class Watch(Callback):
    """Reports a trial's validations, and ends it where it is worse than the median of the others at that epoch."""

    def __init__(self, trial: "optuna.Trial") -> None:
        self.trial, self.rows, self.pruned = trial, list[Validation](), False

    def started(self, counts: Counts, resumed: bool) -> None:
        """Note the validations of earlier tries."""
        for row in counts.history:
            self._note(row)

    def validated(self, history: Sequence[Validation]) -> bool:
        """Note a validation; True where the trial ends."""
        return self._note(history[-1])

    def _note(self, row: Validation) -> bool:
        self.rows.append(row)
        self.trial.report(row.watched, step=len(self.rows) - 1)
        self.pruned = bool(self.trial.should_prune())
        return self.pruned


def tell_next(
    study: "optuna.Study", config: RunConfig, settings: TuneConfig, space: Space, data: PreparedData, folder: Path
) -> None:
    """Draw a student, train it, record how it went; settings that do not go together are recorded too."""
    with deferred():  # Optuna writes its journal here, a line at a time.
        number, trial = len(records(study)), ask(study, config.seed, settings.startup)
        drawn = {key: dimension.suggest(trial, key) for key, dimension in space.items()}
    try:
        student = changed_student(config.student, drawn)
    except UserError as error:
        reason = str(error)
        tell(study, trial, {"trial": number + 1, "state": "refused", "reason": reason, "seconds": 0.0, "drawn": drawn})
        mark_end(folder)
        logger.info("tune: trial %d: refused, %s", number + 1, reason)
        return
    logger.info("tune: trial %d of %d: %s", number + 1, settings.trials, json.dumps(drawn))
    began, watch = time.monotonic(), Watch(trial)
    state: Literal["complete", "pruned", "diverged"]
    try:
        _train(student, data, config, folder, watch)
        state = "pruned" if watch.pruned else "complete"
    except DivergedError:
        state = "diverged"
    best = max(watch.rows, key=lambda row: row.watched)
    seconds = max(time.monotonic() - began, watch.rows[-1].seconds)  # the latter are those of all tries
    record: TrialRecord = {
        "trial": number + 1,
        "state": state,
        "value": best.watched,
        "best_epoch": best.epoch,
        "epochs": watch.rows[-1].epoch,
        "seconds": round(seconds, 2),
        "drawn": drawn,
        "student": asdict(student),
    }
    with deferred():
        tell(study, trial, record)
        mark_end(folder)
        clear_trials(folder)
    logger.info("tune: trial %d: %s, NDCG@10 %.4f at epoch %g", number + 1, state, best.watched, best.epoch)


def _train(student: StudentConfig, data: PreparedData, config: RunConfig, folder: Path, watch: Watch) -> None:
    """Train one student, from where an interrupted try at it left off; other trials' folders are thrown away."""
    device = pipeline.choose_device(config.device)
    name = fingerprint("trial", student, config.seed, config.evaluate.filter_seen, data.split_fingerprint, device)
    own = folder / f"{TRIAL}{name}"
    clear_trials(folder, keep=own)
    own.mkdir(exist_ok=True)
    clear_temporary(own)
    tried = replace(config, student=student)
    with memory_errors("student", tried, device, data.num_items), Profiler(device) as profiler:
        training = student_training(student, data, config.seed, device, config.evaluate)
        context = RunContext(device, profiler, own)
        fit(training, student.train, context, config.seed, name, "student of this trial", callbacks=[watch])


def clear_trials(folder: Path, keep: Path | None = None) -> None:
    """Remove what trials left on disk, but for one of them: they are done, or were killed and never will be."""
    for path in folder.glob(f"{TRIAL}*"):
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)


def write_results(trials: Sequence[TrialRecord], config: RunConfig, folder: Path) -> Path:
    """Write `trials.jsonl`, and `best.yaml` from the whole trial with the highest value, of equals the first."""
    write_text(folder / "trials.jsonl", "".join(json.dumps(record) + "\n" for record in trials))
    whole = [record for record in trials if record["state"] == "complete"]
    path = folder / "best.yaml"
    if whole:
        best = max(whole, key=lambda record: record.get("value", 0.0))
        head = f"# Trial {best['trial']}: validation NDCG@10 {best.get('value', 0.0):.4f}\n"
        head += f"#\n#     recdistill run --config {path}\n"
        student = changed_student(config.student, best["drawn"])
        write_text(path, head + yaml.safe_dump(best_settings(config, student), sort_keys=False))
    return path


def best_settings(config: RunConfig, student: StudentConfig) -> object:
    """The run's settings with this student, as YAML holds them; the teacher sees no more of a history than it does."""
    length = min(config.teacher.history_length, student.max_length)
    best = replace(config, student=student, teacher=replace(config.teacher, history_length=length))
    return json.loads(json.dumps(asdict(best)))  # tuples become lists
