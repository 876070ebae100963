"""`--help`: short by itself, whole on request."""

from dataclasses import asdict

import pytest
from jsonargparse import ArgumentParser

from recdistill.cli import commands as cli
from recdistill.cli.help_pages import page_about
from recdistill.cli.parser import READ, WHOLE, build_parser
from recdistill.config import RunConfig
from recdistill.config.settings import flat
from recdistill.errors import UserError
from recdistill.steps import SPECS

COMMANDS = (*SPECS, *WHOLE, "tune", "plan", "fetch", "configs", "bench", "study", "compare", "recommend")
COMMANDS += ("add-items", "check")
LINES = 130
"""Most lines of a command's help on 80 columns."""
SETTINGS = flat(asdict(RunConfig()))


@pytest.fixture(scope="module")
def parser() -> ArgumentParser:
    whole = build_parser("run")
    assert whole._subcommands_action is not None
    found: ArgumentParser = whole._subcommands_action._name_parser_map["run"]
    return found


def page(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 0
    return capsys.readouterr().out


def names_in(found: str) -> list[str]:
    """Options that a page is about."""
    return [line.split()[0] for line in found.splitlines() if line.startswith("  --")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_short_and_names_every_section(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = page([command, "--help"], capsys)
    assert 5 < len(shown.splitlines()) <= LINES
    words = shown.split()
    for key in SETTINGS if command in (*SPECS, *WHOLE) else ():
        section = key.rpartition(".")[0]
        listed = section in ("", *READ.get(command, ()))
        assert listed == (f"--{key}" in words), key
        assert listed or any(f"{section}.".startswith(f"{word}.") for word in words), section


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_found_by_its_name_and_by_its_section(key: str, parser: ArgumentParser) -> None:
    assert names_in(page_about(parser, key)) == [f"--{key}"] or "." not in key
    assert f"--{key}" in names_in(page_about(parser, key.partition(".")[0]))


def test_a_setting_is_told_whole_with_its_values_and_its_default(parser: ArgumentParser) -> None:
    found = page_about(parser, "data.min_rating").splitlines()
    assert found[0].startswith("data: ")
    assert found[1] == "  --data.min_rating  number or null"
    assert found[2].strip() == "Keep interactions rated this or higher. null: keep all. (default: null)"
    assert "--data.duplicates  keep, first, last\n" in page_about(parser, "data.duplicates")


def test_a_word_of_a_meaning_finds_its_settings(parser: ArgumentParser) -> None:
    found = page_about(parser, "CLIMBS")
    assert names_in(found) == [f"--{step}.train.warmup_fraction" for step in ("student", "teacher", "distill")]


def test_all_is_every_setting(parser: ArgumentParser) -> None:
    words = page_about(parser, "all").split()
    assert {f"--{key}" for key in SETTINGS} <= set(words)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("studnet", "--help studnet: no section, and no setting speaks of it; did you mean student?"),
        ("teacher.gaet", "--help teacher.gaet: no section, and no setting speaks of it; did you mean teacher.gate?"),
        (
            "zebra",
            "--help zebra: no section, and no setting speaks of it; there are data, student, teacher, export, "
            "distill, evaluate, report",
        ),
    ],
)
def test_a_wrong_section_is_named_with_the_nearest(word: str, told: str, parser: ArgumentParser) -> None:
    with pytest.raises(UserError) as refused:
        page_about(parser, word)
    assert str(refused.value) == told


def test_a_wrong_section_is_a_mistake_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--help", "zebra"]) == 2
    assert capsys.readouterr().err == "recdistill: error: --help zebra: no section, and no setting speaks of it\n"


@pytest.mark.parametrize("step", ["prepare", "report"])
def test_every_step_takes_the_settings_of_all(step: str) -> None:
    words = [step, "--data.min_user_events", "4", "--teacher.layers", "3", "--report.language", "ja"]
    found = build_parser(step).parse_args(words)[step]
    assert (found.data.min_user_events, found.teacher.layers, found.report.language) == (4, 3, "ja")
