"""What a person can get wrong costs one line on stderr and exit status 2, and leaves nothing behind."""

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from chain import options, write_interactions
from processes import ended, fill_disk_at
from recdistill.cli import main

Fail = Callable[..., str]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return write_interactions(tmp_path / "data", users=8)


@pytest.fixture
def fail(tmp_path: Path, tiny_llm: Path, events: Path, capsys: pytest.CaptureFixture[str]) -> Fail:
    """Run a command that must fail as a person's mistake does; the one line of its complaint, paths cut to names."""

    def run(*more: str, command: str = "prepare", run: str = "runs/mine", leaves_run: bool = False) -> str:
        assert main([command, *options(tmp_path / run, tiny_llm, events, *more)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("recdistill: error: ")
        assert (tmp_path / run).exists() == leaves_run
        return line.removeprefix("recdistill: error: ").replace(f"{events.parent}/", "").replace(f"{tmp_path}/", "")

    return run


def change(path: Path, line: int, old: str, new: str) -> None:
    """Change one line of a file; lines count from 1."""
    lines = path.read_text().splitlines(keepends=True)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("".join(lines))


def test_missing_file(fail: Fail, events: Path) -> None:
    assert fail("--data.path=nowhere.csv") == "nowhere.csv: no such file"
    assert fail("--data.items_path=nowhere.csv") == "nowhere.csv: no such file"
    assert fail(f"--data.path={events.parent}") == "items.csv: no column 'timestamp', which events.csv has"


def test_missing_folder_of_a_data_set(fail: Fail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "empty cache"))
    message = fail("--data.source=ml-100k", "--data.path=", "--data.items_path=")
    assert (
        message
        == "data.source: ml-100k is not at empty cache/ml-100k; run `recdistill fetch ml-100k`, or set data.path"
    )
    assert (
        fail("--data.source=ml-1m", "--data.path=/nowhere", "--data.items_path=")
        == "data.path: /nowhere is not a folder"
    )


def test_missing_column(fail: Fail) -> None:
    assert fail("--data.columns.user=person").startswith("events.csv: no column 'person'; it has 'user_id', 'item_id'")
    assert fail("--data.columns.title=name").startswith("items.csv: no column 'name'; it has 'item_id', 'title'")


def test_empty_file(fail: Fail, events: Path) -> None:
    events.write_text("user_id,item_id,timestamp\n")
    assert fail() == "events.csv: no rows below the header"
    events.write_text("")
    assert fail().startswith("events.csv: the file is empty")


def test_wrong_delimiter(fail: Fail, events: Path) -> None:
    message = fail("--data.separator=;")
    assert message.startswith("events.csv: no column 'user_id'")
    assert "separator" in message


def test_non_numeric_timestamp(fail: Fail, events: Path) -> None:
    change(events, 5, events.read_text().splitlines()[4].rsplit(",")[-1], "yesterday")
    assert fail() == "events.csv:5: timestamp: 'yesterday' is not a number"


@pytest.mark.parametrize("value", ["NaN", "inf", ""])
def test_number_that_is_none(fail: Fail, events: Path, value: str) -> None:
    change(events, 7, events.read_text().splitlines()[6].rsplit(",")[-1], value)
    message = fail()
    assert message.startswith("events.csv:7: timestamp: ")
    assert "is empty" in message if value == "" else "is not a number" in message


def test_id_that_is_none(fail: Fail, events: Path) -> None:
    change(events, 4, "u0", "NaN")
    assert fail() == "events.csv:4: user_id: 'NaN' is not an id"


def test_nan_in_parquet(fail: Fail, events: Path) -> None:
    frame = pl.read_csv(events).with_columns(pl.col("timestamp").cast(pl.Float64))
    frame[2, "timestamp"] = float("nan")
    frame.write_parquet(events.with_suffix(".parquet"))
    message = fail("--data.source=parquet", f"--data.path={events.with_suffix('.parquet')}")
    assert message.startswith("events.parquet")
    assert "timestamp" in message
    assert "3" in message


def test_not_parquet(fail: Fail) -> None:
    assert fail("--data.source=parquet").startswith("events.csv: not a Parquet file")


def test_line_with_too_many_values(fail: Fail, events: Path) -> None:
    change(events, 6, "\n", ",more,and more\n")
    assert fail() == "events.csv:6: 5 values for 3 columns"


def test_bytes_that_are_no_text(fail: Fail, events: Path) -> None:
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join([*lines[:2], b"\xff\xfe" + lines[2], *lines[3:]]))
    assert fail() == "events.csv:3: not UTF-8 text (data.encoding)"


