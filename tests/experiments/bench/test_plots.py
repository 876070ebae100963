from recdistill.experiments.bench.plots import Point, dots, stacked, tradeoff


def test_drawings_name_their_cells_and_phases() -> None:
    times = stacked("times", ["base", "bf16"], {"train step": [1.0, 4.0], "export": [1.0, 3.0]}, "seconds")
    peaks = dots("memory", ["base", "bf16"], {"train step": [2.0, None], "export": [1.0, 1.5]}, "GiB")
    for svg in (times, peaks):
        assert all(f">{text}<" in svg for text in ("base", "bf16", "train step", "export"))
    assert ">7.0<" in times


def test_only_what_is_worth_a_name_has_one() -> None:
    points = [Point("base", 10, 0.1, True), Point("same", 10.1, 0.1, False), Point("far", 40, 0.1, True)]
    svg = tradeoff("tradeoff", points, "base", "speed", "NDCG@10")
    assert ">far<" in svg
    assert ">same<" not in svg
