import re
from xml.etree import ElementTree

from recdistill.reporting.collect import CurvePoint
from recdistill.reporting.plots import INK, Estimate, bars, curves, intervals, plain_labels, shares, slices

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_text_stays_text_in_the_pages_color():
    svg = intervals("a", ["one", "two"], {"NDCG@10": [Estimate(0.1, 0.05, 0.15), Estimate(0.2, 0.1, 0.3)]})
    assert {"one", "two", "NDCG@10"} <= set(texts(svg))
    assert "currentColor" in svg
    assert INK not in svg
    assert not re.findall(r"purl\.org|creativecommons", svg)


def test_same_input_same_drawing_and_ids_of_two_drawings_differ():
    first, again, other = (bars(name, [("a", "x", 1.0), ("b", "y", 2.0)], "seconds") for name in ("p", "p", "q"))
    assert first == again
    ids, other_ids = (set(re.findall(r'id="([^"]*)"', svg)) for svg in (first, other))
    assert ids
    assert not ids & other_ids
    used = set(re.findall(r'(?:url\(#|href="#)([^")]*)', first))
    assert used <= ids


def test_labels_are_text_not_markup_nor_formulas():
    svg = shares("s", plain_labels(['<b>&"', "$x$", "三郎", "a" * 40], "user"), [[0.25, 0.75]] * 4)
    assert {'<b>&"', "$x$", "user 3", "a" * 15 + "~"} <= set(texts(svg))


def test_bars_carry_their_values():
    assert {"1.25", "1,234", "a: x"} <= set(texts(bars("b", [("a", "x", 1.25), ("b", "y", 1234.4)], "GiB")))


def test_curves_with_gaps():
    untrained = CurvePoint(0, 0, 0, None, 0.01, 0.1)
    points = [untrained, CurvePoint(1, 5, 50, 6.5, None, 1), CurvePoint(2, 10, 100, 6.0, 0.05, 2)]
    found = texts(curves("c", {"student": points, "teacher": [untrained]}))
    assert {"student: loss", "teacher: validation NDCG@10", "epoch"} <= set(found)


def test_slices_have_a_group_each_and_a_legend():
    estimates = [Estimate(0.1, 0.0, 0.2), Estimate(0.2, 0.1, 0.3)]
    found = texts(slices("s", ["0-4", "5-90"], "events", {"student": estimates, "teacher": estimates}, "NDCG@10"))
    assert {"0-4", "5-90", "events", "student", "teacher"} <= set(found)
