from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from recdistill.cli import main
from recdistill.cli.parser import build_parser
from recdistill.config import DataConfig, PlantedConfig, RunConfig, TeacherConfig, TrainConfig
from recdistill.config.teacher_kind import LanguageModel, NoTeacher, SecondStudent
from recdistill.errors import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def parse(*arguments: str) -> RunConfig:
    parser = build_parser("run")
    parsed = parser.instantiate(parser.parse_args(["run", *arguments]))["run"]
    return RunConfig(**{field.name: parsed[field.name] for field in fields(RunConfig)})


def test_the_command_line_without_options_is_the_defaults() -> None:
    assert parse() == RunConfig()


def test_there_are_configurations_to_start_from() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_read_to_the_last_key(path: Path) -> None:
    def check(written: object, read: object, key: str) -> None:
        if isinstance(written, dict) and isinstance(read, dict):
            for name, value in written.items():
                check(value, read[name], f"{key}.{name}")
        else:
            assert read == (tuple(written) if isinstance(written, list) else written), key

    text = path.read_text(encoding="utf-8")
    check(yaml.safe_load(text), asdict(parse("--config", str(path))), path.stem)
    assert text.startswith("#")
    assert f"recdistill run --config configs/{path.name}" in text or f"--config configs/{path.name}" in text


def test_dotted_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("seed: 7\nstudent:\n  dropout: 0.1\n  train: {batch_size: 8}\nteacher: {layers: null}\n")
    config = parse("--config", str(path), "--student.dropout=0.2", "--teacher.adapter.layers=[q_proj]")
    assert (config.seed, config.student.dropout, config.student.train.batch_size) == (7, 0.2, 8)
    assert config.teacher.layers is None
    assert config.teacher.adapter.layers == ("q_proj",)
    assert config.student.embedding_dim == RunConfig().student.embedding_dim


def test_without_a_teacher_its_settings_are_no_matter() -> None:
    config = parse("--teacher.kind=none", "--teacher.title_decay=0.9", "--student.max_length=20")
    assert config.student.max_length < config.teacher.history_length
    with pytest.raises(UserError, match=r"goes with .*kind: llm; set title_decay: 0"):
        TeacherConfig(kind="second_student")


MISTAKES = {
    "evaluate.candidates=-1": "evaluate.candidates: -1 is out of range; it must be 0 or more",
    "student.dropuot=0.1": "student.dropuot",
    "student.dropout=much": "student.dropout",
    "student.dropout=1.0": "student.dropout: 1.0 is out of range; it must be at least 0 and below 1",
    "distill.dropout=1.0": "distill.dropout: 1.0 is out of range; it must be at least 0 and below 1",
    "student.train.batch_size=0": "student.train.batch_size: 0 is out of range; it must be above 0",
    "teacher.train.max_grad_norm=.inf": "teacher.train.max_grad_norm: inf is out of range; it must be 0 or more, and",
    "student.train.learning_rate=.inf": "student.train.learning_rate: inf is out of range; it must be above 0, and",
    "data.min_rating=.inf": "data.min_rating: inf",
    "student.train.max_epochs=2.5": "student.train.max_epochs",
    "student.loss.name=hinge": "student.loss.name",
    "student.num_heads=3": "student.num_heads",
    "teacher.layers=0": "teacher.layers: 0 is out of range; it must be above 0",
    "teacher.precision=fp8": "teacher.precision",
    "teacher.adapter.rank=7": "teacher.adapter.rank: 7 is out of range; it must be a multiple of",
    "teacher.gate.kind=instance": "teacher.gate.kind: instance sees the whole history",
    "teacher.candidates=5": "teacher.candidates: a candidate list needs prompt: text and targets: last",
    "teacher.history_length=51": "teacher.history_length: 51 is out of range; it must be at most student.max_length",
    "export.top_k=0": "export.top_k: 0",
    "distill.top_k=999": "distill.top_k: 999 is out of range; it must be at most export.top_k (",
    "distill.weight=-1": "distill.weight: -1",
    "evaluate.permutations=0": "evaluate.permutations",
    "data.min_user_events=2": "data.min_user_events: 2 is out of range; it must be 3 or more",
    "data.separator=": "data.separator: '' is out of range; it must be a character or several",
    "data.quote=ab": "data.quote: 'ab' is out of range; it must be one character, neither a line end nor the separator",
    "data.encoding=klingon": "data.encoding: 'klingon' is no encoding that Python knows",
    "data.items.quote=ab": "data.items.quote: 'ab' is out of range; it must be one character, neither a line end nor",
    "data.source=csv": "data.path: needed for data.source csv",
    "data.validation_fraction=0.95": "data.validation_fraction + data.test_fraction",
    "data.limit_rows=-5": "data.limit_rows: -5",
    "data.train_user_fraction=0": "data.train_user_fraction: 0.0 is out of range; it must be above 0 and at most 1",
    "data.train_user_fraction=1.5": "data.train_user_fraction: 1.5",
    "data.planted.topics=41": "data.planted.topics: 41 is out of range; it must be between 2 and 40",
    "data.planted.items=39": "data.planted.items: 39",
    "data.planted.decay=0": "data.planted.decay: 0.0",
    "data.planted.novelty=0": "data.planted.novelty: 0.0",
    "data.text=[genres,genres]": "data.text: ('genres', 'genres') is out of range; it must be without repetitions",
    "report.language=fr": "report.language",
    "seed=-1": "seed: -1",
    "device=tpu": "device",
    "run=": "run: '' is out of range",
}


