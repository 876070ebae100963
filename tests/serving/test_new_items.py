"""A distilled student is given items that came after its training."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from chain import NUM_ITEMS, options
from older_runs import without_checksums
from recdistill.cli import main
from recdistill.errors import UserError
from recdistill.serving.new_items import add_items
from recdistill.serving.recommender import Recommender
from recdistill.students.make import load_student

HISTORY = ["Film 3", "Film 4"]


@pytest.fixture
def run(titled_run: Path) -> Path:
    return titled_run


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


def test_texts_are_kept_where_more_than_titles_is_read(run: Path, new: Path, tmp_path: Path) -> None:
    assert add_items(run, new, tmp_path / "more") == 2
    catalog = json.loads((tmp_path / "more/prepare/catalog.json").read_text())
    assert catalog["texts"][-2:] == ["Film 100. Genre: kind 1.", "Film 3 again. Genre: kind 2."]
    (added,) = json.loads((tmp_path / "more/distilled/title_map.json").read_text())["added"]
    assert (added["file"], added["items"]) == ("new.csv", 2)


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
        ("item_id,title,genre\nn1,None,a\n", "none of its items is both new and has a title"),
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
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    before = {path.name for path in run.iterdir()}
    assert "is there already; choose another folder" in told(run, tmp_path)
    assert "lies in the run" in told(run, run / "report")
    assert "is not a folder" in told(run, new / "more")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is there already" in told(run, tmp_path / "link")
    assert "nothing: no such run" in told(tmp_path / "nothing", tmp_path / "more")
    shutil.copytree(run, tmp_path / "old", ignore=shutil.ignore_patterns("teacher*", "student"))
    (without_checksums(tmp_path / "old") / "distilled/title_map.json").unlink()
    assert "knows its items by their ids alone" in told(tmp_path / "old", tmp_path / "more")
    shutil.copytree(run, tmp_path / "short", ignore=shutil.ignore_patterns("teacher*", "student"))
    catalog = without_checksums(tmp_path / "short") / "prepare/catalog.json"
    shorter = {key: values[:-1] for key, values in json.loads(catalog.read_text()).items()}
    catalog.write_text(json.dumps(shorter))
    assert f"the model knows {NUM_ITEMS} items and the catalog has {NUM_ITEMS - 1}" in told(
        tmp_path / "short", tmp_path / "more"
    )
    assert {path.name for path in run.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "link", "old", "short"}


def test_what_fails_on_the_way_leaves_nothing(
    run: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more.partial").mkdir()

    def full(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("recdistill.serving.item_holders.write_json", full)
    with pytest.raises(UserError, match="no space left on the disk"):
        add_items(run, new, tmp_path / "more")
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "more.partial"}


def test_another_encoder_is_refused_and_a_moved_one_is_found(
    run: Path, new: Path, tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, moved = tmp_path / "other", tmp_path / "moved"
    for folder in (other, moved):
        shutil.copytree(tiny_llm, folder)
    weights = load_file(other / "model.safetensors")
    generator = torch.Generator().manual_seed(9)
    for name, value in weights.items():
        if value.dim() == 2:
            weights[name] = torch.randn(value.shape, generator=generator) * 0.1
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    call = ["add-items", str(run), str(new), "--out", str(tmp_path / "more"), "--device", "cpu", "--encoder"]
    assert main([*call, str(other)]) == 2
    assert "another encoder than here read its titles" in capsys.readouterr().err
    assert main([*call, str(moved)]) == 0
    assert len(Recommender.load(tmp_path / "more").catalog) == NUM_ITEMS + 2


def test_without_titles_in_its_vectors_a_student_leaves_no_map(run: Path, tiny_llm: Path, tmp_path: Path) -> None:
    events = run.parent / "data" / "events.csv"
    shutil.copytree(run, tmp_path / "run")
    more = ("--data.text=[genre]", "--distill.embedding_weight=0")
    assert main(["distill", *options(tmp_path / "run", tiny_llm, events, *more)]) == 0
    assert not list((tmp_path / "run/distilled").glob("title_map*"))
