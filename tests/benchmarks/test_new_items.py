"""Items taken out of a run's data, and asked for again."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import new_items
from chain import NUM_ITEMS, options, write_interactions
from recdistill.cli import main
from recdistill.data.prepared import PreparedData


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """Whole data, its split, and a run on that."""
    folder = tmp_path_factory.mktemp("new-items-bench")
    events = write_interactions(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        assert main(["prepare", *options(folder / "whole", tiny_llm, events)]) == 0
        new_items.split(folder / "whole/prepare", folder / "split", 0.2, 1)
        more = (f"--data.items_path={folder / 'split/known.csv'}",)
        assert main(["distill", *options(folder / "run", tiny_llm, folder / "split/events.csv", *more)]) == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_taken_out_is_nowhere_but_among_the_new_items(folder: Path) -> None:
    known, new = ({row["item_id"] for row in rows(folder / "split" / name)} for name in ("known.csv", "new.csv"))
    assert len(new) == round(0.2 * NUM_ITEMS)
    assert len(known) == NUM_ITEMS - len(new)
    assert not known & new
    whole = PreparedData.load(folder / "whole/prepare")
    kept = [whole.item_ids[item] for item in whole.items if whole.item_ids[item] in known]
    assert [row["item_id"] for row in rows(folder / "split/events.csv")] == kept
    assert set(PreparedData.load(folder / "run/prepare").item_ids[1:]) <= known


def test_a_question_is_a_new_item_behind_the_known_ones_before_it() -> None:
    histories = [[1, 4, 2, 5, 3], [2, 3, 1], [4, 1, 2], [3, 5, 4, 1]]
    lengths = np.array([len(history) for history in histories])
    names = ["", "a", "b", "c", "x", "y"]
    whole = PreparedData(
        np.concatenate(histories).astype(np.int32),
        np.zeros(lengths.sum(), np.int64),
        np.concatenate([[0], np.cumsum(lengths)]),
        (lengths - 2).astype(np.int32),
        (lengths - 1).astype(np.int32),
        names,
        names,
        "d",
        "s",
    )
    numbered = ["", "b", "a", "y", "x"]  # "c" is not known to the run; "y" and "x" are its new items
    data, targets, seen = new_items.questions(whole, numbered, 2, half=0)
    # Users 0 and 2; user 2's new item stands first, behind nothing. User 0 has had "x" before "y".
    assert [data.history(user, int(data.validation_ends[user])).tolist() for user in range(data.num_users)] == [
        [2, 1, 3]
    ]
    assert [items.tolist() for items in seen] == [[4]]
    assert data.target_items(targets).tolist() == [3]
    data, _, seen = new_items.questions(whole, ["", "c", "y", "x"], 1, half=1)
    assert data.items.tolist() == [1, 3]
    assert [items.tolist() for items in seen] == [[2]]


def test_known_items_are_out_of_the_way_and_likeness_prefers_the_like() -> None:
    names = ["", "a", "b", "x", "y"]
    data = PreparedData(
        np.array([1, 2, 3], np.int32),
        np.zeros(3, np.int64),
        np.array([0, 3]),
        np.array([2], np.int32),
        np.array([3], np.int32),
        names,
        names,
        "d",
        "s",
    )
    vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.1, 2.0], [2.0, 0.1]])
    likeness = new_items.Likeness(vectors, data, 10)
    scores = likeness.score(np.array([0], np.int32), np.array([2], np.int32))[0]
    shares = torch.tensor([0.9, 1.0]) / 1.9
    torch.testing.assert_close(scores, vectors @ shares)
    row = np.array([0], np.int32), np.array([2], np.int32)
    alone = new_items.Unseen(likeness, [np.array([4], np.int32)], 2).score(*row)[0]
    assert torch.isinf(alone[[0, 1, 2, 4]]).all()
    assert alone[3] == scores[3]
    among_all = new_items.Unseen(likeness, [np.array([], np.int32)]).score(*row)[0]
    assert torch.equal(among_all[1:], scores[1:])


def test_chance_is_the_mean_over_all_places() -> None:
    gains = [1 / np.log2(1 + place) for place in range(1, 11)]
    found = new_items.by_chance(np.array([4, 40]))
    assert found["hit_rate@10"] == (1 + 0.25) / 2
    assert found["ndcg@10"] == pytest.approx((sum(gains[:4]) / 4 + sum(gains) / 40) / 2, abs=1e-5)


def test_it_measures_both_halves_and_leaves_the_run_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
    before = {path: path.read_bytes() for path in (folder / "run/distilled").glob("*.*")}

    def measured(half: str) -> dict[str, Any]:
        arguments = [
            "measure",
            "--whole",
            folder / "whole/prepare",
            "--split",
            folder / "split",
            "--run",
            folder / "run",
        ]
        monkeypatch.setattr(sys, "argv", ["new_items.py", *map(str, arguments), "--half", half])
        new_items.main()
        return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))

    first, second = measured("first"), measured("second")
    assert (first["half"], second["half"]) == ("first", "second")
    assert 0 < first["targets"] <= 20
    for found in (first, second):
        assert found["new"] == round(0.2 * NUM_ITEMS)
        for among in ("among all", "among new"):
            assert set(found[among]) == {"student", "likeness", "chance"}
        # Five new items among themselves always stand among the first ten.
        assert found["among new"]["student"]["hit_rate@10"]["mean"] == 1
        assert found["validation"]["after"]["ndcg@10"]["mean"] <= found["validation"]["before"]["ndcg@10"]["mean"]
        assert 0 <= found["validation"]["new of those listed"] <= 0.5
    assert {path: path.read_bytes() for path in (folder / "run/distilled").glob("*.*")} == before
