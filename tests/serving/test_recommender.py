import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from recdistill.config import EvaluateConfig, StudentConfig
from recdistill.data.catalog import Catalog
from recdistill.errors import UserError
from recdistill.serving.engines import SCORE_MEMORY
from recdistill.serving.recommender import Recommender
from recdistill.serving.torch_engine import TorchEngine
from recdistill.students.base import Student
from recdistill.students.make import make_student, save_student
from recdistill.web.application import Application
from recdistill.web.settings import ServeSettings
from small_bundles import write_small_bundle

TITLES = ["", "Toy Story", "Heat", "Usual Suspects, The", "Alien", "Aliens", "Alien 3", "Fargo", "Babe"]
IDS = ["", "t1", "h2", "u3", "a4", "a5", "a6", "f7", "b8"]


COUNTS = [0, 5, 9, 1, 9, 2, 0, 3, 4]


@pytest.fixture
def plain_run(tmp_path: Path) -> Path:
    """A run's folder with a tiny random model as its distilled student."""
    (tmp_path / "distilled").mkdir()
    (tmp_path / "prepare").mkdir()
    save_student(small_student(), tmp_path / "distilled")
    names = {"item_ids": IDS, "titles": TITLES, "counts": COUNTS}
    (tmp_path / "prepare" / "catalog.json").write_text(json.dumps(names))
    return tmp_path


