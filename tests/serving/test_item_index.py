"""An approximate index: what it finds, what it tells of itself, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recdistill.cli import main
from recdistill.errors import UserError
from recdistill.serving import item_index
from recdistill.serving.bundle import make_bundle
from recdistill.serving.exact_lists import ExactLists
from recdistill.serving.item_index import INDEX_FILE, ItemIndex, load_index, read_about
from recdistill.serving.make_index import Measured, group, make_index
from recdistill.serving.recommender import Recommender

Floats = NDArray[np.float32]


def clustered(items: int, dim: int = 16, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((40, dim), dtype=np.float32)
    vectors = centres[rng.integers(0, 40, items + 1)] + 0.3 * rng.standard_normal((items + 1, dim), dtype=np.float32)
    vectors[0] = 0
    return vectors.astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return clustered(5000)


@pytest.fixture(scope="module")
def index(vectors: Floats) -> ItemIndex:
    return ItemIndex(vectors, *group(vectors, 1), nprobe=4)


def test_all_groups_give_the_exact_list(vectors: Floats) -> None:
    index = ItemIndex(vectors, *group(vectors, 1), nprobe=10**6)
    states = np.random.default_rng(1).standard_normal((20, 16), dtype=np.float32)
    hidden = [[1, 2, 3, 3], *[[]] * 19]
    for found, expected in zip(
        index.best(states, 10, hidden), ExactLists(vectors).best(states, 10, hidden), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_seen_items_leave_k_others_also_where_the_nearest_groups_hold_nothing_else(
    vectors: Floats, index: ItemIndex
) -> None:
    state = vectors[17:18]
    seen = ExactLists(vectors).best(state, 4000, None)[0][0].tolist()
    items, scores = index.best(state, 10, [seen])
    assert len(set(items[0].tolist())) == 10
    assert not set(items[0].tolist()) & set(seen)
    assert np.isfinite(scores).all()
    everything = list(range(1, 4998))
    items, scores = index.best(state, 10, [everything])
    assert sorted(items[0][np.isfinite(scores[0])].tolist()) == [4998, 4999, 5000]


def test_scores_are_those_of_the_vectors_and_equal_ones_are_in_the_order_of_the_items(index: ItemIndex) -> None:
    twice = np.concatenate([index.vectors[:3], index.vectors[1:3]])
    small = ItemIndex(twice, twice[1:2], np.zeros(4, dtype=np.int32), 1)
    items, scores = small.best(twice[1:2], 4, None)
    assert scores[0].tolist() == sorted(scores[0].tolist(), reverse=True)
    assert items[0].tolist() in ([1, 3, 2, 4], [2, 4, 1, 3])


def test_the_number_of_groups_is_the_least_that_reaches_the_recall(vectors: Floats) -> None:
    states = vectors[1:400] + 0.5 * np.random.default_rng(2).standard_normal((399, 16), dtype=np.float32)
    index = ItemIndex(vectors, *group(vectors, 1), nprobe=1)
    measured = Measured(index, ExactLists(vectors), states.astype(np.float32), None)
    tried = measured.choose(0.97)
    assert tried[-1]["recall"] >= 0.97
    assert all(one["recall"] < 0.97 for one in tried[:-1])
    lists = index.best(states[:199], 10, None)[0]  # with the last nprobe that was tried
    exact = ExactLists(vectors).best(states[:199], 10, None)[0]
    by_hand = np.mean([len(set(one) & set(two)) / 10 for one, two in zip(lists, exact, strict=True)])
    assert measured.probes(index.nprobe)["recall"] == pytest.approx(by_hand, abs=1e-3)


@pytest.fixture(scope="module")
def indexed(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("indexed") / "run"
    shutil.copytree(made_run, run)
    make_index(run, recall=1.0)
    make_bundle(run)
    return run


@pytest.fixture
def copy(indexed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(indexed, tmp_path / "run"))


def test_a_run_and_its_bundle_answer_by_the_index(
    indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = read_about(indexed / "index" / "distilled")
    assert about["recall"] == 1.0  # all groups of a tiny catalog
    assert about["histories"] > 0
    bundle = Path(shutil.copytree(indexed / "bundle", tmp_path / "bundle"))
    shutil.copytree(indexed / "index", bundle / "index")
    for source in (indexed, bundle):
        exact, near = (Recommender.load(source, approximate=one) for one in (False, True))
        ids = exact.catalog.item_ids[1:4]
        wanted = exact.recommend_ids(ids, 5, because=1)
        found = near.recommend_ids(ids, 5, because=1)
        assert [one.item_id for one in found] == [one.item_id for one in wanted]
        assert [one.score for one in found] == pytest.approx([one.score for one in wanted], rel=1e-4)
        assert [one.because[0].item_id for one in found] == [one.because[0].item_id for one in wanted]


def test_the_commands(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(copy), "--recall", "0.9", "--quiet"]) == 0
    assert "distilled: recall@10 " in capsys.readouterr().out
    item = Recommender.load(copy).catalog.item_ids[1]
    for words in (["recommend", str(copy), item, "--approximate", "--json"], ["check", str(copy)]):
        assert main(words) == 0
    told = capsys.readouterr().out
    assert json.loads(told.splitlines()[0])["items"]
    assert "index/distilled" in told
    assert main(["recommend", str(copy), item, "--approximate", "--model", "student"]) == 2
    assert "holds no index; `recdistill index RUN` makes one" in capsys.readouterr().err
    assert main(["index", str(copy), "--recall", "1.5"]) == 2
    assert "recall: 1.5 is out of range" in capsys.readouterr().err


def test_an_index_of_other_weights_or_items_is_refused(copy: Path, vectors: Floats) -> None:
    engine = Recommender.load(copy).engine
    load_index(copy, "distilled", engine)

    class Other:
        num_items, max_length = engine.num_items, engine.max_length
        item_vectors = engine.item_vectors + np.float32(1)

    with pytest.raises(UserError, match="made for other weights than the model's; `recdistill index RUN` makes it"):
        load_index(copy, "distilled", Other())  # type: ignore[arg-type]
    Other.item_vectors = engine.item_vectors[:-1]
    with pytest.raises(UserError, match=rf"made for {engine.num_items} items .* the model has {engine.num_items - 1}"):
        load_index(copy, "distilled", Other())  # type: ignore[arg-type]


@pytest.mark.parametrize("file", ["centres.npy", "groups.npy", INDEX_FILE])
@pytest.mark.parametrize("how", ["bit", "short", "gone"])
def test_a_damaged_index_is_named(copy: Path, file: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "index" / "distilled" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(content) if how == "bit" else content[:-9])
    item = Recommender.load(copy).catalog.item_ids[1]
    assert main(["recommend", str(copy), item, "--approximate"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "index" in told
    if file != INDEX_FILE or how != "gone":
        assert main(["check", str(copy)]) == 2


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_index, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"faiss is not installed; run pip install '\.\[index\]'"):
        item_index.import_faiss()
