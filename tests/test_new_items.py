"""A distilled student is given items that came after its training."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from chain import NUM_ITEMS, options, write_interactions
from recdistill.cli import main
from recdistill.new_items import add_items
from recdistill.serving.recommender import Recommender
from recdistill.students.make import load_student
from recdistill.students.title_map import load_title_map

HISTORY = ["Film 3", "Film 4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Iterator[Path]:
    """A finished run whose language model reads a genre behind each title."""
    folder = tmp_path_factory.mktemp("new-items")
    events = write_interactions(folder / "data")
    items = folder / "data" / "items.csv"
    head, *rows = items.read_text().splitlines()
    items.write_text("\n".join([f"{head},genre", *(f"{row},kind {place % 3}" for place, row in enumerate(rows))]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        assert main(["distill", *options(folder / "run", tiny_llm, events, "--data.text=[genre]")]) == 0
        yield folder / "run"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Two items that are new, one that is known, one without a title."""
    path = tmp_path / "new.csv"
    path.write_text("item_id,title,genre\ni3,Film 3,kind 2\nn1,Film 100,kind 1\nn2,,kind 1\nn3,Film 3 again,kind 2\n")
    return path


def test_new_items_are_recommended_by_title_and_the_known_ones_keep_their_scores(
    run: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add-items", str(run), str(new), "--out", str(tmp_path / "more")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'more'}: 2 new items\n"
    before = {item.item_id: item.score for item in Recommender.load(run).recommend(HISTORY, top_k=100)}
    answer = Recommender.load(tmp_path / "more").recommend(HISTORY, top_k=100)
    after = {item.item_id: item.score for item in answer}
    assert set(after) - set(before) == {"n1", "n3"}
    assert {item_id: after[item_id] for item_id in before} == pytest.approx(before, abs=1e-6)
    assert {item.title for item in answer if item.item_id in ("n1", "n3")} == {"Film 100", "Film 3 again"}
    assert Recommender.load(tmp_path / "more").recommend(["film 100", "n3"])  # they may stand in a history


def test_the_vector_of_a_known_title_is_its_own_but_for_the_id(run: Path, tmp_path: Path) -> None:
    """Items of the very text of known ones differ from those by the ID embedding and the base alone."""
    path = tmp_path / "copies.csv"
    path.write_text("item_id,title,genre\nc1,Film 1,kind 0\nc2,Film 2,kind 1\n")
    assert add_items(run, path, tmp_path / "more") == 2
    catalog = json.loads((tmp_path / "more/prepare/catalog.json").read_text())
    assert catalog["texts"][-2:] == ["Film 1. Genre: kind 0.", "Film 2. Genre: kind 1."]
    title_map, _ = load_title_map(run / "distilled")
    table = load_student(tmp_path / "more/distilled").items.ids.detach()
    first, second = (catalog["item_ids"].index(item) for item in ("i1", "i2"))
    copies = table[-2:] - title_map.base
    assert copies.abs().max() > 1e-3
    # What the copies have of their titles, the originals have too: take it away and an ID embedding is left, and those
    # are small here, after two epochs, beside the titles' part.
    left = table[[first, second]] - copies
    assert left.norm() < table[[first, second]].norm()
    assert torch.linalg.vector_norm(left, dim=1).max() < 4 * 0.02 * table.shape[1] ** 0.5


def test_what_was_written_can_be_added_to_again(run: Path, new: Path, tmp_path: Path) -> None:
    add_items(run, new, tmp_path / "more")
    path = tmp_path / "later.csv"
    path.write_text("item_id,title,genre\nn1,Film 100,kind 1\nn9,Film 900,kind 0\n")
    assert add_items(tmp_path / "more", path, tmp_path / "most") == 1
    catalog = json.loads((tmp_path / "most/prepare/catalog.json").read_text())
    assert catalog["item_ids"][NUM_ITEMS + 1 :] == ["n1", "n3", "n9"]
    once = load_student(tmp_path / "more/distilled").items.ids
    assert torch.equal(load_student(tmp_path / "most/distilled").items.ids[: len(once)], once)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("item_id,title,genre\ni3,Film 3,kind 2\n", "none of its items is both new and has a title"),
        ("item_id,title\nn1,Film 100\n", "no column 'genre'"),
        ("item_id,title,genre\nn1,Film 100,a\nn1,Film 101,a\n", "title of item 'n1' is 'Film 101' here"),
    ],
)
def test_a_wrong_file_is_told_and_nothing_is_written(
    content: str, told: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text(content)
    assert main(["add-items", str(run), str(tmp_path / "new.csv"), "--out", str(tmp_path / "more")]) == 2
    message = capsys.readouterr().err
    assert told in message
    assert message.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_wrong_folders_are_told(run: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(folder: Path, out: Path) -> str:
        assert main(["add-items", str(folder), str(new), "--out", str(out)]) == 2
        return capsys.readouterr().err

    assert "is there already; choose another folder" in told(run, tmp_path)
    assert "holds no model; run `recdistill distill` first" in told(tmp_path / "nothing", tmp_path / "more")
    shutil.copytree(run, tmp_path / "old", ignore=shutil.ignore_patterns("teacher*", "student"))
    (tmp_path / "old/distilled/title_map.json").unlink()
    assert "knows its items by their ids alone" in told(tmp_path / "old", tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_another_encoder_is_refused(run: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("teacher*", "student"))
    about = tmp_path / "run/distilled/title_map.json"
    changed = json.loads(about.read_text()) | {"example": "Quite another title, of much more than a word"}
    about.write_text(json.dumps(changed))
    assert main(["add-items", str(tmp_path / "run"), str(new), "--out", str(tmp_path / "more")]) == 2
    assert "another encoder than here read its titles" in capsys.readouterr().err


def test_without_titles_in_its_vectors_a_student_leaves_no_map(run: Path, tiny_llm: Path, tmp_path: Path) -> None:
    events = run.parent / "data" / "events.csv"
    shutil.copytree(run, tmp_path / "run")
    more = ("--data.text=[genre]", "--distill.embedding_weight=0")
    assert main(["distill", *options(tmp_path / "run", tiny_llm, events, *more)]) == 0
    assert not list((tmp_path / "run/distilled").glob("title_map*"))
