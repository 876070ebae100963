from pathlib import Path

import pytest

from experiments.bench.rows import MATRIX, ended, matrix, results, row
from recdistill.errors import UserError
from recdistill.experiments.bench.language import BenchTexts
from recdistill.experiments.bench.matrix import Matrix
from recdistill.experiments.bench.report import build_document, write_report
from recdistill.experiments.bench.results import Results, add_row
from recdistill.experiments.bench.tables import ratio
from recdistill.experiments.bench.words import finding, number, outcome, percent
from recdistill.languages import Language
from recdistill.reporting.html import to_html
from recdistill.reporting.markdown import to_markdown

TURNS = (1, 2, 3)
EN, JA = BenchTexts("en"), BenchTexts("ja")


@pytest.fixture
def made(tmp_path: Path) -> Matrix:
    return matrix(tmp_path)


@pytest.fixture
def study(made: Matrix) -> Results:
    users = [0.1, 0.5, 0.0, 0.3]
    rows = []
    for turn in TURNS:
        rows += [row(made, cell, turn, gib=50.0, per_user=users) for cell in ("base", "base-again")]
        rows.append(row(made, "bf16", turn, train=38 + turn, gib=31.0, per_user=users))
        rows.append(row(made, "nf4", turn, gib=41.0, train=12.0))
        rows.append(row(made, "saved", turn, gib=15.0, train=13.0, in_effect=turn > 1))
        rows.append(row(made, "compiled", turn, train=5.0, compile_seconds=50.0))
    rows.append(ended(made, "nf4-saved", 1, "out_of_memory", "killed by the system"))
    return results(made, *rows)


def test_a_difference_is_told_with_its_size_and_range(study: Results) -> None:
    told = finding(study, "bf16", "base", EN)
    assert told.startswith("bf16 against base: training 4.0 times slower (3.9–4.1); peak memory while training -38 %")
    assert "within noise: validation 0.0 % (0.0 % … 0.0 %)" in told
    assert told.endswith("NDCG@10 identical for every user.")


def test_the_same_in_japanese(study: Results) -> None:
    assert finding(study, "bf16", "base", JA).startswith("bf16（base 比）: 学習は 4.0 倍の時間（3.9～4.1 倍）、")


def test_a_setting_without_evidence_is_not_in_effect_and_nothing_else(study: Results) -> None:
    told = finding(study, "saved", "base", EN)
    assert told.startswith("saved: not in effect, since teacher.gradient_checkpointing left no evidence")
    assert "noise" not in told
    assert outcome(study, "saved", "base", ("train_seconds",), EN) == "not in effect"


def test_a_cell_beside_a_reference_that_was_not_in_effect_is_not_judged(made: Matrix) -> None:
    rows = [row(made, cell, turn) for cell in ("base", "base-again", "compiled") for turn in TURNS]
    rows += [row(made, "saved", turn, train=90.0, in_effect=False) for turn in TURNS]
    found = results(made, *rows)
    assert finding(found, "compiled", "saved", EN) == (
        "compiled: cannot be judged; its reference saved is: not in effect."
    )
    assert outcome(found, "compiled", "saved", ("train_seconds",), EN) == "reference: not in effect"
    assert finding(found, "compiled", "saved", JA).endswith("基準の saved は「未適用」です。")
    assert ratio(found, "compiled", "saved", "train_seconds") == ""
    assert ratio(found, "compiled", "base", "train_seconds") == "1.00 [1.00, 1.00]"


def test_a_setting_that_nothing_looks_for_is_told_as_not_judged(made: Matrix) -> None:
    rows = [row(made, cell, turn) for cell in ("base", "base-again") for turn in TURNS]
    rows += [row(made, "bf16", turn, train=40.0, in_effect=None) for turn in TURNS]
    found = results(made, *rows)
    assert finding(found, "bf16", "base", EN).endswith("; not judged whether it was in effect: teacher.precision.")
    text = to_markdown(build_document(found, EN, "m.yaml", Path("out")))
    assert "| bf16 | teacher.precision | bf16 | not judged | nothing |" in text


def test_what_ended_badly_says_how(study: Results, made: Matrix) -> None:
    assert finding(study, "nf4-saved", "base", EN) == "nf4-saved: out of memory: killed by the system"
    assert "プログラムの出力（英語のまま）: killed by" in finding(study, "nf4-saved", "base", JA)
    assert finding(results(made), "bf16", "base", EN) == "bf16: not run."
    assert outcome(study, "nf4-saved", "base", ("train_seconds",), EN) == "out of memory"


def test_an_equal_cell_is_inside_the_noise(study: Results) -> None:
    assert outcome(study, "base-again", "base", ("train_seconds", "train_memory"), EN) == "within noise"


