import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from recdistill.config import StudentConfig
from recdistill.data.catalog import Catalog
from recdistill.errors import UserError
from recdistill.serving.recommender import Recommender
from recdistill.students.make import make_student, save_student

TITLES = ["", "Toy Story", "Heat", "Usual Suspects, The", "Alien", "Aliens", "Alien 3", "Fargo", "Babe"]
IDS = ["", "t1", "h2", "u3", "a4", "a5", "a6", "f7", "b8"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with a tiny random model as its distilled student."""
    torch.manual_seed(3)
    student = make_student(StudentConfig(embedding_dim=8, num_heads=1, max_length=3), len(TITLES) - 1)
    with torch.no_grad():
        student.items.ids[1:] += torch.randn(len(TITLES) - 1, 8)
    (tmp_path / "distilled").mkdir()
    (tmp_path / "prepare").mkdir()
    save_student(student, tmp_path / "distilled")
    (tmp_path / "prepare" / "catalog.json").write_text(json.dumps({"item_ids": IDS, "titles": TITLES}))
    return tmp_path


def test_answers_are_the_models_best_unseen_items_in_order(run: Path) -> None:
    recommender = Recommender.load(run)
    answers = recommender.recommend(["Toy Story", "Heat"], top_k=4)
    with torch.no_grad():
        scores = recommender.model.last_scores(torch.tensor([[1, 2]]))[0]
    wanted = sorted(range(3, 9), key=lambda item: -float(scores[item]))[:4]
    assert [answer.item_id for answer in answers] == [IDS[item] for item in wanted]
    assert [answer.title for answer in answers] == [TITLES[item] for item in wanted]
    assert [answer.score for answer in answers] == pytest.approx([float(scores[item]) for item in wanted])


def test_seen_items_are_listed_where_they_are_wanted(run: Path) -> None:
    recommender = Recommender.load(run)
    everything = recommender.recommend(["Toy Story", "Heat"], top_k=100, exclude_seen=False)
    assert sorted(answer.item_id for answer in everything) == sorted(IDS[1:])
    unseen = recommender.recommend(["Toy Story", "Heat"], top_k=100)
    assert [answer for answer in everything if answer.item_id not in ("t1", "h2")] == unseen
    assert len(unseen) == 6


def test_titles_ids_and_parts_of_titles_mean_the_same(run: Path) -> None:
    recommender = Recommender.load(run)
    by_title = recommender.recommend(["Usual Suspects, The", "Fargo"])
    assert recommender.recommend(["u3", "f7"]) == by_title
    assert recommender.recommend(["the usual suspects", "farg"]) == by_title
    assert [match.item for match in recommender.find(["u3", "suspects", "Fargo"])] == [3, 3, 7]


def test_only_the_latest_items_reach_the_model_and_all_are_left_out(run: Path) -> None:
    recommender = Recommender.load(run)
    long = recommender.recommend(["Babe", "Toy Story", "Heat", "Fargo"], top_k=8)
    short = recommender.recommend(["Toy Story", "Heat", "Fargo"], top_k=8)
    assert long == [answer for answer in short if answer.item_id != "b8"]
    assert len(long) == len(short) - 1


def test_an_unclear_title_is_taken_and_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    recommender = Recommender.load(run)
    logger = logging.getLogger("recdistill")
    logger.addHandler(caplog.handler)
    try:
        found = recommender.find(["alie"])
        assert "may also mean" in caplog.text
        caplog.clear()
        assert recommender.find(["Alien"])[0].item == 4
        assert caplog.text == ""
    finally:
        logger.removeHandler(caplog.handler)
    assert found[0].item == 4


def test_an_unknown_title_names_the_nearest(run: Path) -> None:
    with pytest.raises(UserError, match="no item is called 'Zzzyx'"):
        Recommender.load(run).recommend(["Zzzyx"])
    with pytest.raises(UserError, match=r"no item is called 'Frago'; did you mean 'Fargo' \[f7\]"):
        Recommender.load(run).recommend(["Heat", "Frago"])


def test_an_id_that_is_also_a_title_is_taken_for_the_id_and_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    titles = [*TITLES[:7], "T1", ""]
    (run / "prepare" / "catalog.json").write_text(json.dumps({"item_ids": IDS, "titles": titles}))
    found = Recommender.load(run).find(["t1", "B8"])
    assert [match.item for match in found] == [1, 8]
    assert caplog.messages == ["'t1' is taken for the id of 'Toy Story' [t1]; it is also a title: 'T1' [f7]"]
    assert {item.title for item in Recommender.load(run).recommend(["h2"])} >= {"b8", "T1"}


@pytest.mark.parametrize(
    ("evaluation", "training", "added", "left_out"),
    [
        (None, None, None, True),
        ({"filter_seen": True}, {"evaluate.filter_seen": False}, None, True),
        ({"filter_seen": False}, {}, None, False),
        (None, {"evaluate.filter_seen": False}, None, False),
        (None, {"seed": "1"}, None, True),
        (None, None, {"evaluate.filter_seen": False}, False),
        (None, None, {"examples": []}, True),
    ],
)
def test_seen_items_are_listed_as_the_runs_own_ranking_does(
    run: Path, evaluation: dict | None, training: dict | None, added: dict | None, left_out: bool
) -> None:
    if evaluation is not None:
        (run / "evaluation").mkdir()
        (run / "evaluation" / "manifest.json").write_text(json.dumps({"config": evaluation}))
    if training is not None:
        (run / "distilled" / "manifest.json").write_text(json.dumps({"inputs": training}))
    if added is not None:
        (run / "distilled" / "title_map.json").write_text(json.dumps(added))
    recommender = Recommender.load(run)
    assert recommender.exclude_seen is left_out
    kept, out = (recommender.recommend_ids(["t1"], 100, exclude_seen=exclude) for exclude in (False, True))
    assert (len(kept), len(out)) == (8, 7)
    assert recommender.recommend_ids(["t1"], 100) == recommender.recommend(["t1"], 100) == (out if left_out else kept)


def test_what_makes_no_sense_is_refused(run: Path) -> None:
    recommender = Recommender.load(run)
    with pytest.raises(UserError, match="history is empty"):
        recommender.recommend([])
    with pytest.raises(UserError, match="top_k: 0 is out of range"):
        recommender.recommend(["Heat"], top_k=0)


def test_a_programs_ids_are_never_taken_for_titles(run: Path) -> None:
    recommender = Recommender.load(run)
    assert recommender.recommend_ids(["u3", "f7"]) == recommender.recommend(["u3", "f7"])
    for near in ("Fargo", "f", "f8", ""):
        with pytest.raises(UserError, match=f"^item_ids: the catalog has no {near!r}$"):
            recommender.recommend_ids(["u3", near])
    with pytest.raises(UserError, match=r"^item_ids: the catalog has no 'F7', 'x' \(there is 'f7'\)$"):
        recommender.recommend_ids_batch([["u3", "F7"], ["x"]])
    with pytest.raises(UserError, match="the catalog has no 'x', 'y', 'z', 'v', 'w' and 2 more"):
        recommender.recommend_ids(["x", "u3", "y", "x", "z", "v", "w", "1", "2"])


def test_histories_scored_at_once_are_answered_as_one_by_one(run: Path) -> None:
    recommender = Recommender.load(run)
    histories = [["t1"], ["h2", "u3", "f7", "b8", "a4"], ["a5", "a6"]]
    for seen in (True, False):
        together = recommender.recommend_ids_batch(histories, top_k=5, exclude_seen=seen)
        for history, answers in zip(histories, together, strict=True):
            alone = recommender.recommend_ids(history, top_k=5, exclude_seen=seen)
            assert [answer.item_id for answer in answers] == [answer.item_id for answer in alone]
            assert [a.score for a in answers] == pytest.approx([a.score for a in alone], rel=1e-5)
    assert recommender.recommend_ids_batch([]) == []
    with pytest.raises(UserError, match="history is empty"):
        recommender.recommend_ids_batch([["t1"], []])


@pytest.mark.parametrize("items", [[], [0], [1, 9], [-1]])
def test_items_that_are_none_are_refused(run: Path, items: list[int]) -> None:
    said = "history is empty" if not items else "is out of range; they are numbered 1 to 8"
    with pytest.raises(UserError, match=said):
        Recommender.load(run).recommend_items(items)


def test_several_threads_get_the_same_answers(run: Path) -> None:
    recommender = Recommender.load(run)
    histories = [[IDS[item], IDS[other]] for item in range(1, 9) for other in range(1, 9)]
    expected = [recommender.recommend_ids(history) for history in histories]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(recommender.recommend_ids, histories)) == expected


def test_a_run_with_another_model_names_it(run: Path) -> None:
    (run / "distilled").rename(run / "student")
    with pytest.raises(UserError, match="run `recdistill distill` first, or ask for --model student"):
        Recommender.load(run)


def test_a_run_without_the_model_names_the_step_to_run(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="student: holds no model; run `recdistill student` first"):
        Recommender.load(run, model="student")
    with pytest.raises(UserError, match="distilled: holds no model; run `recdistill distill` first"):
        Recommender.load(tmp_path / "nowhere")
    (run / "prepare" / "catalog.json").unlink()
    with pytest.raises(UserError, match="prepare: holds no catalog; run `recdistill prepare` first"):
        Recommender.load(run)


def test_a_catalog_of_other_items_is_refused(run: Path) -> None:
    model = Recommender.load(run).model
    with pytest.raises(UserError, match="the model knows 8 items and the catalog has 2"):
        Recommender(model, Catalog(["", "a", "b"], ["", "A", "B"]))
