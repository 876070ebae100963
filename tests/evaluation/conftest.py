"""Small prepared data."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recdistill.config import EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.assess import assess
from recdistill.evaluation.ranking import Ranking
from recdistill.evaluation.ranking_files import save_keys, save_ranking
from recdistill.storage.files import write_array, write_json

# ranx compiles each of its metrics with numba at first use, for half a minute; interpreted, they give the same numbers.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")


def _make_data(*histories: list[int], num_items: int) -> PreparedData:
    lengths = np.array([len(history) for history in histories])
    return PreparedData(
        items=np.concatenate(histories).astype(np.int32),
        timestamps=np.zeros(lengths.sum(), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        train_ends=(lengths - 2).astype(np.int32),
        validation_ends=(lengths - 1).astype(np.int32),
        titles=["", *(f"item {number}" for number in range(1, num_items + 1))],
        item_ids=["", *(str(number) for number in range(1, num_items + 1))],
        fingerprint="data",
        split_fingerprint="split",
    )


@pytest.fixture(scope="session")
def make_data() -> Callable[..., PreparedData]:
    """Histories, split by leave-one-out."""
    return _make_data


def _store_run(
    folder: Path, data: PreparedData, ranks: dict[str, list[int]], seed: int = 42, config: EvaluateConfig | None = None
) -> Path:
    """Write what a finished run of `data` leaves, its models having given these ranks to the test targets."""
    config = config or EvaluateConfig(bootstrap_samples=20, permutations=20, candidates=2)
    lists = np.tile(np.arange(1, data.num_items + 1, dtype=np.int32), (len(data.targets(config.split)), 1))
    rankings = {
        name: Ranking(np.array(values, dtype=np.int64), lists, 0, np.minimum(values, 3).astype(np.int64))
        for name, values in ranks.items()
    }
    save_keys(folder / "evaluation", data.targets(config.split))
    for name, ranking in rankings.items():
        save_ranking(folder / "evaluation", name, ranking)
    write_json(folder / "evaluation" / "metrics.json", assess(data, config, rankings, seed))
    for name in ("items", "timestamps", "offsets", "train_ends", "validation_ends"):
        write_array(folder / "prepare" / f"{name}.npy", getattr(data, name))
    about = {"fingerprint": data.fingerprint, "split_fingerprint": data.split_fingerprint}
    write_json(folder / "prepare" / "data.json", about)
    write_json(folder / "prepare" / "catalog.json", {"item_ids": data.item_ids, "titles": data.titles})
    steps: dict[str, Any] = {"prepare": {"source": "csv"}, "student": {"dropout": 0.1}, "evaluation": {"split": "test"}}
    for place, (step, settings) in enumerate(steps.items()):
        inputs = {"data": data.fingerprint, "seed": str(seed), "student": f"made with {seed}"}
        manifest = {"step": step, "fingerprint": "f" * 16, "config": settings, "inputs": inputs}
        manifest |= {"started": f"2030-01-0{place + 1}"}
        write_json(folder / step / "manifest.json", manifest)
        timings = {"phases": {"work": 2.0 + seed, "write": 1.0}, "core_seconds": {"work": 4.0, "write": 0.5}}
        write_json(folder / step / "timings.json", timings)
    return folder


@pytest.fixture(scope="session")
def store_run() -> Callable[..., Path]:
    """A run's folder as far as comparisons read it."""
    return _store_run


@pytest.fixture(scope="session")
def change_json() -> Callable[..., None]:
    """Change values of a JSON file, or take keys away whose value is None."""

    def change(path: Path, **values: Any) -> None:
        found = json.loads(path.read_text()) | values
        path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))

    return change
