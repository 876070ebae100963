"""The generated shop has the counts it is asked for, titles for everything, and is the same each time."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

import shop


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[str, str]:
    sizes = ("--customers", "30", "--products", "200", "--orders", "150")
    monkeypatch.setattr("sys.argv", ["shop.py", "--out", str(folder), *sizes, *more])
    shop.main()
    return (folder / "orders.csv").read_text(), (folder / "products.csv").read_text()


def test_counts_repeats_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders, products = write(tmp_path, monkeypatch)
    titles = {row["item_id"]: row["title"] for row in csv.DictReader(products.splitlines())}
    bought: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in csv.DictReader(orders.splitlines()):
        bought[row["user_id"]].append((row["item_id"], int(row["timestamp"])))
    assert (len(titles), len(bought), sum(map(len, bought.values()))) == (200, 30, 150)
    for history in bought.values():
        items, times = zip(*history, strict=True)
        assert len(set(items)) == len(items) >= 3
        assert set(items) <= set(titles)
        assert list(times) == sorted(set(times))
    assert all(any(kind in title for kind in shop.KINDS) for title in titles.values())


def test_a_seed_is_a_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "a", monkeypatch)
    assert write(tmp_path / "b", monkeypatch) == first
    assert write(tmp_path / "c", monkeypatch, "--seed", "1") != first
