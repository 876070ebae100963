"""Wrong paths and names are told before torch is read in, which takes seconds; data here is never passed over."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chain import write_interactions
from recdistill.cli import main
from recdistill.cli.early import check_finished, check_run
from recdistill.config import DataConfig, RunConfig, TeacherConfig
from recdistill.errors import UserError

CSV = ["--data.source=csv", "--data.path=data/events.csv"]
WRONG = {
    "a missing file": (["prepare", "--data.source=csv", "--data.path=nowhere.csv"], "nowhere.csv: no such file"),
    "a missing column": (["run", *CSV, "--data.columns.user=who"], "data/events.csv: no column 'who'"),
    "a wrong separator": (
        ["student", *CSV, "--data.separator=;"],
        "data/events.csv: no column 'user_id'; it has 'user_id,",
    ),
    "a missing model": (["teacher", *CSV, "--teacher.llm=./llm"], "teacher.llm: ./llm: no such folder"),
    "an encoder that is none": (
        ["run", *CSV, "--teacher.kind=second_student", "--teacher.title_decay=0", "--teacher.title_encoder=./x"],
        "teacher.title_encoder: ./x",
    ),
    "a run to recommend from": (["recommend", "runs/deom", "Heat"], "runs/deom: no such run; did you mean runs/demo?"),
    "a run to compare": (["compare", "runs/deom"], "runs/deom: no such run; did you mean runs/demo?"),
    "a run to add to": (["add-items", "runs/deom", "x.csv", "--out=o"], "no such run; did you mean runs/demo?"),
    "a run to report on": (["report", "--run=runs/deom"], "runs/deom: no such run; did you mean runs/demo?"),
    "data that is here": (["prepare"], "nothing says what to read, and sales.csv is here; write --data.source csv"),
    "a planned model": (["plan", "--llm=./nowhere"], "plan.llm: ./nowhere: no such folder"),
    "an option": (["run", "--student.dropuot=1"], "did you mean --student.dropout?"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one run, a table and interactions."""
    monkeypatch.chdir(tmp_path)
    write_interactions(tmp_path / "data", users=8)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "sales.csv").write_text("a,b\n")
    return tmp_path


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_told_and_leaves_nothing(mistake: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, told = WRONG[mistake]
    before = sorted(here.rglob("*"))
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert sorted(here.rglob("*")) == before


def test_no_mistake_waits_for_torch(here: Path) -> None:
    script = (
        "import json, sys\n"
        "from recdistill.cli import main\n"
        "assert [main(words) for words in json.loads(sys.argv[1])] == [2] * int(sys.argv[2])\n"
        "heavy = {'torch', 'transformers', 'peft', 'matplotlib', 'lightning_fabric'} & set(sys.modules)\n"
        "sys.exit(f'{sorted(heavy)}' if heavy else 0)\n"
    )
    words = [words for words, _ in WRONG.values()]
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(words), str(len(words))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["sales.csv", "SALES.CSV", "events.tsv", "e.csv.gz", "part.parquet", "shop.inter"])
def test_any_table_asks_what_to_read_unless_it_was_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"nothing says what to read, and {name} is here"):
        check_run(RunConfig(run="runs/x"), "prepare", data_named=False)


def test_the_demo_s_data_is_said_in_the_log_and_a_prepared_run_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "empty"))
    with caplog.at_level("INFO", "recdistill"), pytest.raises(UserError, match="fetch ml-100k"):
        check_run(RunConfig(run="runs/x"), "prepare", data_named=False)
    assert "it is the demo's data (data.source: ml-100k)" in caplog.text
    (tmp_path / "sales.csv").touch()
    (tmp_path / "runs/x/prepare").mkdir(parents=True)
    (tmp_path / "runs/x/prepare/manifest.json").touch()
    check_run(RunConfig(run="runs/x"), "prepare", data_named=False)


def test_runs_that_differ_in_numbers_alone_are_not_taken_for_one_another(tmp_path: Path) -> None:
    for name in ("seed-1", "groceries"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=r"seed-2: no such run$"):
        check_finished(tmp_path / "seed-2")
    with pytest.raises(UserError, match=r"did you mean .*/groceries\?"):
        check_finished(tmp_path / "grocreies")


def test_who_says_what_to_read_makes_a_new_run_however_its_name(tmp_path: Path) -> None:
    (tmp_path / "killed none").mkdir()
    config = RunConfig(run=str(tmp_path / "killed nf4"), teacher=TeacherConfig(kind="none"))
    check_run(replace(config, data=DataConfig(source="planted")), "report", data_named=True)
    with pytest.raises(UserError, match=r"did you mean .*killed none"):
        check_run(config, "report", data_named=False)
