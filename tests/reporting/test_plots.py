import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.ft2font import FT2Font

from recdistill.reporting.collect import CurvePoint
from recdistill.reporting.language import Texts
from recdistill.reporting.plots import INK, Estimate, bars, curves, intervals, plain_labels, shares, slices
from recdistill.reporting.wide_text import ORNAMENTS, THIN_SPACE, columns

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_text_stays_text_in_the_pages_color() -> None:
    svg = intervals("a", ["one", "two"], {"NDCG@10": [Estimate(0.1, 0.05, 0.15), Estimate(0.2, 0.1, 0.3)]})
    assert {"one", "two", "NDCG@10"} <= set(texts(svg))
    assert "currentColor" in svg
    assert INK not in svg
    assert not re.findall(r"purl\.org|creativecommons", svg)


def test_same_input_same_drawing_and_ids_of_two_drawings_differ() -> None:
    first, again, other = (bars(name, [("a", "x", 1.0), ("b", "y", 2.0)], "seconds") for name in ("p", "p", "q"))
    assert first == again
    ids, other_ids = (set(re.findall(r'id="([^"]*)"', svg)) for svg in (first, other))
    assert ids
    assert not ids & other_ids
    used = set(re.findall(r'(?:url\(#|href="#)([^")]*)', first))
    assert used <= ids


def test_labels_are_text_not_markup_nor_formulas() -> None:
    svg = shares("s", plain_labels(['<b>&"', "$x$", "三郎", "a" * 40], "user"), [[0.25, 0.75]] * 4, Texts("en"))
    assert {'<b>&"', "$x$", "user 3", "a" * 15 + "~"} <= set(texts(svg))


def test_bars_carry_their_values() -> None:
    assert {"1.25", "1,234", "a: x"} <= set(texts(bars("b", [("a", "x", 1.25), ("b", "y", 1234.4)], "GiB")))


def test_curves_with_gaps() -> None:
    untrained = CurvePoint(0, 0, 0, None, 0.01, 0.1)
    points = [untrained, CurvePoint(1, 5, 50, 6.5, None, 1), CurvePoint(2, 10, 100, 6.0, 0.05, 2)]
    found = texts(curves("c", {"student": points, "teacher": [untrained]}, Texts("en")))
    assert {"student: loss", "teacher: validation NDCG@10", "epoch"} <= set(found)


def test_slices_have_a_group_each_and_a_legend() -> None:
    estimates = [Estimate(0.1, 0.0, 0.2), Estimate(0.2, 0.1, 0.3)]
    found = texts(slices("s", ["0-4", "5-90"], "events", {"student": estimates, "teacher": estimates}, "NDCG@10"))
    assert {"0-4", "5-90", "events", "student", "teacher"} <= set(found)


def left_end(svg: str, text: str) -> float:
    """Where a text that ends at its place begins, in the SVG's units, as wide as the letters are at 9 points."""
    node = next(node for node in ElementTree.fromstring(svg).iter(f"{SVG}text") if node.text == text)
    assert "text-anchor: end" in node.attrib["style"]
    x = float(node.attrib["x"])
    return x - 9 * len(text)


def test_japanese_is_text_with_its_full_width_and_a_font_to_draw_it() -> None:
    words = Texts("ja")
    estimates = {"NDCG@10": [Estimate(0.1, 0.05, 0.15), Estimate(0.2, 0.1, 0.3)]}
    svg = intervals("a", [words.short("student"), words.short("cooccurrence")], estimates)
    assert {"生徒モデル", "共起ベースライン"} <= set(texts(svg))
    assert left_end(svg, "共起ベースライン") >= -1, "a label is cut at the drawing's edge"
    assert "Noto Sans CJK JP" in svg
    assert svg == intervals("a", [words.short("student"), words.short("cooccurrence")], estimates)


def test_a_japanese_drawing_says_nothing_in_english(recwarn: pytest.WarningsRecorder) -> None:
    words = Texts("ja")
    points = [CurvePoint(0, 0, 0, None, 0.01, 0.1), CurvePoint(1, 5, 50, 6.5, 0.02, 1)]
    found = texts(curves("c", {"student": points}, words)) + texts(shares("s", ["ユーザー 1"], [[0.25, 0.75]], words))
    assert {"生徒モデル: 学習損失", "エポック", "エキスパート 2", "重み", "ユーザー 1"} <= set(found)
    assert not [text for text in found if re.search("[a-z]{3}", text)]
    assert not [one for one in recwarn if "Glyph" in str(one.message)]


def test_every_stand_in_is_in_the_font_that_measures() -> None:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    glyphs = FT2Font(str(path)).get_charmap()
    assert all(ord(letter) in glyphs for letter in (*ORNAMENTS, THIN_SPACE))
    labels = [chr(0x4E00 + place) for place in range(len(ORNAMENTS) + 1)]
    with pytest.raises(ValueError, match="different wide letters"):
        intervals("a", labels, {"NDCG@10": [Estimate(0.1, 0.05, 0.15)] * len(labels)})


def test_a_legend_has_as_many_columns_as_fit() -> None:
    assert columns(["abc"] * 6, 5, 46.8) == 5
    assert columns(["人気順ベースライン", "共起ベースライン", "EASE ベースライン", "生徒モデル"] * 2, 5, 46.8) == 3
    assert columns(["あ" * 60, "b"], 4, 46.8) == 1
    assert columns(["a", "b"], 5, 46.8) == 2
