import logging
from pathlib import Path
from typing import Any

import pytest

from recdistill.config import DistillConfig
from recdistill.distill.strength import STRENGTH_FILE, choose_strength, numbers, settled
from recdistill.storage.files import read_json

CHOICES: dict[str, Any] = {
    # weight, dropout, training events an item → weight, dropout
    "MovieLens-100K": (("auto", "auto", 58.3), (8.0, 0.1)),
    "at the limit": (("auto", "auto", 25.0), (8.0, 0.1)),
    "below it": (("auto", "auto", 24.9), (1.0, None)),
    "a small shop": (("auto", "auto", 3.9), (1.0, None)),
    "weight given, many": ((3.0, "auto", 58.3), (3.0, 0.1)),
    "weight given, few": ((3.0, "auto", 3.9), (3.0, None)),
    "a gentle weight given": ((1.0, "auto", 58.3), (1.0, None)),
    "titles alone": ((0.0, "auto", 58.3), (0.0, None)),
    "dropout given": (("auto", 0.2, 58.3), (8.0, 0.2)),
    "dropout given, few": (("auto", 0.1, 3.9), (1.0, 0.1)),
    "the student's dropout given": (("auto", None, 58.3), (8.0, None)),
}


@pytest.mark.parametrize("case", CHOICES)
def test_auto_is_decided_by_events_an_item_and_what_is_given_is_obeyed(case: Any) -> None:
    (weight, dropout, events), right = CHOICES[case]
    config = DistillConfig(weight=weight, dropout=dropout)
    chosen = choose_strength(config, events)
    assert (chosen.weight, chosen.dropout) == right
    assert numbers(chosen.applied(config)) == right


def test_the_choice_is_told_and_kept_for_a_training_that_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "recdistill")
    config = DistillConfig()
    assert numbers(settled(config, 3.43, tmp_path)) == (1.0, None)
    told = "distill: weight 1, dropout the student's, since an item has 3.4 training interactions on average"
    assert f"{told}, fewer than 25" in caplog.text
    found = read_json(tmp_path / STRENGTH_FILE)
    assert (found["weight"], found["dropout"], found["events_per_item"], found["limit"]) == (1.0, None, 3.43, 25.0)
    assert numbers(settled(config, 100.0, tmp_path)) == (1.0, None)


def test_nothing_is_written_where_nothing_is_auto(tmp_path: Path) -> None:
    config = DistillConfig(weight=2.0, dropout=None)
    assert settled(config, 3.0, tmp_path) is config
    assert not list(tmp_path.iterdir())


def test_what_is_still_auto_is_not_trained_with() -> None:
    for settings in ({"weight": 1.0}, {"dropout": None}):
        with pytest.raises(ValueError, match="must be chosen first"):
            numbers(DistillConfig(**settings))


def test_a_damaged_choice_is_told_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = DistillConfig()
    settled(config, 3.43, tmp_path)
    path = tmp_path / STRENGTH_FILE
    path.write_text(path.read_text().replace('"weight": 1.0', '"weight": 3.0'))
    assert numbers(settled(config, 3.43, tmp_path)) == (1.0, None)
    assert f"made again, since {path}: damaged (its checksum is another)" in caplog.text
    assert read_json(path)["weight"] == 1.0
    record = tmp_path / "strength.files.json"
    whole = record.read_text()
    record.unlink()
    assert numbers(settled(config, 3.43, tmp_path)) == (1.0, None)
    assert f"made again, since {record}: damaged (missing)" in caplog.text
    assert record.read_text() == whole
