"""Several columns of text from the items file to the title encoder, with what is too long and what is not there."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from chain import NUM_ITEMS, options, write_interactions
from recdistill.cli import main
from recdistill.data.prepared import PreparedData

LONG, WITHOUT, UNTITLED = "i3", "i5", "i7"


def write_texts(path: Path) -> None:
    """Title, description, brand and category; one description is too long, one item has nothing, one no title."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "description", "brand", "category"])
        for number in range(1, NUM_ITEMS + 1):
            item = f"i{number}"
            description = "word " * 400 if item == LONG else f"about {number}"
            row = [f"Film {number}", description, f"maker {number % 3}", "a|b"]
            if item == WITHOUT:
                row = [""] * 4
            elif item == UNTITLED:
                row[0] = ""
            writer.writerow([item, *row])


def test_any_columns_are_read_the_long_cut_and_counted_and_nothing_stays_nothing(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(tmp_path / "cache"))
    events = write_interactions(tmp_path / "data")
    write_texts(events.with_name("items.csv"))
    _, *loud = options(tmp_path / "run", tiny_llm, events, "--data.text=[description,brand,category]")
    assert main(["distill", *loud]) == 0
    told = capsys.readouterr().err
    data = PreparedData.load(tmp_path / "run" / "prepare")
    text = dict(zip(data.item_ids, data.texts, strict=True))
    assert text["i1"] == "Film 1. Description: about 1. Brand: maker 1. Category: a, b."
    assert text[UNTITLED] == "Description: about 7. Brand: maker 1. Category: a, b."
    assert text[WITHOUT] == ""
    read = len({one for one in data.texts[1:] if one})
    line = f"1 of {read} texts are longer than the 506 tokens that llm reads; the rest of them was cut off"
    assert told.count(line) == 1
    evidence = json.loads((tmp_path / "run" / "teacher" / "evidence.json").read_text())["title_encoder"]
    assert (evidence["cut"], evidence["texts"]) == (1, read)
    embeddings = load_file(tmp_path / "run" / "distilled" / "title_map.safetensors")["embeddings"]
    unread = np.flatnonzero(~(embeddings != 0).any(dim=1).numpy()) + 1
    assert [data.item_ids[item] for item in unread] == [WITHOUT]
