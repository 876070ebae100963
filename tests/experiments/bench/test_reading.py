from pathlib import Path

import pytest

from experiments.bench.rows import MATRIX, matrix
from recdistill.errors import UserError
from recdistill.experiments.bench.matrix import four
from recdistill.experiments.bench.reading import OWN, read_matrix

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "bench").glob("*.yaml"))


def test_a_cell_is_the_base_with_its_own_settings(tmp_path: Path) -> None:
    text = MATRIX.replace("cells:\n  base:", "base: {teacher: {layers: 3, train: {batch_size: 4}}}\ncells:\n  base:")
    made = matrix(tmp_path, text.replace("{teacher.precision: bf16}", "{teacher.train.batch_size: 8, rows: 0}"))
    base, other = made.cells["base"].config.teacher, made.cells["bf16"].config.teacher
    assert (base.layers, base.train.batch_size, other.layers, other.train.batch_size) == (3, 4, 3, 8)
    assert (made.cells["base"].sizes.rows, made.cells["bf16"].sizes.rows) == (64, 0)
    assert made.cells["bf16"].settings == {"teacher.train.batch_size": 8}
    assert base.train.max_epochs == OWN["teacher.train.max_epochs"] == 1


def test_pairs_are_cells_that_ask_for_the_same(tmp_path: Path) -> None:
    assert matrix(tmp_path).pairs() == [("base", "base-again")]
    same = matrix(tmp_path, MATRIX.replace("{teacher.precision: bf16}", "{teacher.precision: fp32}"))
    assert same.pairs() == [("base", "base-again"), ("base", "bf16")]


def test_the_four_cells_of_a_factorial_are_found_by_their_settings(tmp_path: Path) -> None:
    made = matrix(tmp_path)
    assert four(made.sections[1], made.cells) == ("base", "nf4", "saved", "nf4-saved")


MISTAKES = {
    "unknown: 1\n": "unknown: unknown; there are name,",
    "repeats: 2\n": "repeats: 2 is out of range; it must be a whole number, 3 or more",
    "rows: many\n": "rows: 'many' is out of range",
    "threads: 0\n": "threads: 0 is out of range",
    "base: {teacher: {layer: 3}}\n": "cells.base: ",
    "base: {teacher: {precision: fp8}}\n": "cells.base: ",
    "base: {run: x}\n": "base.run: set by the bench itself",
    "base: {teacher: {train: {max_epochs: 3}}}\n": "base.teacher.train.max_epochs: set by the bench itself",
    "title: {ja: A}\n": "title: needs en",
    "name: a/b\n": "name: 'a/b' must be the name of a folder",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_name_their_key(line: str, tmp_path: Path) -> None:
    key = line.split(":")[0]
    kept = "".join(old for old in MATRIX.splitlines(keepends=True) if not old.startswith(f"{key}:"))
    with pytest.raises(UserError) as error:
        matrix(tmp_path, line + kept)
    assert str(error.value).startswith(MISTAKES[line])
    assert "\n" not in str(error.value)


CHANGES = {
    ("  base-again: {}\n", ""): "cells: no A/A pair to measure the noise by",
    ("base-again: {}", "base: {}"): "'base' is there twice",
    ("bf16: {teacher.precision: bf16}", "bf16: {teacher.precison: bf16}"): "cells.bf16: ",
    ("bf16: {teacher.precision: bf16}", "bf16: {data.min_user_events: 9}"): "cells.bf16.data.min_user_events: a cell",
    ("bf16: {teacher.precision: bf16}", "bf16: {seed: 9}"): "cells.bf16.seed: a cell may set",
    ("  base: {}\n", "  base: {teacher.precision: bf16}\n"): "cells.base: there must be a cell of this name",
    ("cells: [base, bf16]", "cells: [base, bf17]"): "sections[1].cells: no cell is called 'bf17'",
    ("cells: [base, bf16]", "cells: [bf16, bf16]"): "sections[1].cells: a cell is there twice",
    ("cells: [base, bf16]", "cell: [bf16]"): "sections[1].cell: unknown",
    ("cells: [nf4, saved, nf4-saved]", "cells: [nf4, saved]"): "sections[2].factorial: its cells must hold",
    ("name: memory", "name: precision"): "sections: two are called 'precision'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_mistakes_in_cells_and_sections_name_their_key(change: tuple[str, str], tmp_path: Path) -> None:
    old, new = change
    assert old in MATRIX
    with pytest.raises(UserError) as error:
        matrix(tmp_path, MATRIX.replace(old, new, 1))
    assert CHANGES[change] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["second_student", "none"])
def test_a_cell_without_a_language_model_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=rf"^cells\.bf16: teacher\.kind: {kind} has no language model"):
        matrix(tmp_path, MATRIX.replace("bf16: {", f"bf16: {{teacher.kind: {kind}, teacher.title_decay: 0.0, ", 1))


def test_a_cell_that_trains_its_title_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cells\.bf16: teacher\.title_tuning: a bench does not measure"):
        matrix(tmp_path, MATRIX.replace("bf16: {", "bf16: {teacher.title_tuning.steps: 3, ", 1))


def test_the_fingerprint_follows_settings_sizes_and_threads(tmp_path: Path) -> None:
    made, larger = matrix(tmp_path), matrix(tmp_path, MATRIX.replace("rows: 64", "rows: 65", 1))
    base = made.cells["base"]
    names = {base.fingerprint(1), base.fingerprint(2), made.cells["bf16"].fingerprint(1)}
    assert len(names | {larger.cells["base"].fingerprint(1)}) == 4
    assert base.fingerprint(1) == matrix(tmp_path).cells["base"].fingerprint(1)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_matrix_is_read_and_opens_with_its_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#")
    assert f"recdistill bench configs/bench/{path.name}" in text.split("\n\n")[0] + text.split("\n\n")[1]
    assert read_matrix(path).pairs()


def test_there_are_matrices_to_start_from() -> None:
    assert {path.stem for path in CONFIGS} == {"smoke", "report-cpu", "report-a100"}


def test_what_the_package_refuses_is_a_row_where_the_cell_says_so() -> None:
    matrix = read_matrix(next(path for path in CONFIGS if path.stem == "report-cpu"))
    assert matrix.cells["use-cache"].refusal.startswith("export.use_cache: gate.kind: instance weighs all tokens")
    assert not matrix.cells["growing-cache"].refusal
    assert ("base", "use-cache") not in matrix.pairs()
