from pathlib import Path

import pytest

from recdistill.config import LossConfig, StudentConfig
from recdistill.errors import UserError
from recdistill.experiments.tune.space import DEFAULT_SPACE, Choices, Range, changed_student, check_space, read_space

ROOT = Path(__file__).resolve().parents[3]


def read(text: str, tmp_path: Path) -> dict[str, Choices | Range]:
    (tmp_path / "space.yaml").write_text(text)
    return read_space(tmp_path / "space.yaml")


def test_the_file_in_configs_is_the_built_in_space() -> None:
    assert read_space(ROOT / "configs/tune/student.yaml") == DEFAULT_SPACE
    check_space(DEFAULT_SPACE, StudentConfig())


def test_ranges_of_whole_numbers_and_of_others(tmp_path: Path) -> None:
    space = read("student.num_layers: {low: 1, high: 3}\nstudent.dropout: {low: 0, high: 0.5}\n", tmp_path)
    assert list(space["student.num_layers"].probes()) == list(space["student.num_layers"].values()) == [1, 2, 3]
    long = Range(1, 500)
    assert list(long.probes()) == [1, 500]
    assert list(long.values()) == list(range(1, 501))
    assert space["student.dropout"].probes() == (0, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "not valid YAML"),
        ("", "holds no space"),
        ("student.num_layers: 3", r"student.num_layers: 3 is neither"),
        ("student.num_layers: {choices: 3}", "student.num_layers.choices: 3 is not a list"),
        ("student.num_layers: {choices: []}", "is not a list of values"),
        ("student.num_layers: {low: 1}", "student.num_layers: has low; it takes"),
        ("student.num_layers: {low: 1, high: 2, step: 1}", "student.num_layers: has low, high, step"),
        ("student.num_layers: {low: 3, high: 3}", "from 3 to 3 is no range"),
        ("student.dropout: {low: 0, high: 0.5, log: true}", "no range of logarithms"),
        ("student.dropout: {low: 0, high: 0.5, log: 1}", "student.dropout.log: 1"),
        ("student.train.learning_rate: {low: five, high: 1.0}", r"'five' is not a number"),
        ("student.dropout: {low: null, high: 1.0}", "student.dropout.low: None is not a number"),
        ("student.train.learning_rate: {low: , high: 1.0}", "student.train.learning_rate: has high; it takes"),
        ("student.train.learning_rate: {low: 1, high: 2, log: null}", "student.train.learning_rate.log: None"),
        ("student.train.learning_rate: null", "student.train.learning_rate: None is neither"),
        ("student.train.learning_rate:", "holds no space"),
        (
            "student.dropout: {choices: [0.1, ]}\nstudent.num_layers: {choices: null}",
            "student.num_layers.choices: None",
        ),
    ],
)
def test_another_form_is_refused_with_the_key(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(text, tmp_path)


def test_a_number_may_have_an_exponent_without_a_point_and_a_log_without_a_value(tmp_path: Path) -> None:
    space = read("student.train.learning_rate: {low: 5e-4, high: 1E-1, log: }", tmp_path)
    assert space == {"student.train.learning_rate": Range(0.0005, 0.1)}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space: .*none.yaml: No such file"):
        read_space(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"teacher.layers": Range(1, 6)}, "teacher.layers: only settings of the student"),
        ({"student.depth": Range(1, 6)}, "depth"),
        ({"student.windows": Choices(("all", "some"))}, "student.windows"),
        ({"student.dropout": Range(0.1, 1.0)}, "student.dropout: 1.0 is out of range"),
        ({"student.embedding_dim": Choices((32, 33))}, "student.embedding_dim: 33"),
        ({"student.embedding_dim": Range(32, 128)}, "student.embedding_dim: 33"),
        (
            {"student.embedding_dim": Choices((30, 60)), "student.num_heads": Choices((2, 4))},
            "student.embedding_dim: 30",
        ),
    ],
)
def test_values_that_the_configuration_refuses_are_refused_before_any_trial(
    space: dict[str, Choices | Range], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_space(space, StudentConfig())


def test_a_trial_changes_what_was_drawn_and_nothing_else() -> None:
    base = StudentConfig(embedding_dim=16, loss=LossConfig(negatives=7))
    changed = changed_student(
        base, {"student.num_layers": 1, "student.loss.name": "gbce", "student.train.batch_size": 8}
    )
    assert (changed.num_layers, changed.loss.name, changed.train.batch_size) == (1, "gbce", 8)
    assert (changed.embedding_dim, changed.loss.negatives) == (16, 7)
    assert changed.train.learning_rate == base.train.learning_rate
