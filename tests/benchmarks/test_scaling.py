import json
from pathlib import Path

import numpy as np
import pytest

import catalog_size
import larger_than_memory
import scaling


def test_the_page_is_that_of_the_records() -> None:
    records = [json.loads(line) for line in scaling.RECORDS.read_text(encoding="utf-8").splitlines()]
    assert scaling.PAGE.read_text(encoding="utf-8") == scaling.page(records)


def test_exponents_are_those_of_powers() -> None:
    assert scaling.exponent([1, 10, 100], [3, 3 * 10**1.5, 3 * 10**3]) == pytest.approx(1.5)


def test_lists_are_measured() -> None:
    found = scaling.lists(100, 3, 10)
    assert found["items"] == 100
    assert found["milliseconds_alone"] > 0


def test_training_rows_are_there_once_measured() -> None:
    row = {"benchmark": "student epoch", "events": 10**6, "items": 1000, "loss": "auto", "steps": 60, "targets": 10**5}
    row |= {"cpu_seconds_per_1000": 0.0123, "cpu_seconds": 12.34, "peak_rss_gib": 1.5, "found": 0.5}
    records = [json.loads(line) for line in Path(scaling.RECORDS).read_text(encoding="utf-8").splitlines()]
    without = [one for one in records if one["benchmark"] != "student epoch"]
    assert "| 1,000 | auto | 60 | 0.012 | 12 | 1.50 |" in scaling.page([*without, row])
    assert "Nothing has been measured yet." in scaling.page(without)


def test_a_small_catalog_is_trained_on() -> None:
    found = catalog_size.measure(200, 4000, "auto", 2)
    assert found["steps"] == 2
    assert found["targets"] == 200 * (catalog_size.LENGTH - 3)
    assert found["peak_rss_gib"] > 0
    assert 0 <= found["found"] <= 1


def test_histories_of_a_file_are_trained_on_both_ways(tmp_path: Path) -> None:
    larger_than_memory.write(tmp_path, 4 * 128 * larger_than_memory.LENGTH)
    data = larger_than_memory.mapped(tmp_path)
    assert (data.items.min(), data.items.max() <= larger_than_memory.ITEMS, len(data.items)) == (1, True, 25_600)
    assert isinstance(data.items, np.memmap)
    together, by_blocks = (larger_than_memory.measure(tmp_path, block, 2) for block in (0, 128))
    assert together["targets"] == by_blocks["targets"] == 2 * 128 * (larger_than_memory.LENGTH - 3)
    assert (together["shuffle_block"], by_blocks["shuffle_block"]) == (0, 128)
