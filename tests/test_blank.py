"""A blank value is the default and null is None, for every key there is and in every file that people write."""

from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from itertools import permutations
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from experiments.bench.rows import MATRIX, matrix
from recdistill.cli import main
from recdistill.cli.parser import build_parser, complaint
from recdistill.config import RunConfig
from recdistill.config.mistakes import check_settings, settings_of
from recdistill.config.settings import assigned, flat, nested, run_config
from recdistill.config.yaml_files import BLANK, parse_yaml, read_yaml
from recdistill.errors import UserError
from recdistill.experiments.study_file import read_study

KNOWN = settings_of(RunConfig)
SECTIONS = [key for key, hint in KNOWN.items() if is_dataclass(hint)]
LEAVES = [key for key in KNOWN if key not in SECTIONS]
NULLABLE = [key for key in LEAVES if NoneType in get_args(KNOWN[key])]
DEFAULTS = flat(asdict(RunConfig()))

Parse = Callable[..., RunConfig]


def block(key: str, value: str) -> str:
    """A dotted key as the nested sections of a YAML file."""
    *path, last = key.split(".")
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate((*path, last))]
    return "\n".join(lines) + f"{value}\n"


@pytest.fixture(scope="module")
def parser() -> ArgumentParser:
    return build_parser("run")


@pytest.fixture
def parse(parser: ArgumentParser, tmp_path: Path) -> Parse:
    def parse(text: str = "", *words: str) -> RunConfig:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        read = parser.instantiate(parser.parse_args(["run", *([f"--config={path}"] if text else []), *words]))["run"]
        return RunConfig(**{field.name: read[field.name] for field in fields(RunConfig)})

    return parse


def test_all_keys_are_seen() -> None:
    assert set(LEAVES) == set(DEFAULTS)
    assert {"data", "teacher.gate", "student.loss", "distill.train"} < set(SECTIONS)
    assert {"teacher.layers", "distill.dropout", "student.train.batch_tokens"} < set(NULLABLE) < set(LEAVES)


def test_a_file_with_every_key_blank_is_the_defaults(parse: Parse) -> None:
    def text(prefix: str, indent: str) -> str:
        inner = [key for key in KNOWN if key.rpartition(".")[0] == prefix]
        below = {key: "\n" + text(key, f"{indent}  ") if key in SECTIONS else " # blank" for key in inner}
        return "".join(f"{indent}{key.rpartition('.')[2]}:{rest}\n" for key, rest in below.items())

    assert parse(text("", "")) == RunConfig()
    assert parse("".join(f"{key}:\n" for key in LEAVES)) == RunConfig()


@pytest.mark.parametrize("key", KNOWN)
def test_a_blank_line_says_nothing_wherever_it_stands(key: str) -> None:
    for text in (block(key, ""), block(key, "  # commented out"), f"{key}:"):
        said = flat(parse_yaml(text))
        check_settings(said, KNOWN)
        assert all(value == {} for value in said.values())
    blank = assigned([f"{key}="])
    assert blank == {name: value for name, value in DEFAULTS.items() if name == key or name.startswith(f"{key}.")} != {}


def test_empty_sections_are_the_defaults() -> None:
    assert run_config(nested({key: {} for key in SECTIONS})) == RunConfig()
    assert run_config(nested({"student.dropout": 0.1} | {key: {} for key in SECTIONS})).student.dropout == 0.1


@pytest.mark.parametrize("key", [key for key in KNOWN if key not in NULLABLE])
def test_null_names_its_key_where_it_is_no_value(key: str, parse: Parse) -> None:
    for settings in (parse_yaml(block(key, " null")), parse_yaml(f"{key}: ~"), nested(assigned([f"{key}=null"]))):
        with pytest.raises(UserError) as error:
            run_config(settings)
        assert str(error.value).startswith(f"{key}: null is no")
        assert "\n" not in str(error.value)


def test_null_is_none_where_there_is_such_a_value(parse: Parse) -> None:
    nulls = dict.fromkeys(NULLABLE)
    text = "".join(f"{key}: null\n" for key in NULLABLE)
    made = parse(text), run_config(parse_yaml(text)), parse("", *(f"--{key}=null" for key in NULLABLE))
    for config in (*made, run_config(nested(assigned([f"{key}=~" for key in NULLABLE])))):
        assert {key: value for key, value in flat(asdict(config)).items() if key in NULLABLE} == nulls


