"""A value that nothing handles ends in an error; no last branch takes it. mypy proves the rest by `assert_never`."""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recdistill.config import DataConfig, DistillConfig, GateConfig, LossConfig, TeacherConfig
from recdistill.data.new_items import ItemColumns
from recdistill.data.prepare import split
from recdistill.data.sources import names_of_items, open_source
from recdistill.distill.methods import ListBatch, method_loss
from recdistill.language_models.backbone import _quantization
from recdistill.plan.plan_config import PlanConfig
from recdistill.plan.plan_memory import bits_per_weight
from recdistill.teacher.gate import Gate
from recdistill.teacher.padding import training_batches

SOURCE = Path(__file__).parents[1] / "src" / "recdistill"
ENDED = {
    "config/data.py": 1,
    "config/distill.py": 1,
    "config/loss.py": 1,
    "config/teacher.py": 2,
    "data/interactions.py": 1,
    "data/prepare.py": 1,
    "data/sources.py": 2,
    "data/windows.py": 1,
    "distill/methods/__init__.py": 1,
    "pipeline/models.py": 2,
    "pipeline/work.py": 3,
    "plan/activations.py": 1,
    "plan/plan_memory.py": 1,
    "students/losses.py": 1,
    "language_models/backbone.py": 1,
    "teacher/gate.py": 2,
    "teacher/padding.py": 1,
    "training/titled_student.py": 1,
    "training/selecting.py": 1,
}
"""Files that choose by a closed set, and how many of their choices end in `assert_never`."""


def unlisted(section: Any, name: str) -> Any:
    """A section whose setting `name` has a value that is not in its type, as a value added later would be."""
    changed = replace(section)
    object.__setattr__(changed, name, "another")
    return changed


def _loss() -> object:
    return unlisted(LossConfig(name="bce", negatives=2), "name").chosen(4)


def _split() -> object:
    class Events:
        users, user_ids = np.zeros(1, dtype=np.int32), ("u",)

    return split(Events(), unlisted(DataConfig(), "split"))  # type: ignore[arg-type]


def _source() -> object:
    class Another(DataConfig):
        chosen = "another"  # type: ignore[assignment]

    return open_source(Another())


def _gate() -> object:
    gate = Gate(GateConfig(), 4, 2)
    gate.kind = "another"  # type: ignore[assignment]
    return gate.per_history_step(torch.ones(1, 3, 4), torch.tensor([3]))


def _method() -> object:
    empty = torch.ones(0, 1)
    batch = ListBatch(empty, empty, empty, empty, empty, empty, 1)
    return method_loss("another", batch)  # type: ignore[arg-type]


DISPATCHES: dict[str, Callable[[], object]] = {
    "loss.name": _loss,
    "distill.method": lambda: unlisted(DistillConfig(), "method").chosen,
    "loss of a method": _method,
    "data.split": _split,
    "data.source of new items": lambda: ItemColumns.of(unlisted(DataConfig(), "source")),
    "names of a source's items": lambda: names_of_items("another"),  # type: ignore[arg-type]
    "data.source that is opened": _source,
    "teacher.kind": lambda: unlisted(TeacherConfig(), "kind").chosen,
    "gate.kind": _gate,
    "gate.router": lambda: Gate(unlisted(GateConfig(), "router"), 4, 2),
    "teacher.padding": lambda: training_batches(
        unlisted(TeacherConfig(), "padding"), np.ones(3, dtype=np.int64), 1, np.random.default_rng(0)
    ),
    "teacher.quantization": lambda: _quantization(unlisted(TeacherConfig(), "quantization")),
    "plan.quantization": lambda: bits_per_weight(unlisted(PlanConfig(), "quantization"), 8),
}


@pytest.mark.parametrize("name", DISPATCHES)
def test_an_unlisted_value_is_an_error(name: str) -> None:
    with pytest.raises(AssertionError, match="another"):
        DISPATCHES[name]()


def test_no_choice_loses_its_end() -> None:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        ends = sum(isinstance(call.func, ast.Name) and call.func.id == "assert_never" for call in calls)
        if ends:
            found[path.relative_to(SOURCE).as_posix()] = ends
    assert {name: found.get(name, 0) >= least for name, least in ENDED.items()} == dict.fromkeys(ENDED, True)
