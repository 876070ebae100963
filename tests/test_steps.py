"""One place for a step: who needs to know about steps derives it, and what is derived is right."""

import subprocess
import sys
from dataclasses import fields, replace
from typing import get_args

import pytest

from recdistill.config import RunConfig
from recdistill.evaluation.kept import MADE_FROM
from recdistill.evaluation.stored import not_evaluated
from recdistill.serving.answers import Model
from recdistill.steps import (
    LAST,
    SERVED,
    SPECS,
    STEPS,
    TRAINED,
    Step,
    StepSpec,
    behind,
    includes,
    needs_language_model,
    steps_until,
)
from recdistill.storage.manifest import Inputs
from recdistill.training.divergence import SECTIONS


def test_each_step_has_one_spec_in_the_order_of_the_pipeline() -> None:
    assert tuple(spec.name for spec in STEPS) == get_args(Step)
    assert LAST == "report"
    assert [spec.name for spec in steps_until("teacher")] == ["prepare", "student", "teacher"]
    assert len({spec.folder for spec in STEPS}) == len({spec.as_input for spec in STEPS}) == len(STEPS)


@pytest.mark.parametrize("spec", STEPS, ids=lambda spec: spec.name)
def test_a_step_reads_earlier_ones_and_a_section_that_is_there(spec: StepSpec) -> None:
    earlier = [one.name for one in steps_until(spec.name)[:-1]]
    assert set(spec.reads) <= set(earlier)
    assert spec.section in {field.name for field in fields(RunConfig)}
    assert type(spec.settings(RunConfig())) is type(getattr(RunConfig(), spec.section))


def test_switches_name_settings_and_leave_out_what_depends_on_them() -> None:
    plain = RunConfig()
    assert [spec.name for spec in STEPS if spec.left_out(plain)] == []
    alone = replace(plain, teacher=replace(plain.teacher, kind="none"))
    told = {spec.name: spec.left_out(alone) for spec in STEPS if spec.left_out(alone)}
    assert told == dict.fromkeys(("teacher", "export", "distill"), "teacher.kind is none")
    unasked = replace(plain, export=replace(plain.export, enabled=False))
    told = {spec.name: spec.left_out(unasked) for spec in STEPS if spec.left_out(unasked)}
    assert told == dict.fromkeys(("export", "distill"), "export.enabled is false")


@pytest.mark.parametrize(
    ("last", "language_model", "evaluated"),
    [
        ("prepare", False, False),
        ("student", False, False),
        ("teacher", True, False),
        ("export", True, False),
        ("distill", True, False),
        ("evaluate", True, True),
        ("report", True, True),
    ],
)
def test_what_a_run_comes_to(last: Step, language_model: bool, evaluated: bool) -> None:
    assert needs_language_model(last) is language_model
    assert includes(last, "evaluate") is evaluated


def test_models_and_what_their_scores_follow_from() -> None:
    assert TRAINED == ("student", "teacher", "distilled")
    assert MADE_FROM == {"student": ("student",), "teacher": ("student", "teacher"), "distilled": ("distill",)}
    assert SECTIONS == {"student": "student.train", "teacher": "teacher.train", "distilled student": "distill.train"}
    assert SERVED == {"distilled": "distill", "student": "student"}
    assert get_args(Model) == tuple(SERVED)
    assert SPECS["evaluate"].reads == tuple(spec.name for spec in STEPS if spec.trains)


@pytest.mark.parametrize(
    ("models", "left_out"),
    [
        ({}, ()),
        ({"student", "teacher", "distill"}, ()),
        ({"student", "teacher"}, ("teacher_outputs", "distilled")),
        ({"student"}, ("teacher", "teacher_outputs", "distilled")),
    ],
)
def test_steps_that_an_evaluation_was_made_without(models: set[str], left_out: tuple[str, ...]) -> None:
    inputs: Inputs = dict.fromkeys(models, "f")
    assert not_evaluated({"fingerprint": "f", "config": {}, "inputs": inputs}) == left_out


def test_what_stands_behind_a_step() -> None:
    assert behind(["teacher"]) == {"prepare", "student", "teacher"}
    assert behind(["distill"]) == {"prepare", "student", "teacher", "export", "distill"}


def test_steps_are_known_without_torch() -> None:
    script = "import sys, recdistill.steps; sys.exit(int(any(m in sys.modules for m in ('torch', 'polars', 'numpy'))))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
