"""What the command line says where the commands themselves cannot."""

from typing import Any

import pytest

from recdistill import cli
from recdistill.parser import STEPS, build_parser
from recdistill.pipeline import STORY


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run"], "interrupted; the same command goes on from the last checkpoint"),
        (["study", "study.yaml"], "interrupted; the same command goes on from the last checkpoint"),
        (["tune"], "interrupted; the same command goes on with the trial that was interrupted"),
        (["bench", "matrix.yaml"], "interrupted; the same command goes on with the cell that was interrupted"),
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

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert cli.main(words) == 130
    assert capsys.readouterr().err == f"recdistill: {told}\n"


def test_the_steps_of_the_command_line_are_those_of_the_story() -> None:
    assert tuple(STEPS) == STORY
    for step in STORY:
        assert build_parser("study").parse_args(["study", "study.yaml", "--until", step]).study.until == step