def test_users_with_too_few_events(fail: Fail, events: Path) -> None:
    message = fail("--data.min_user_events=50")
    assert message.startswith("no interactions are left after filtering: ")
    assert "data.min_user_events" in message


def test_empty_result_after_filtering_by_rating(fail: Fail, events: Path) -> None:
    pl.read_csv(events).with_columns(rating=pl.lit(3.0)).write_csv(events)
    message = fail("--data.columns.rating=rating", "--data.min_rating=3.5")
    assert message.startswith("no interactions are left after filtering: ")
    assert "min_rating" in message


def test_rating_threshold_without_a_column(fail: Fail) -> None:
    assert fail("--data.min_rating=3").startswith("data.min_rating: needs the name of a column")


def test_split_that_leaves_nothing_to_test_on(fail: Fail, events: Path) -> None:
    pl.read_csv(events).with_columns(timestamp=pl.lit(5)).write_csv(events)
    message = fail("--data.split=global_time")
    assert message.startswith("no ")
    assert "data.split global_time" in message


def test_limit_below_the_first_user(fail: Fail) -> None:
    assert fail("--data.limit_rows=1").startswith("data.limit_rows: 1 is too few")


def test_an_items_file_that_knows_no_item(fail: Fail, events: Path) -> None:
    items = events.with_name("items.csv")
    items.write_text("item_id,title\nI1,Film 1\nI2,Film 2\n")
    assert fail().startswith("items.csv: none of its 2 items is among the ")
    assert fail().endswith("written like 'I1' there and like 'i1' in the interactions (data.columns.item)")


@pytest.mark.parametrize("command", ["teacher", "run"])
def test_unknown_llm(fail: Fail, tmp_path: Path, command: str) -> None:
    assert fail("--teacher.llm=/no/such/llm", command=command) == "teacher.llm: /no/such/llm: no such folder"
    (tmp_path / "empty").mkdir()
    message = fail(f"--teacher.llm={tmp_path / 'empty'}", command=command)
    assert message == "teacher.llm: empty is a folder without config.json, so not a transformers model"


def test_llm_that_was_not_fetched(fail: Fail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "empty cache"))
    message = fail("--teacher.llm=smollm2", command="run")
    assert message.startswith("teacher.llm: smollm2 is not in the cache; run `recdistill fetch smollm2`")


def test_broken_llm(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "config.json").write_text('{"model_type": "no such model"}')
    assert fail(f"--teacher.llm={tmp_path / 'llm'}", command="run").startswith("teacher.llm: llm: ")


def test_more_layers_than_the_llm_has(fail: Fail) -> None:
    message = fail("--teacher.layers=99", command="run")
    assert message == "teacher.layers: 99 is more than the 3 blocks of this language model"


def test_what_the_machine_cannot_do(fail: Fail) -> None:
    message = fail("--teacher.precision=fp16", command="run")
    assert message.startswith("teacher.precision: fp16 needs a CUDA device, and this run is on the CPU")
    message = fail("--teacher.attention=flash_attention_2", command="run")
    assert message.startswith("teacher.attention: flash_attention_2 needs a CUDA device")


