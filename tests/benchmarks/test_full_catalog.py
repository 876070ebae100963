import json
from pathlib import Path

import pytest

import full_catalog
from recdistill.data.prepared import PreparedData


def test_ours_and_the_plain_way_agree(data: PreparedData, student_folder: Path) -> None:
    found = full_catalog.measure(data, student_folder, 1)
    assert set(found["cpu_seconds"]) >= {"ours", "counted", "by masks", "scores"}
    assert found["same_lists"]["by masks"] == 1.0
    json.dumps(found)


def test_other_lists_are_noticed(data: PreparedData, student_folder: Path) -> None:
    targets = data.targets("test")
    given = full_catalog.Given(*full_catalog.user_states(student_folder, data, targets))
    lists, ranks = full_catalog.by_masks(given, data, targets)
    full_catalog.check(given, targets, {"ours": (lists, ranks)})
    with pytest.raises(SystemExit, match="other scores"):
        full_catalog.check(given, targets, {"ours": (lists, ranks), "other": (lists[:, ::-1], None)})
    with pytest.raises(SystemExit, match="of the ranks differ"):
        full_catalog.check(given, targets, {"ours": (lists, ranks), "other": (None, ranks + 1)})