FORMS = list({str(KNOWN[key]): key for key in KNOWN if KNOWN[key] is not str and key not in SECTIONS}.values())
FORMS = [key for key in FORMS if get_origin(KNOWN[key]) is not Literal] + [
    "student.loss.name",
    "student",
    "data.planted",
]
"""A key of each type but text."""


@pytest.mark.parametrize("key", FORMS)
def test_an_empty_text_on_the_command_line_names_its_key_where_it_is_no_value(key: str, parse: Parse) -> None:
    for value in ("",) if key in NULLABLE else ("", "null"):
        with pytest.raises(ArgumentError) as error:
            parse("", f"--{key}", value)
        message = complaint("run", str(error.value))
        assert message.startswith(f"{key}: ")
        assert ("null" in message) == (value == "null" or key in NULLABLE) or key in SECTIONS


def test_an_empty_text_is_a_text(parser: ArgumentParser) -> None:
    keys = [key for key in LEAVES if KNOWN[key] is str]
    read = parser.parse_args(["run", *(f"--{key}=" for key in keys)])["run"]
    assert {key: read[key] for key in keys} == dict.fromkeys(keys, "")


@pytest.mark.parametrize(
    ("command", "option"), [("plan", "--rank="), ("plan", "--layers="), ("plan", "--rank=null"), ("tune", "--trials=")]
)
def test_null_and_empty_text_in_the_settings_of_other_commands(command: str, option: str) -> None:
    with pytest.raises(ArgumentError) as error:
        build_parser(command).parse_args([command, option])
    assert complaint(command, str(error.value)).startswith(f"{option[2:].partition('=')[0]}: ")


def read(text: str, folder: Path) -> Any:
    (folder / "study.yaml").write_text(text)
    return read_study(folder / "study.yaml")


STUDIED = [key for key in KNOWN if key not in ("run", "seed")]


def test_blank_in_a_study_s_base_and_arms_says_nothing(tmp_path: Path) -> None:
    lines = "".join(f"  {key}:\n" for key in STUDIED)
    study = read(f"base:\n{lines}seeds: [1]\nvariants:\n  other:\n  main:\n{lines.replace('  ', '    ')}", tmp_path)
    assert study.variants == {"main": {}, "other": {}}


@pytest.mark.parametrize("key", STUDIED)
def test_null_in_a_study_names_its_key(key: str, tmp_path: Path) -> None:
    base, variant = (
        f"base: {{{one}}}\nseeds: [1]\nvariants: {{main: {{{two}}}}}\n" for one, two in permutations((f"{key}: ~", ""))
    )
    if key in NULLABLE:
        assert read(base, tmp_path).variants == read(variant, tmp_path).variants == {"main": {key: None}}
        return
    for text in (base, variant):
        with pytest.raises(UserError, match=rf"^variants\.main: {key}: null is no"):
            read(text, tmp_path)


@pytest.mark.parametrize("key", ["name", "base", "config", "seeds", "variants", "variants.main"])
def test_null_in_a_study_is_refused_with_its_key(key: str, tmp_path: Path) -> None:
    lines = {"seeds": "seeds: [1]\n", "variants": "variants: {main: {}}\n"}
    lines["variants" if key == "variants.main" else key] = (
        "variants: {main: null}\n" if key == "variants.main" else f"{key}: null\n"
    )
    with pytest.raises(UserError, match=rf"study\.yaml: {key}: "):
        read("".join(lines.values()), tmp_path)
    if key in ("name", "base", "config"):
        lines[key] = f"{key}:\n"
        assert read("".join(lines.values()), tmp_path).name == "study"


