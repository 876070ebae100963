"""A part of a catalog, by titles."""

from pathlib import Path

import polars as pl
import pytest

import part_of_catalog


def test_what_matches_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pl.DataFrame({"user": [1, 2, 1, 3], "sku": [7, 8, 9, 7], "at": [4, 3, 2, 1]}).write_parquet(tmp_path / "in.parquet")
    pl.DataFrame({"sku": [7, 8, 9], "name": ["Wii Sports", "Halo", "wiimote"]}).write_csv(tmp_path / "items.csv")
    wanted = ["--interactions", str(tmp_path / "in.parquet"), "--items", str(tmp_path / "items.csv"), "--item", "sku"]
    wanted += ["--title", "name", "--out", str(tmp_path / "out")]
    part_of_catalog.main([*wanted, "--pattern", "(?i)wii"])
    assert capsys.readouterr().out == "2 of 3 items, 3 of 4 interactions\n"
    assert pl.read_parquet(tmp_path / "out" / "interactions.parquet").rows() == [(1, 7, 4), (1, 9, 2), (3, 7, 1)]
    assert pl.read_csv(tmp_path / "out" / "items.csv").rows() == [(7, "Wii Sports"), (9, "wiimote")]
    with pytest.raises(SystemExit, match="no title matches Sega"):
        part_of_catalog.main([*wanted, "--pattern", "Sega"])
    with pytest.raises(SystemExit, match="--title: no column brand; there are sku, name"):
        part_of_catalog.main([*wanted, "--pattern", "Wii", "--title", "brand"])
