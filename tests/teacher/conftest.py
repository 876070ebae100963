"""A small prepared data set, a random student on it, and teachers around the tiny language model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recdistill.config import RunConfig, StudentConfig, TeacherConfig
from recdistill.data.prepared import PreparedData
from recdistill.students.make import make_student, save_student
from recdistill.teacher.teacher import Teacher

NUM_ITEMS = 30


def make_data(seed: int = 0, users: int = 12) -> PreparedData:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(4, 13, size=users)
    items = np.concatenate([generator.permutation(NUM_ITEMS)[:length] + 1 for length in lengths]).astype(np.int32)
    return PreparedData(
        items=items,
        timestamps=np.arange(len(items), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=["", *(f"Film number {item}" for item in range(1, NUM_ITEMS + 1))],
        item_ids=["", *(str(item) for item in range(1, NUM_ITEMS + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


@pytest.fixture
def data() -> PreparedData:
    return make_data()


@pytest.fixture
def student_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "student"
    folder.mkdir()
    torch.manual_seed(3)
    student = make_student(StudentConfig(embedding_dim=16, num_layers=1, num_heads=2, max_length=10), NUM_ITEMS)
    with torch.no_grad():
        student.items.ids[1:] = torch.randn(NUM_ITEMS, 16) * 0.5
    save_student(student, folder)
    return folder


@pytest.fixture
def make_teacher(
    tiny_llm: Path, student_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Teacher]:
    """Make a teacher whose trained parts are random, so that everything in it has an effect."""
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))

    def make(data: PreparedData, device: str = "cpu", **settings: Any) -> Teacher:
        adapter = replace(TeacherConfig().adapter, dropout=0.0)
        base: dict[str, Any] = {
            "llm": str(tiny_llm),
            "layers": 2,
            "history_length": 10,
            "head_dim": 8,
            "title_dim": 6,
            "title_encoder": "llm",
            "title_decay": 0.0,
            "adapter": adapter,
        }
        config = RunConfig(student=StudentConfig(max_length=10), teacher=TeacherConfig(**(base | settings)))
        teacher = Teacher(config, data, student_folder, device)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in teacher.ranker.parameters():
                if parameter.requires_grad:
                    parameter.add_((torch.randn(parameter.shape, generator=generator) * 0.2).to(parameter.device))
        teacher.ranker.eval()
        return teacher

    return make
