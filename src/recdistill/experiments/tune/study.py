"""A study of optuna in a folder: opened or gone on with; its trials' records are what everything else is read from."""

import json
import logging
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

import numpy as np

from recdistill.errors import UserError
from recdistill.experiments.tune.config import TuneConfig
from recdistill.steps import RESULTS
from recdistill.storage.checksums import DamagedError, Held, held_files, read_sealed, sealed
from recdistill.storage.files import disk_errors, read_errors, write_json
from recdistill.storage.typed import JsonValue, typed

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("recdistill")

JOURNAL = "study.journal"
ENDS_FILE = "study.ends.json"
"""Size and checksum of the journal behind each trial that was told."""
RECORD, MADE_OF, MADE_BY = "record", "made_of", "results"
"""User attributes: of a trial, its line of `trials.jsonl`; of a study, the fingerprint of what it was made of, and the
count of the student's results (:mod:`recdistill.steps`)."""


class Ends(TypedDict):
    """`study.ends.json`."""

    ends: list[Held]
    checksum: str


class TrialRecord(TypedDict):
    """A line of `trials.jsonl`. A refused trial has its reason and no figures; `seconds` are those of all tries."""

    trial: int
    state: Literal["complete", "pruned", "diverged", "refused"]
    reason: NotRequired[str]
    value: NotRequired[float]
    best_epoch: NotRequired[float]
    epochs: NotRequired[float]
    seconds: float
    drawn: dict[str, JsonValue]
    student: NotRequired[dict[str, JsonValue]]


def open_study(folder: Path, settings: TuneConfig, made_of: str) -> "optuna.Study":
    """The folder's study, or a new one; a trial that was interrupted is given up, and will be drawn again.

    Raises:
        UserError: the folder's study was made of something else, its journal is broken, or the disk is full.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    cut_damaged(folder)
    drop_half_line(folder / JOURNAL)
    # Optuna's own lock keeps other processes out, which the run's lock has done; a killed process has left it behind.
    for left in folder.glob(f"{JOURNAL}.lock*"):  # the lock, and the name it had while it was taken away
        left.unlink()
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=settings.startup, n_warmup_steps=settings.prune_after),
        study_name="student",
        direction="maximize",
        load_if_exists=True,
    )
    before = study.user_attrs.get(MADE_OF)
    if before is None:
        study.set_user_attr(MADE_OF, made_of)
        study.set_user_attr(MADE_BY, RESULTS["student"])
    elif study.user_attrs.get(MADE_BY, RESULTS["student"]) != RESULTS["student"]:
        raise UserError(
            f"tune: {folder} holds a study of students that another version trained, whose results are not this "
            "version's; remove it or name another run"
        )
    elif before != made_of:
        raise UserError(f"tune: {folder} holds a study of other settings, space or data; remove it or name another run")
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    if (told := len(records(study))) and not (folder / ENDS_FILE).is_file():
        _mark_all(folder, told)
    return study


def _mark_all(folder: Path, trials: int) -> None:
    """Write down the end of a journal whose ends are lost, for all its trials: later damage is found again."""
    held = held_files(folder, [JOURNAL])[JOURNAL]
    write_json(folder / ENDS_FILE, sealed({"ends": [held] * trials}))


def mark_end(folder: Path) -> None:
    """Write down the journal's size and checksum behind a trial that was told."""
    held = held_files(folder, [JOURNAL])[JOURNAL]
    write_json(folder / ENDS_FILE, sealed({"ends": [*(_ends(folder) or []), held]}))


def cut_damaged(folder: Path) -> None:
    """Cut a journal back to the last of its trials up to which it is as it was written; the others are done again.

    What stands behind the last trial is of one that was interrupted, and is drawn again with the same values.
    """
    journal, ends = folder / JOURNAL, _ends(folder)
    if not ends:
        return
    content = journal.read_bytes() if journal.is_file() else b""
    whole = [end for end in ends if sha256(content[: end["bytes"]]).hexdigest() == end["sha256"]]
    if whole != ends:
        logger.warning("tune: %s: damaged; trials are done again from trial %d on", journal, len(whole) + 1)
    with disk_errors(journal):
        if whole:
            os.truncate(journal, whole[-1]["bytes"])
        else:
            journal.unlink(missing_ok=True)
        write_json(folder / ENDS_FILE, sealed({"ends": whole}))


def _ends(folder: Path) -> list[Held] | None:
    """The journal's ends, trial by trial; None where none were written down, or where they are damaged."""
    path = folder / ENDS_FILE
    try:
        return read_sealed(path, Ends)["ends"] if path.is_file() else None
    except DamagedError as error:
        logger.warning("tune: the journal is taken as it is, since %s", error)
        path.unlink()
        return None


def drop_half_line(journal: Path) -> None:
    """Cut off what a full disk or a killed process left of the last line of a journal: the next one would join it.

    Raises:
        UserError: another line is broken too; it is named.
    """
    if not journal.is_file():
        return
    with read_errors(journal):
        lines = journal.read_bytes().splitlines(keepends=True)
    broken = [number for number, line in enumerate(lines, start=1) if not _is_whole(line)]
    if not broken:
        return
    if broken != [len(lines)]:
        raise UserError(f"{journal}:{broken[0]}: not a line of optuna's journal; remove the folder to start anew")
    with disk_errors(journal):
        os.truncate(journal, sum(map(len, lines[:-1])))
    logger.warning("tune: %s: line %d, which was not written to its end, is dropped", journal, len(lines))


def _is_whole(line: bytes) -> bool:
    """Whether a line has its end and is JSON."""
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def ask(study: "optuna.Study", seed: int, startup: int) -> "optuna.Trial":
    """The next trial; what it draws follows from the seed and from the recorded trials, interrupted or not."""
    import optuna

    # Not their sum: a trial of one study would draw what the next one of its neighbour's seed draws.
    drawn_from = np.random.SeedSequence([seed, len(records(study))]).generate_state(1)[0]
    study.sampler = optuna.samplers.TPESampler(seed=int(drawn_from), n_startup_trials=startup)
    return study.ask()


def tell(study: "optuna.Study", trial: "optuna.Trial", record: TrialRecord) -> None:
    """End a trial with its record; `state` is complete, pruned, diverged or refused."""
    from optuna.trial import TrialState

    trial.set_user_attr(RECORD, record)
    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    state = states.get(record["state"], TrialState.FAIL)
    study.tell(trial, record["value"] if state == TrialState.COMPLETE and "value" in record else None, state=state)


def records(study: "optuna.Study") -> list[TrialRecord]:
    """The records of all trials that were told, in order."""
    found = [trial.user_attrs[RECORD] for trial in study.get_trials() if RECORD in trial.user_attrs]
    return [typed(record, TrialRecord, JOURNAL) for record in found]
