"""What the command line says where the commands themselves cannot."""

import signal
from typing import Any

import pytest

from recdistill.cli import commands as cli
from recdistill.cli.parser import build_parser
from recdistill.interruption import deferred, stop_point
from recdistill.steps import SPECS, STEPS

LONG = "finished steps are kept, and checkpoints of the one that ran; the same command resumes that step"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run"], f"interrupted; {LONG}"),
        (["evaluate"], f"interrupted; {LONG}"),
        (["study", "study.yaml"], f"interrupted; {LONG}"),
        (
            ["tune"],
            "interrupted; finished trials are kept; the same command resumes the trial that was interrupted",
        ),
        (
            ["bench", "matrix.yaml"],
            "interrupted; finished cells are kept; the same command resumes the cell that was interrupted",
        ),
        (["fetch", "minilm"], "interrupted"),
        (["compare", "a", "b"], "interrupted"),
        (["plan"], "interrupted"),
        (["recommend", "runs/demo", "Heat"], "interrupted"),
    ],
)
def test_an_interruption_promises_no_more_than_there_is(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_look", lambda *_: None)
    monkeypatch.setattr(cli, "_launched", lambda *_: False)
    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert cli.main(words) == 130
    assert capsys.readouterr().err == f"recdistill: {told}\n"


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_what_a_signal_made_the_work_save_is_said_in_one_line(
    number: int, status: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: Any) -> None:
        with deferred():
            signal.raise_signal(number)
            stop_point("the student after 2 epochs")

    monkeypatch.setattr(cli, "_dispatch", work)
    assert cli.main(["student", "--quiet"]) == status
    told = f"{word}; saved: the student after 2 epochs; the same command resumes from there"
    assert capsys.readouterr().err == f"recdistill: {told}\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_steps_of_the_command_line_are_those_of_the_pipeline() -> None:
    helped = build_parser("study").format_help()
    assert all(spec.about.split(";")[0].split(",")[0] in " ".join(helped.split()) for spec in STEPS)
    for step in SPECS:
        assert build_parser("study").parse_args(["study", "study.yaml", "--until", step]).study.until == step


@pytest.mark.parametrize(("error", "reason"), [(MemoryError(), "no memory left"), (MemoryError("9\nGiB"), "9 GiB")])
def test_a_lack_of_memory_is_one_line_of_any_command(
    error: MemoryError, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacks() -> None:
        raise error

    assert cli.exit_status("compare", lacks) == 2
    told = f"recdistill: error: compare: out of memory ({reason}); `recdistill plan` tells what fits here\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report", "runs/mine"], "runs/mine: this command takes no such word; name a run by --run runs/mine"),
        (["configs", "mine"], "mine: this command takes no such word"),
        ([], "missing: a command; recdistill --help lists them"),
        (["recommend"], "missing: run, history; --help shows them"),
        (["fetch", "smollm3"], "name: smollm3 is not one of ml-100k, smollm2, minilm, all; did you mean smollm2?"),
        (["recommend", "runs/mine", "Heat", "--top_k", "ten"], "top_k: ten is not a whole number"),
        (["index", "runs/mine", "--recall", "high"], "recall: high is not a number"),
    ],
)
def test_words_that_a_command_does_not_take_are_one_plain_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"recdistill: error: {told}\n"