def test_what_a_study_says_is_taken_back_on_the_command_line(tmp_path: Path) -> None:
    text = (
        "base: {student.dropout: 0.1, teacher: {layers: 4, train: {max_epochs: 9}}}\nseeds: [1]\nvariants: {main: }\n"
    )
    (tmp_path / "study.yaml").write_text(text)
    study = read_study(tmp_path / "study.yaml", assigned(["student.dropout=", "teacher.train=", "teacher.layers=null"]))
    config = study.config("main", 1, tmp_path)
    assert (config.student, config.teacher.train) == (RunConfig().student, RunConfig().teacher.train)
    assert config.teacher.layers is None
    with pytest.raises(UserError, match=r"set: student\.dropuot: unknown; did you mean student\.dropout\?"):
        assigned(["student.dropuot="])


@pytest.mark.parametrize("key", ["teacher.precision", "teacher.gate.kind", "teacher.adapter", "export.batch_size"])
def test_null_in_a_cell_names_its_key(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^cells\.bf16: {key}: null is no"):
        matrix(tmp_path, MATRIX.replace("{teacher.precision: bf16}", f"{{{key}: null}}"))


def test_blank_in_a_cell_says_nothing_and_null_is_none(tmp_path: Path) -> None:
    keys = [key for key in KNOWN if key.startswith(("teacher.", "export.")) and key != "teacher.layers"]
    blank = ", ".join(f"{key}: " for key in keys)
    made = matrix(tmp_path, MATRIX.replace("{teacher.precision: bf16}", f"{{{blank}, teacher.layers: null, rows: }}"))
    assert made.cells["bf16"].settings == {"teacher.layers": None}
    assert made.cells["bf16"].sizes == made.cells["base"].sizes


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("repeats", "repeats: None"),
        ("threads", "threads: None"),
        ("cell_seconds", "cell_seconds: None"),
        ("rows", "rows: None"),
        ("export_rows", "export_rows: None"),
        ("base", "base: must hold"),
        ("title", "title: must hold"),
        ("name", "name: missing"),
        ("cells", "cells: missing"),
    ],
)
def test_blank_and_null_at_the_top_of_a_matrix(line: str, told: str, tmp_path: Path) -> None:
    if line == "cells":
        text = MATRIX[: MATRIX.index("cells:")] + "cells: null\n" + MATRIX[MATRIX.index("sections:") :]
    else:
        text = "".join(old for old in MATRIX.splitlines(keepends=True) if not old.startswith(f"{line}:"))
        text += f"{line}: null\n"
    with pytest.raises(UserError, match=f"^{told}"):
        matrix(tmp_path, text)


def test_a_cell_that_is_a_name_alone_is_a_cell_and_blank_says_nothing_at_the_top(tmp_path: Path) -> None:
    made = matrix(tmp_path, "repeats:\nbase:\ncell_seconds:\n" + MATRIX.replace("base-again: {}", "base-again:"))
    assert (made.repeats, made.cell_seconds) == (3, 600)
    assert made.pairs() == [("base", "base-again")]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", BLANK),
        ("# nothing\n", None),
        ("a:\n", {}),
        ("a: null\nb: ~\nc: ''\n", {"a": None, "b": None, "c": ""}),
        ("a: {b: , c: 1}", {"a": {"c": 1}}),
        ("a:\n  # b: 1\nc: 1\n", {"c": 1}),
        ("a: [1, ~]", {"a": [1, None]}),
        ("- {a: , b: 1}", [{"b": 1}]),
        ("a: 5e-4", {"a": 0.0005}),
        ("a: 2020-01-01", {"a": "2020-01-01"}),
        ("x: &x {a: , b: 1}\ny: {<<: *x, c: 2}", {"x": {"b": 1}, "y": {"b": 1, "c": 2}}),
    ],
)
def test_what_yaml_holds(text: str, held: Any) -> None:
    assert parse_yaml(text) == held


@pytest.mark.parametrize("text", ["a:\n  - 1\n  -\n", "a: 1\na:\n", "a:\n? : 1\n"])
def test_what_yaml_must_not_hold(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=r"a\.yaml:\d: not valid YAML"):
        read_yaml(tmp_path / "a.yaml", "config")


def test_the_command_line_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("student:\n  loss:\n    name: null\n")
    assert main(["run", f"--config={tmp_path / 'a.yaml'}"]) == 2
    assert "student.loss.name: null is not one of auto, cross_entropy" in capsys.readouterr().err
