"""A lack of memory is one line with what the plan says of this machine."""

from dataclasses import replace

import pytest
import torch

from recdistill.config import RunConfig, TeacherConfig
from recdistill.errors import UserError
from recdistill.pipeline import memory
from recdistill.pipeline.memory import memory_errors, plan_config
from recdistill.plan.plan import make_plan
from recdistill.steps import Step

ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
CONFIG = RunConfig()


def told(step: Step, error: BaseException, config: RunConfig = CONFIG, items: int | None = 1000) -> str:
    with pytest.raises(UserError) as found, memory_errors(step, config, "cpu", items):
        raise error
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB for an array"),
        MemoryError(),
        RuntimeError(ALLOCATOR),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore"),
    ],
)
def test_each_librarys_error_is_a_line_that_names_the_setting(error: BaseException) -> None:
    for step, key in memory.SMALLER.items():
        if step not in ("teacher", "export"):
            assert f"take a smaller {key} (" in told(step, error)
            assert told(step, error).startswith(f"{step}: out of memory (cpu, ")


def test_of_a_language_model_it_is_the_plans_answer_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_memory_gib", lambda device: 3.0)
    plan = make_plan(plan_config(CONFIG, "cpu", 1000))
    assert plan.largest_batch is not None
    assert plan.largest_batch > 0
    said = told("teacher", RuntimeError(ALLOCATOR))
    assert f"`recdistill plan` for this machine and prompts of 128 tokens: at most {plan.largest_batch} prompts" in said
    assert f"teacher.train.batch_size is {CONFIG.teacher.train.batch_size}" in said
    assert f"the export takes {plan.export_peak_gib:.1f} GiB" in told("export", MemoryError())
    monkeypatch.setattr(memory, "_memory_gib", lambda device: 1.0)
    assert "not one prompt fits" in told("teacher", MemoryError())


def test_the_plan_is_asked_of_what_the_teacher_reads_and_predicts() -> None:
    def asked(teacher: TeacherConfig) -> tuple[str, int, int]:
        plan = plan_config(replace(CONFIG, teacher=teacher), "cpu", 1000)
        return plan.windows, plan.history_length, plan.targets_per_prompt

    assert asked(TeacherConfig()) == ("all", 50, 50)
    assert asked(TeacherConfig(targets="last", head="plain", title_decay=0.0)) == ("all", 50, 1)
    assert asked(TeacherConfig(windows="sliding", padding="packed", history_length=20)) == ("sliding", 20, 20)


def test_where_the_plan_cannot_tell_the_setting_is_named() -> None:
    second = replace(CONFIG, teacher=TeacherConfig(kind="second_student", title_decay=0.0))
    assert "take a smaller teacher.train.batch_size" in told("teacher", MemoryError(), second)
    assert "take a smaller teacher.train.batch_size" in told("teacher", MemoryError(), items=None)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("student", CONFIG, "cpu", 10):
        raise RuntimeError("shapes differ")


def test_torchs_own_allocator_is_recognised() -> None:
    """A real one, which no limit of this process is needed for: more than any machine has."""
    with pytest.raises(UserError, match="out of memory"), memory_errors("student", CONFIG, "cpu", 10):
        torch.empty(1 << 50)
