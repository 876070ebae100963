"""The export's benchmark with few rows."""

from typing import Any

import numpy as np

from export import EVENTS_PER_USER, STATE_DIM, TOP_K, FreeTeacher, measure, synthetic_data


def test_few_rows_are_exported_counted_and_read() -> None:
    found: dict[str, Any] = measure(300)
    assert found["rows"] == 300, "three users of 100 targets"
    # Keys, a list of items (int32) and scores (fp16) and a state (fp16).
    assert found["bytes_per_row"] > (4 + 2) * TOP_K + 2 * STATE_DIM
    for name in ("rows_per_second", "store_rows_per_second", "read_rows_per_second"):
        assert found[name] > 0


def test_what_the_free_teacher_reads_is_counted() -> None:
    teacher = FreeTeacher(synthetic_data(200))
    windows = teacher.export_windows()
    keys, states, scores = teacher.predict(windows, np.arange(len(windows)))
    assert teacher.read.prompts == len(windows) == 2
    assert teacher.read.targets == len(keys.users) == len(states) == len(scores)
    assert teacher.read.processed == 2 * int(windows.lengths.max()) <= 2 * EVENTS_PER_USER
