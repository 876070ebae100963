import logging
from pathlib import Path
from typing import Any

import pytest

from recdistill.config import DataConfig
from recdistill.data.prepare import prepare
from recdistill.data.sources import open_source
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json

HEAD = "user_id,item_id,timestamp\n"
MIXED = HEAD + "u1,i1,1\nu1,i2\nu1,i3,3,4\n,i4,4\nu1,i5,soon\nu1,i6,6\n"
PROBLEMS = [
    "3: timestamp: the value is empty",
    "4: 4 values for 3 columns",
    "5: user_id: the value is empty",
    "6: timestamp: 'soon' is not a number",
]


def config_of(path: Path, content: str | bytes, **settings: Any) -> DataConfig:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return DataConfig(**{"source": "csv", "path": str(path), **settings})


def test_all_of_a_file_are_told_in_one_line_in_the_order_of_their_lines(tmp_path: Path) -> None:
    config = config_of(tmp_path / "e.csv", MIXED)
    with pytest.raises(UserError) as caught:
        open_source(config).read_interactions(with_ratings=False)
    head = f"{config.path}: 4 bad rows (data.bad_rows skip leaves them out): "
    assert str(caught.value) == head + "; ".join(PROBLEMS)


def test_of_many_the_first_twenty_are_told_and_all_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"u1,i{row},{'x' if row % 2 else row}\n" for row in range(1, 101))
    config = config_of(tmp_path / "e.csv", HEAD + rows)
    with pytest.raises(UserError) as caught:
        open_source(config).read_interactions(with_ratings=False)
    message = str(caught.value)
    assert (
        f"{config.path}: 50 bad rows (data.bad_rows skip leaves them out); the first 20: 2: timestamp: 'x'" in message
    )
    assert message.count("'x' is not a number") == 20
    assert message.endswith("40: timestamp: 'x' is not a number")


def test_left_out_they_are_named_in_a_warning_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = open_source(config_of(tmp_path / "e.csv", MIXED, bad_rows="skip"))
    with caplog.at_level(logging.WARNING, "recdistill"):
        read = source.read_interactions(with_ratings=False)
    assert [read.item_ids[item] for item in read.items] == ["i1", "i6"]
    assert source.skipped == {str(tmp_path / "e.csv"): 4}
    assert [record.getMessage() for record in caplog.records] == [
        f"left out: {tmp_path / 'e.csv'}:{problem}" for problem in PROBLEMS
    ]


def test_a_file_of_nothing_but_bad_rows_is_an_error_though_they_are_left_out(tmp_path: Path) -> None:
    for row in ("u1,i1,x\n", "u1,i1,1,2\n"):
        config = config_of(tmp_path / "e.csv", HEAD + row, bad_rows="skip")
        with pytest.raises(UserError, match=r"e\.csv:2: "):
            open_source(config).read_interactions(with_ratings=False)


def test_of_the_items_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("item_id,title\ni1,One\n,Two\ni3,Three,3\ni4,Four\n")
    config = config_of(tmp_path / "e.csv", HEAD + "u1,i1,1\n", items_path=str(tmp_path / "t.csv"))
    with pytest.raises(UserError, match=r"t\.csv: 2 bad rows .*: 3: item_id: the value is empty; 4: 3 values for 2"):
        open_source(config).read_items()
    source = open_source(config_of(tmp_path / "e.csv", HEAD, bad_rows="skip", items_path=config.items_path))
    assert source.read_items().titles == {"i1": "One", "i4": "Four"}
    assert source.skipped == {config.items_path: 2}


def test_their_number_stands_in_the_prepared_data(tmp_path: Path) -> None:
    rows = "".join(f"u{user},i{item},{item}\n" for user in range(4) for item in range(6))
    config = config_of(tmp_path / "e.csv", HEAD + rows + "u9,,1\nu9,i1,x\n", bad_rows="skip")
    with Profiler() as profiler:
        prepare(config, 0, RunContext("cpu", profiler, tmp_path / "out"))
    about = read_json(tmp_path / "out" / "data.json")
    assert about["bad_rows"] == {config.path: 2}
    assert about["statistics"]["bad_rows"] == 2
    assert about["statistics"]["events"] == 24