def test_a_run_does_not_ask_where_its_file_lies(
    fail: Fail, tmp_path: Path, tiny_llm: Path, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs/mine"
    assert main(["prepare", *options(run, tiny_llm, events)]) == 0
    made = (run / "prepare" / "manifest.json").read_bytes()
    moved = events.rename(events.with_name("moved.csv"))
    assert main(["prepare", *options(run, tiny_llm, moved)]) == 0
    assert main(["prepare", *options(run, tiny_llm, events)[1:]]) == 0  # it is not there at all
    assert f"{events} is not there any more" in capsys.readouterr().err
    assert (run / "prepare" / "manifest.json").read_bytes() == made
    assert "no such file" in fail(f"--data.path={events}", run="runs/another")


def test_run_folder_made_with_other_data(fail: Fail, tmp_path: Path, tiny_llm: Path, events: Path) -> None:
    assert main(["prepare", *options(tmp_path / "runs/mine", tiny_llm, events)]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "runs/mine").rglob("*") if path.is_file()}
    message = fail("--data.min_user_events=6", leaves_run=True)
    assert message.startswith("run: runs/mine was made with other data (data.min_user_events: 5 → 6")
    change(events, 2, "i", "i9")
    message = fail(leaves_run=True, command="student")
    assert message.startswith("run: runs/mine was made with other data (input.source: ")
    assert before == {path: path.read_bytes() for path in (tmp_path / "runs/mine").rglob("*") if path.is_file()}


def test_run_that_is_a_file(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    assert fail(run="taken", leaves_run=True) == "run: taken is not a folder"


def test_run_in_use(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    with (tmp_path / "used" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert fail(run="used", leaves_run=True) == "run: used is in use by another recdistill process"


@pytest.mark.parametrize(
    ("step", "setting", "reason"),
    [
        ("teacher", "--teacher.kind=none", "teacher.kind is none"),
        ("distill", "--teacher.kind=none", "teacher.kind is none"),
        ("export", "--export.enabled=false", "export.enabled is false"),
    ],
)
def test_a_step_that_the_settings_leave_out(fail: Fail, step: str, setting: str, reason: str) -> None:
    assert fail(setting, command=step) == f"{step}: this run has no such step, since {reason}"


def test_recommend_from_a_run_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "runs/nowhere", "Film 1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recdistill: error: runs/nowhere")


def test_unknown_thing_to_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "ml-25m"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recdistill: error: ")
    assert "ml-25m" in line


@pytest.mark.parametrize(("step", "limit"), [("prepare", 200), ("student", 20_000)], ids=["prepare", "student"])
def test_full_disk(tmp_path: Path, tiny_llm: Path, events: Path, step: str, limit: int) -> None:
    """A limit on the size of files stands in for a disk that is full: writing ends in the middle, by an error."""
    arguments = options(tmp_path / "run", tiny_llm, events, "--student.embedding_dim=64")
    status = ended([step, *arguments], tmp_path / "stderr", fill_disk_at, limit)
    said = (tmp_path / "stderr").read_text()
    assert status == 2, said
    (line,) = said.splitlines()
    assert line.startswith(f"recdistill: error: {tmp_path / 'run' / step}")
    assert "nothing half-written was kept" in line
    assert not (tmp_path / "run" / step).exists()
    assert not list(tmp_path.glob("run/**/*.tmp"))


def test_full_disk_met_by_the_log_s_own_thread(fail: Fail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", full)
    message = fail(command="student", leaves_run=True)
    assert message.startswith("runs/mine/student.partial: no space left on the disk")
    assert not (tmp_path / "runs/mine/student").exists()


def test_an_unknown_title_encoder_is_named_by_its_own_key(fail: Fail) -> None:
    assert fail("--teacher.title_encoder=no/such/model", command="teacher").startswith(
        "teacher.title_encoder: no/such/"
    )


def test_more_candidates_than_items_are_refused_before_anything_is_trained(fail: Fail, tmp_path: Path) -> None:
    message = fail("--evaluate.candidates=22", command="run", leaves_run=True)
    assert message.startswith("evaluate.candidates: 8 of 8 targets have histories that leave fewer than 22 of ")
    assert not list(tmp_path.rglob("student*"))
