from collections.abc import Callable
from dataclasses import asdict

import pytest

from recdistill.bench.evidence import Seen, settings_evidence
from recdistill.bench.sampling import Counts
from recdistill.bench.settings import flat
from recdistill.config import RunConfig, TeacherConfig
from recdistill.data.prepared import PreparedData
from recdistill.training.evidence import evidence
from recdistill.training.reading import Teacher
from teacher.conftest import data, make_teacher, student_folder

__all__ = ["data", "make_teacher", "student_folder"]


@pytest.fixture
def seen(make_teacher: Callable[..., Teacher], data: PreparedData) -> Seen:
    asked = flat(asdict(RunConfig(teacher=TeacherConfig(activation_checkpointing=True))))
    return Seen(make_teacher(data, layers=2), asked, train=Counts(prompts=8, micro_batches=4, largest=2), steps=2)  # type: ignore[arg-type]


def effects(seen: Seen, **settings: object) -> dict[str, bool]:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    rows = settings_evidence(evidence(seen.teacher), named, seen)
    return {row["key"]: row["in_effect"] for row in rows}


def test_what_ran_is_in_effect_and_what_did_not_is_not(seen: Seen) -> None:
    seen.dtypes.add("torch.float32")
    assert effects(seen, teacher__precision="fp32", teacher__layers=2, teacher__train__accumulate_grad_batches=2) == {
        "teacher.precision": True,
        "teacher.layers": True,
        "teacher.train.accumulate_grad_batches": True,
    }
    wrong = effects(seen, teacher__quantization="nf4", teacher__attention="eager", teacher__train__batch_size=32)
    assert not any(wrong.values())


def test_recomputation_shows_in_how_often_a_layer_runs(seen: Seen) -> None:
    seen.runs_of_block = 1
    assert effects(seen, teacher__activation_checkpointing=True) == {"teacher.activation_checkpointing": False}
    seen.runs_of_block = 2
    assert effects(seen, teacher__activation_checkpointing=True) == {"teacher.activation_checkpointing": True}


def test_a_setting_nobody_looks_for_is_not_in_effect(seen: Seen) -> None:
    assert effects(seen, teacher__candidates=0) == {"teacher.candidates": False}


def test_the_packages_own_evidence_is_believed_first(seen: Seen) -> None:
    found = {"settings": [{"key": "teacher.layers", "asked": 2, "seen": "none", "in_effect": False}]}
    (row,) = settings_evidence(found, {"teacher.layers": 2}, seen)
    assert row == {"key": "teacher.layers", "asked": 2, "seen": "none", "in_effect": False}
