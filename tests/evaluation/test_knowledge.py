"""What pretrained knowledge is worth: found between runs that differ in their models' weights and in nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recdistill.data.prepared import PreparedData
from recdistill.evaluation.compare import compare
from recdistill.reporting.comparison import comparison_tables
from recdistill.reporting.knowledge import against_control
from recdistill.reporting.language import Texts

KNOWN, LOST = [1, 1, 3, 2], [2, 2, 9, 4]
FEW: dict[str, Any] = {"bootstrap_samples": 50, "permutations": 64}


@pytest.fixture
def data(make_data: Callable[..., PreparedData]) -> PreparedData:
    return make_data([1, 2, 3, 4], [4, 3, 2, 5], [1, 3, 5, 6], [6, 5, 4, 2], num_items=30)


@pytest.fixture
def stored(store_run: Callable[..., Path], data: PreparedData, tmp_path: Path) -> Callable[..., Path]:
    """A run's folder with a teacher of the given settings."""

    def store(name: str, ranks: list[int], seed: int = 1, **teacher: object) -> Path:
        run = store_run(tmp_path / name, data, {"student": [5, 6, 7, 8], "teacher": ranks}, seed=seed)
        manifest = json.loads((run / "student" / "manifest.json").read_text())
        (run / "teacher").mkdir()
        made = manifest | {"step": "teacher", "config": {"layers": 2, **teacher}}
        (run / "teacher" / "manifest.json").write_text(json.dumps(made))
        evaluation = run / "evaluation" / "manifest.json"
        evaluated = json.loads(evaluation.read_text())
        evaluated["inputs"] |= {"teacher": "made"}  # without it the evaluation was made without a teacher
        evaluation.write_text(json.dumps(evaluated))
        (run / "teacher" / "timings.json").write_text((run / "student" / "timings.json").read_text())
        return run

    return store


def ndcg(ranks: list[int]) -> float:
    return float(np.mean([1 / np.log2(1 + rank) for rank in ranks]))


def test_hand_worked_whichever_variant_comes_first(stored: Callable[..., Path]) -> None:
    lost = stored("lost", LOST, llm_weights="shuffled", title_encoder_weights="shuffled")
    known = stored("known", KNOWN, llm_weights="pretrained", title_encoder_weights="pretrained")
    for order in (("lost", "known"), ("known", "lost")):
        found = compare({name: [{"lost": lost, "known": known}[name]] for name in order}, **FEW)
        (worth,) = found["knowledge"]
        assert (worth["variant"], worth["control"]) == ("known", "lost")
        assert worth["weights"] == {"teacher.llm_weights": "shuffled", "teacher.title_encoder_weights": "shuffled"}
        (entry,) = worth["entries"]  # the student knows no titles: it is the same in both, and no question
        assert entry["model"] == "teacher"
        assert entry["against"] == {"variant": "lost", "model": "teacher"}
        assert entry["difference"] == pytest.approx(ndcg(KNOWN) - ndcg(LOST))
        assert entry["gain_percent"] == pytest.approx(100 * (ndcg(KNOWN) / ndcg(LOST) - 1))
        # Four users, all better: two of sixteen patterns of signs.
        assert entry["p"] == pytest.approx(2 / 16)


def test_runs_that_differ_in_more_are_no_pair(stored: Callable[..., Path]) -> None:
    known = stored("known", KNOWN, llm_weights="pretrained")
    runs = {
        "deeper": stored("deeper", LOST, llm_weights="shuffled", layers=4),
        "other": stored("other", LOST, llm_weights="pretrained", title_decay=0.0),
        "same": stored("same", LOST, llm_weights="pretrained"),
    }
    for name, run in runs.items():
        assert compare({"known": [known], name: [run]}, **FEW)["knowledge"] == []


def test_two_controls_are_no_pair_and_each_has_its_own(stored: Callable[..., Path]) -> None:
    runs = {
        "random": [stored("random", LOST, llm_weights="random")],
        "shuffled": [stored("shuffled", [2, 2, 9, 5], llm_weights="shuffled")],
        "old": [stored("old", KNOWN)],  # from before there was the setting
    }
    found = compare(runs, **FEW)
    assert [(one["variant"], one["control"]) for one in found["knowledge"]] == [("old", "random"), ("old", "shuffled")]


def test_seeds_of_a_variant_count_together(stored: Callable[..., Path]) -> None:
    known = [stored(f"known{seed}", KNOWN, seed, llm_weights="pretrained") for seed in (1, 2)]
    lost = [stored(f"lost{seed}", LOST, seed, llm_weights="shuffled") for seed in (1, 2)]
    (worth,) = compare({"known": known, "lost": lost}, **FEW)["knowledge"]
    assert worth["entries"][0]["seeds"] == 2


def test_other_numbers_of_a_comparison_are_what_they_were(stored: Callable[..., Path]) -> None:
    known = stored("known", KNOWN, llm_weights="pretrained")
    same = stored("same", LOST, llm_weights="pretrained")
    lost = stored("lost", LOST, llm_weights="shuffled")
    plain, paired = (compare({"known": [known], name: [run]}, **FEW) for name, run in (("x", same), ("x", lost)))
    assert plain["entries"] == paired["entries"]
    assert plain["knowledge"] != paired["knowledge"]


def test_it_is_told_in_a_line(stored: Callable[..., Path]) -> None:
    known, lost = stored("known", KNOWN, llm_weights="pretrained"), stored("lost", LOST, llm_weights="shuffled")
    told = comparison_tables(compare({"known": [known], "lost": [lost]}, **FEW))
    gain = 100 * (ndcg(KNOWN) / ndcg(LOST) - 1)
    assert "What pretrained knowledge is worth (NDCG@10): known minus lost (teacher.llm_weights: shuffled)." in told
    assert f"teacher: {gain:+.1f} % ({ndcg(KNOWN) - ndcg(LOST):+.4f}, 95 % interval" in told
    assert "What pretrained" not in comparison_tables(compare({"known": [known]}, **FEW))


@pytest.mark.parametrize(
    ("language", "head"), [("en", "What pretrained knowledge is worth"), ("ja", "事前学習で得た知識の効果")]
)
def test_a_report_tells_of_its_control(stored: Callable[..., Path], language: str, head: str) -> None:
    known, lost = stored("known", KNOWN, llm_weights="pretrained"), stored("lost", LOST, llm_weights="shuffled")
    texts = Texts(language)
    told, lines = against_control(known, lost, texts)
    assert told.startswith(head)
    assert len(lines) == 1
    told, lines = against_control(known, stored("more", LOST, llm_weights="shuffled", layers=9), texts)
    assert lines == []
    assert "more" in told


def test_what_cannot_be_told_apart_is_said_to_be(stored: Callable[..., Path]) -> None:
    known = stored("known", [1, 9, 3, 4], llm_weights="pretrained")
    lost = stored("lost", [4, 3, 9, 1], llm_weights="shuffled")
    _, lines = against_control(known, lost, Texts("en"))
    assert lines[0].endswith("No difference can be told.")