def test_without_a_pair_nothing_is_called_a_difference(made: Matrix) -> None:
    lone = results(made, *(row(made, cell, 1, train=9.0 * len(cell)) for cell in ("base", "bf16")))
    assert finding(lone, "bf16", "base", EN) == EN("no_floor", cell="bf16")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_report_has_every_part(study: Results, language: Language, tmp_path: Path) -> None:
    document = build_document(study, BenchTexts(language), "configs/bench/made-up.yaml", Path("runs/bench/made-up"))
    text, page = to_markdown(document), to_html(document)
    texts = BenchTexts(language)
    for part in ("environment", "method", "overview", "tradeoff", "conclusions", "reproduce"):
        assert texts(f"contents_{part}") in text
    for section in study.matrix.sections:
        assert texts.section(section) in text
        assert texts.section(section) in page
    assert "recdistill bench configs/bench/made-up.yaml" in text
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_compiling_has_its_break_even(study: Results) -> None:
    text = to_markdown(build_document(study, EN, "m.yaml", Path("out")))
    assert (
        "compilation takes 50.0 s more than the warm-up of base and saves 0.625 s per step; it pays off from step 80"
        in text
    )


def test_the_two_by_two_is_left_out_where_a_cell_is_missing(study: Results, made: Matrix) -> None:
    text = to_markdown(build_document(study, EN, "m.yaml", Path("out")))
    assert "not all four cells can be used: saved: not in effect; nf4-saved: out of memory." in text
    peaks = {"base": 50.0, "base-again": 50.0, "nf4": 41.0, "saved": 15.0, "nf4-saved": 7.0}
    whole = results(made, *(row(made, cell, turn, gib=gib) for cell, gib in peaks.items() for turn in TURNS))
    text = to_markdown(build_document(whole, EN, "m.yaml", Path("out")))
    assert "| peak memory while training | quantization | -8.50 GiB | difference |" in text
    assert "by -43.00 GiB from 50.0" in text
    assert "quantization alone by -9.00, gradient\\_checkpointing alone by -35.00" in text


def test_the_method_tells_what_luck_alone_would_make_and_where_the_floor_is_anothers(tmp_path: Path) -> None:
    made = matrix(tmp_path, MATRIX.replace("cells: [compiled]}", "cells: [compiled], against: bf16}"))
    cells = ("base", "base-again", "bf16", "compiled")
    whole = results(made, *(row(made, cell, turn) for cell in cells for turn in TURNS))
    text = to_markdown(build_document(whole, EN, "m.yaml", Path("out")))
    assert "in about 1 % of comparisons with 3 repetitions" in text
    assert "For the 12 comparisons made here, expect about 0.12 by chance alone" in text
    assert "Comparisons of or with bf16 involve other work" in text
    assert "12 件の比較では約 0.12 件" in to_markdown(build_document(whole, JA, "m.yaml", Path("out")))


def test_a_two_by_two_of_too_few_turns_says_so(made: Matrix) -> None:
    cells = ("base", "base-again", "nf4", "saved", "nf4-saved")
    few = results(made, *(row(made, cell, turn) for cell in cells for turn in TURNS[: 2 if cell == "nf4" else 3]))
    assert EN("factorial_turns", turns=3) in to_markdown(build_document(few, EN, "m.yaml", Path("out")))


def test_the_floor_is_told_on_both_sides_and_peaks_are_of_all_rows(made: Matrix) -> None:
    rows = [row(made, "base", turn, train=10.0) for turn in TURNS]
    rows += [row(made, "base-again", turn, train=12.6) for turn in TURNS]
    for each, peak in zip(rows, (1, 2, 3, 40, 50, 60), strict=True):
        each["throughput"]["matmul_peak_flops"] = peak * 1e9
    text = to_markdown(build_document(results(made, *rows), EN, "m.yaml", Path("out")))
    assert "| training | -20.6 % … +26.0 % |" in text
    assert "float32 21.5 GFLOP/s" in text, "the median of six"


def test_files_are_written_and_an_empty_folder_is_told(study: Results, made: Matrix, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results of this matrix"):
        write_report(made, tmp_path / "empty", "en", "m.yaml")
    for each in study.all():
        add_row(tmp_path / "out", each)
    write_report(made, tmp_path / "out", "en", "m.yaml")
    found = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"report.md", "report.html", "times.svg", "memory.svg", "tradeoff.svg"} <= found


def test_figures_as_a_person_reads_them() -> None:
    assert [number(value) for value in (0, 0.0123, 1.234, 12.34, 1234.5)] == ["0.00", "0.012", "1.23", "12.3", "1,234"]
    assert [percent(ratio) for ratio in (1.5, 1.02, 0.62)] == ["+50 %", "+2.0 %", "-38 %"]