@pytest.fixture(params=["run", "bundle"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same model in a run, which torch answers from, and in a bundle, which onnxruntime does."""
    if request.param == "bundle":
        write_small_bundle(tmp_path / "bundle", small_student(), IDS, TITLES, COUNTS)
        return tmp_path / "bundle"
    folder: Path = request.getfixturevalue("plain_run")
    return folder


def small_student() -> Student:
    torch.manual_seed(3)
    student = make_student(StudentConfig(embedding_dim=8, num_heads=1, max_length=3), len(TITLES) - 1)
    with torch.no_grad():
        student.items.ids[1:] += torch.randn(len(TITLES) - 1, 8)
    return student.eval()


def scores_after(history: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return small_student().last_scores(torch.tensor([history]))[0]


def test_answers_are_the_models_best_unseen_items_in_order(run: Path) -> None:
    recommender = Recommender.load(run)
    answers = recommender.recommend(["Toy Story", "Heat"], top_k=4)
    scores = scores_after([1, 2])
    wanted = sorted(range(3, 9), key=lambda item: -float(scores[item]))[:4]
    assert [answer.item_id for answer in answers] == [IDS[item] for item in wanted]
    assert [answer.title for answer in answers] == [TITLES[item] for item in wanted]
    assert [answer.score for answer in answers] == pytest.approx([float(scores[item]) for item in wanted])


def test_seen_items_are_listed_where_they_are_wanted(run: Path) -> None:
    recommender = Recommender.load(run)
    everything = recommender.recommend(["Toy Story", "Heat"], top_k=100, exclude_seen=False)
    assert sorted(answer.item_id for answer in everything) == sorted(IDS[1:])
    unseen = recommender.recommend(["Toy Story", "Heat"], top_k=100)
    assert [answer for answer in everything if answer.item_id not in ("t1", "h2")] == list(unseen)
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
    assert list(long) == [answer for answer in short if answer.item_id != "b8"]
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


def test_an_id_that_is_also_a_title_is_taken_for_the_id_and_told(
    plain_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    titles = [*TITLES[:7], "T1", ""]
    (plain_run / "prepare" / "catalog.json").write_text(json.dumps({"item_ids": IDS, "titles": titles}))
    found = Recommender.load(plain_run).find(["t1", "B8"])
    assert [match.item for match in found] == [1, 8]
    assert caplog.messages == ["'t1' is taken for the id of 'Toy Story' [t1]; it is also a title: 'T1' [f7]"]
    assert {item.title for item in Recommender.load(plain_run).recommend(["h2"])} >= {"b8", "T1"}


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
    plain_run: Path,
    evaluation: dict[str, object] | None,
    training: dict[str, object] | None,
    added: dict[str, object] | None,
    left_out: bool,
) -> None:
    made: dict[str, object] = {"fingerprint": "f" * 16, "inputs": {}, "config": {}}
    if evaluation is not None:
        (plain_run / "evaluation").mkdir()
        (plain_run / "evaluation" / "manifest.json").write_text(json.dumps(made | {"config": evaluation}))
    if training is not None:
        (plain_run / "distilled" / "manifest.json").write_text(json.dumps(made | {"inputs": training}))
    if added is not None:
        whole = {"examples": [], "columns": {}, "teacher": {}} | added
        (plain_run / "distilled" / "title_map.json").write_text(json.dumps(whole))
    recommender = Recommender.load(plain_run)
    assert recommender.exclude_seen is left_out
    kept, out = (recommender.recommend_ids(["t1"], 100, exclude_seen=exclude) for exclude in (False, True))
    assert (len(kept), len(out)) == (8, 7)
    assert recommender.recommend_ids(["t1"], 100) == recommender.recommend(["t1"], 100) == (out if left_out else kept)


def test_what_makes_no_sense_is_refused(run: Path) -> None:
    recommender = Recommender.load(run)
    with pytest.raises(UserError, match="history is empty"):
        recommender.find([])
    with pytest.raises(UserError, match="because: -1 is out of range"):
        recommender.recommend(["Heat"], because=-1)
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


@pytest.mark.parametrize("items", [[0], [1, 9], [-1]])
def test_items_that_are_none_are_refused(run: Path, items: list[int]) -> None:
    with pytest.raises(UserError, match="is out of range; they are numbered 1 to 8"):
        Recommender.load(run).recommend_items(items)


def test_an_empty_history_gets_the_popular_items_and_says_so(run: Path) -> None:
    recommender = Recommender.load(run)
    answer, known = recommender.recommend_ids_batch([[], ["t1"]], top_k=3)
    assert (answer.source, known.source) == ("popularity", "model")
    # Nine interactions each: the lower number first.
    assert [(one.item_id, one.score) for one in answer] == [("h2", 9), ("a4", 9), ("t1", 5)]
    assert recommender.recommend([], top_k=3) == answer
    assert list(answer) == recommender.popular(3)
    assert [one.item_id for one in recommender.popular(2, exclude=["h2", "nobody"])] == ["a4", "t1"]
    engine, catalog = recommender.engine, recommender.catalog
    with pytest.raises(UserError, match="history is empty"):
        Recommender(engine, catalog).recommend([])
    with pytest.raises(UserError, match="popularity: 1 counts for 8 items"):
        Recommender(engine, catalog, popularity=[0, 1])


def test_unknown_entries_are_skipped_where_asked_and_told(run: Path) -> None:
    recommender = Recommender.load(run)
    answer = recommender.recommend(["Heat", "Nothing like it", "u3"], unknown="skip")
    assert answer.unknown == ("Nothing like it",)
    assert list(answer) == list(recommender.recommend_ids(["h2", "u3"]))
    some, none, all_known = recommender.recommend_ids_batch([["x", "h2", "x"], ["x"], ["u3"]], unknown="skip")
    assert (some.unknown, none.unknown, all_known.unknown) == (("x",), ("x",), ())
    assert [one.item_id for one in some] == [one.item_id for one in recommender.recommend_ids(["h2"])]
    assert none.source == "popularity"


def test_arguments_that_are_none_are_refused(run: Path) -> None:
    recommender = Recommender.load(run)
    for ask in (recommender.recommend, recommender.recommend_ids):
        with pytest.raises(UserError, match="unknown: 'skp' is none of error, skip"):
            ask(["zz"], unknown="skp")  # type: ignore[arg-type]
        with pytest.raises(UserError, match="a history is a list of items, not the text 'Heat'"):
            ask("Heat")
    with pytest.raises(UserError, match="a history is a list of items, not the text 'u3'"):
        recommender.recommend_ids_batch("u3")
    with pytest.raises(UserError, match="model: 'teacher' is none of distilled, student"):
        Recommender.load(run, model="teacher")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="score_memory: 0 MiB; it must be 1 or more"):
        Recommender.load(run, score_memory=0)


def test_only_candidates_are_listed_and_what_the_filter_keeps(run: Path) -> None:
    recommender = Recommender.load(run)
    everything = recommender.recommend_ids(["t1", "h2"], top_k=100)
    some = recommender.recommend_ids(["t1", "h2"], candidates=["b8", "a4", "t1", "f7"])
    wanted = [one for one in everything if one.item_id in ("b8", "a4", "f7")]
    assert [one.item_id for one in some] == [one.item_id for one in wanted]
    assert [one.score for one in some] == pytest.approx([one.score for one in wanted], rel=1e-5)
    kept = recommender.recommend(["Toy Story", "Heat"], filter=lambda item_id: item_id.startswith("a"))
    assert [one.item_id for one in kept] == [one.item_id for one in everything if one.item_id.startswith("a")]
    assert (
        len(recommender.recommend(["Heat"], candidates=["Fargo", "Alien"], filter=lambda item_id: item_id == "f7")) == 1
    )
    assert list(recommender.recommend(["Heat"], candidates=[])) == []
    assert [one.item_id for one in recommender.recommend([], candidates=["b8", "f7"])] == ["b8", "f7"]
    with pytest.raises(UserError, match="candidates: the catalog has no 'x'"):
        recommender.recommend_ids(["h2"], candidates=["x"])


def test_reasons_are_what_the_score_loses_without_an_item(run: Path) -> None:
    recommender = Recommender.load(run)
    answer = recommender.recommend_ids(["b8", "t1", "h2", "t1"], top_k=2, because=5)
    whole = scores_after([1, 2, 1])
    without = {"t1": scores_after([2]), "h2": scores_after([1, 1])}  # the model looks at three items
    for one in answer:
        item = IDS.index(one.item_id)
        weights = {out: float(whole[item] - scores[item]) for out, scores in without.items()}
        assert [reason.item_id for reason in one.because] == sorted(weights, key=lambda out: -weights[out])
        assert {reason.item_id: reason.weight for reason in one.because} == pytest.approx(weights, abs=1e-5)
    assert [len(one.because) for one in recommender.recommend_ids(["b8", "t1"], top_k=3, because=1)] == [1, 1, 1]
    alone = recommender.recommend_ids(["h2"], top_k=1, because=3)[0]
    assert [reason.title for reason in alone.because] == ["Heat"]
    assert [reason.weight for reason in alone.because] == pytest.approx([alone.score])


def test_similar_items_are_those_with_the_nearest_vectors(run: Path) -> None:
    recommender = Recommender.load(run)
    vectors = small_student().item_vectors().detach()
    cosines = torch.nn.functional.cosine_similarity(vectors[4:5], vectors[1:])
    wanted = [int(one) + 1 for one in cosines.argsort(descending=True) if one != 3]
    found = recommender.similar("a4", top_k=3)
    assert [one.item_id for one in found] == [IDS[item] for item in wanted[:3]]
    assert [one.score for one in found] == pytest.approx([float(cosines[item - 1]) for item in wanted[:3]], rel=1e-5)
    assert len(recommender.similar("a4", top_k=100)) == 7
    with pytest.raises(UserError, match="item_id: the catalog has no 'Alien'"):
        recommender.similar("Alien")


def test_several_threads_get_the_same_answers(run: Path) -> None:
    recommender = Recommender.load(run)
    histories = [[IDS[item], IDS[other]] for item in range(1, 9) for other in range(1, 9)]
    expected = [recommender.recommend_ids(history) for history in histories]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(recommender.recommend_ids, histories)) == expected


def test_a_run_with_another_model_names_it(plain_run: Path) -> None:
    (plain_run / "distilled").rename(plain_run / "student")
    with pytest.raises(UserError, match="run `recdistill distill` first, or ask for --model student"):
        Recommender.load(plain_run, model="distilled")
    assert Recommender.load(plain_run).about.model == "student"


def test_a_plain_student_answers_where_it_is_alone(plain_run: Path) -> None:
    (plain_run / "distilled").rename(plain_run / "student")
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/recommend", {"history": ["h2"]}),
        ("/v1/recommend", {"history": ["h2"], "because": 1}),
        ("/v1/recommend/batch", {"histories": [["h2"]]}),
    ]
    with TestClient(Application(ServeSettings(plain_run, quiet=True))) as client:
        assert [client.post(path, json=body).json()["model"] for path, body in asked] == ["student"] * 3
        refused = client.post("/v1/recommend", json={"history": ["h2"], "model": "distilled"})
    assert refused.status_code == 422
    assert "has no model distilled; it has student" in refused.json()["detail"]


def test_a_run_without_the_model_names_the_step_to_run(plain_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="student: holds no model; run `recdistill student` first"):
        Recommender.load(plain_run, model="student")
    with pytest.raises(UserError, match="distilled: holds no model; run `recdistill distill` first"):
        Recommender.load(tmp_path / "nowhere")
    (plain_run / "prepare" / "catalog.json").unlink()
    with pytest.raises(UserError, match="prepare: holds no catalog; run `recdistill prepare` first"):
        Recommender.load(plain_run)


def test_a_catalog_of_other_items_is_refused(run: Path) -> None:
    engine = Recommender.load(run).engine
    with pytest.raises(UserError, match="the model knows 8 items and the catalog has 2"):
        Recommender(engine, Catalog(["", "a", "b"], ["", "A", "B"]))


def test_less_memory_for_scores_gives_the_same_lists() -> None:
    student = make_student(StudentConfig(embedding_dim=4, num_heads=1), 200_000)
    histories = [[1, 2, 3], [150_000], [5, 199_999]]
    found = [TorchEngine(student, memory).best(histories, 5, exclude_seen=True) for memory in (512, 1)]
    assert found[0][0].tolist() == found[1][0].tolist()
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)
    assert not {1, 2, 3} & set(found[1][0][0].tolist())


def test_serving_holds_as_many_scores_as_an_evaluation_by_default() -> None:
    assert EvaluateConfig().max_score_memory == SCORE_MEMORY
