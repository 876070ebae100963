"""A small data set, a random student, and settings of a text teacher around the tiny language model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recdistill.config import AdapterConfig, GateConfig, RunConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.data.prepared import PreparedData
from recdistill.students.make import make_student, save_student

NUM_ITEMS = 30


@pytest.fixture
def data() -> PreparedData:
    generator = np.random.default_rng(0)
    lengths = generator.integers(4, 13, size=12)
    items = np.concatenate([generator.permutation(NUM_ITEMS)[:length] + 1 for length in lengths]).astype(np.int32)
    return PreparedData(
        items=items,
        timestamps=np.arange(len(items), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=["", *(f"Film {'x' * (item % 5)} {item}" for item in range(1, NUM_ITEMS + 1))],
        item_ids=["", *(str(item) for item in range(1, NUM_ITEMS + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


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
def config(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    teacher = TeacherConfig(
        llm=str(tiny_llm),
        layers=2,
        prompt="text",
        targets="last",
        gate=GateConfig(kind="instance"),
        history_length=4,
        head_dim=8,
        title_dim=6,
        title_encoder="llm",
        title_decay=0.0,
        adapter=AdapterConfig(dropout=0.1),
        train=TrainConfig(max_epochs=1, batch_size=5, patience=0),
    )
    return RunConfig(student=StudentConfig(max_length=10), teacher=teacher)