def test_only_a_language_model_reads_a_student_with_titles() -> None:
    with pytest.raises(UserError, match=r"teacher\.student: titled goes with kind: llm, .*; kind is second_student"):
        TeacherConfig(kind="second_student", title_decay=0.0, student="titled")


@pytest.mark.parametrize("option", MISTAKES)
def test_a_mistake_ends_before_any_work_with_one_line_that_names_the_key(
    option: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recdistill.pipeline.run", None)  # a mistake that is taken is a failure, not a long run
    assert main(["run", f"--{option}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recdistill: error: ")
    assert MISTAKES[option] in line
    assert not list(tmp_path.iterdir())


FILES = {
    "student:\n  dropuot: 1\n": "student.dropuot",
    "student: {dropout: [1]}\n": "student.dropout",
    "seed: 1\nstudent: [1\n": "bad.yaml:3: not valid YAML",
    "just words\n": "bad.yaml: holds no settings",
    "": "bad.yaml: holds no settings",
}


@pytest.mark.parametrize("content", FILES)
def test_a_mistake_in_a_file_names_the_key_or_the_line(
    content: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(content)
    assert main(["run", "--config=bad.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recdistill: error: ")
    assert FILES[content] in line


def test_a_configuration_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config=nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "recdistill: error: config: nowhere.yaml: No such file or directory\n"


def test_print_config_is_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--student.dropout=0.25", "--print_config"])
    assert not ended.value.code
    (tmp_path / "a.yaml").write_text(capsys.readouterr().out)
    assert parse("--config", str(tmp_path / "a.yaml")).student.dropout == 0.25


def test_sections_are_checked_in_python_too() -> None:
    with pytest.raises(UserError, match=r"data\.path"):
        DataConfig(source="csv")
    with pytest.raises(UserError, match=r"data\.min_item_events: 2 is out of range; it must be 1 with"):
        DataConfig(source="planted", min_item_events=2)
    with pytest.raises(UserError, match=r"data\.text: \('genres',\) is out of range"):
        DataConfig(source="planted", text=("genres",))
    with pytest.raises(UserError, match=r"data\.planted\.events: 4 is out of range; it must be data\.min_user_events"):
        DataConfig(source="planted", planted=PlantedConfig(events=4))
    with pytest.raises(UserError, match=r"teacher\.train\.warmup_fraction"):
        TeacherConfig(train=TrainConfig(warmup_fraction=1.0))
    with pytest.raises(UserError, match="mixed"):
        TeacherConfig(quantization="nf4", precision="bf16-mixed")


def test_help_tells_the_meaning_of_every_setting() -> None:
    import ast

    files = sorted((Path(__file__).parents[2] / "src" / "recdistill" / "config").glob("*.py"))
    nodes = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
    sections = [node for node in nodes if isinstance(node, ast.ClassDef) and node.name.endswith("Config")]
    assert len(sections) > 10
    for section in sections:
        for setting, after in zip(section.body, [*section.body[1:], ast.Pass()], strict=True):
            if isinstance(setting, ast.AnnAssign):
                assert isinstance(after, ast.Expr), ast.unparse(setting)
                assert isinstance(after.value, ast.Constant), ast.unparse(setting)


def test_a_teacher_has_what_its_kind_has() -> None:
    assert TeacherConfig(folds=3).chosen == LanguageModel(folds=3, compiled=False)
    assert TeacherConfig(compile=True).chosen == LanguageModel(folds=0, compiled=True)
    assert TeacherConfig(kind="second_student", title_decay=0.0).chosen == SecondStudent()
    assert TeacherConfig(kind="none").chosen == NoTeacher()


def test_the_language_model_is_read_with_the_blocks_that_its_reader_takes() -> None:
    """A teacher of it takes the first blocks; titles are embedded by all; minilm's titles need no language model."""
    teacher = TeacherConfig(layers=2)
    control = TeacherConfig(kind="second_student", title_decay=0.0, layers=2, title_encoder="llm")
    assert teacher.reading_llm == teacher
    assert control.reading_llm is not None
    assert control.reading_llm.layers is None
    assert TeacherConfig(kind="second_student", title_decay=0.0).reading_llm is None
    assert TeacherConfig(kind="none", title_encoder="llm").reading_llm is None
