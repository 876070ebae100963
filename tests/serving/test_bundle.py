"""A run becomes one folder that answers as torch does, without torch, and is refused where it is not whole."""

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recdistill.cli import main
from recdistill.config import StudentConfig
from recdistill.data.prepared import PreparedData
from recdistill.errors import UserError
from recdistill.serving.bundle import compare_engines, finish_bundle, make_bundle
from recdistill.serving.bundle_files import read_bundle
from recdistill.serving.loading import load_run
from recdistill.serving.new_items import add_items
from recdistill.serving.onnx_engine import OnnxEngine
from recdistill.serving.onnx_graph import student_graph, write_graph
from recdistill.serving.recommender import Recommender
from recdistill.serving.torch_engine import TorchEngine
from recdistill.storage.checksums import sealed
from recdistill.students.make import make_student

FILES = {
    "README.md",
    "bundle.json",
    "catalog.json",
    "item_vectors.npy",
    "model.onnx",
    "student.onnx",
    "student_vectors.npy",
    "title_map.json",
    "title_map.safetensors",
}


@pytest.fixture(scope="module")
def bundle(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(made_run, tmp_path_factory.mktemp("bundle") / "shop", name="shop")


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that may be damaged."""
    shutil.copytree(bundle, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_bundle_answers_as_the_runs_own_students_do(titled_run: Path, bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == FILES
    data = PreparedData.load(titled_run / "prepare")
    histories = [[data.item_ids[item] for item in data.history(user, 40)] for user in range(data.num_users)]
    for model in ("distilled", "student"):
        ours = Recommender.load(bundle, model=model)
        found = load_run(titled_run, model)
        theirs = Recommender(found.engine, found.catalog, found.exclude_seen, found.popularity, found.about)
        assert isinstance(theirs.engine, TorchEngine)
        for exclude_seen in (True, False):
            mine, wanted = (one.recommend_ids_batch(histories, 10, exclude_seen) for one in (ours, theirs))
            assert [[one.item_id for one in answer] for answer in mine] == [
                [one.item_id for one in answer] for answer in wanted
            ]
        assert [one.score for one in mine[0]] == pytest.approx([one.score for one in wanted[0]], rel=1e-4)
        assert ours.recommend([], top_k=5) == theirs.recommend([], top_k=5)
    about = ours.about
    assert (about.name, about.model, about.num_items) == ("shop", "student", data.num_items)
    assert about.fingerprint == read_bundle(bundle).fingerprint != ""


def test_a_bundle_needs_neither_torch_nor_polars(bundle: Path) -> None:
    script = (
        "import sys\n"
        "from recdistill import Recommender\n"
        "answer = Recommender.load(sys.argv[1]).recommend_ids(['i3'], top_k=2)\n"
        "heavy = {'torch', 'polars', 'transformers', 'onnx', 'jsonargparse', 'rapidfuzz'} & set(sys.modules)\n"
        "sys.exit(f'{sorted(heavy)}' if heavy else 0 if len(answer) == 2 else 'no answer')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(bundle)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_recommend_by_a_bundle_reads_no_parser_of_all_settings(bundle: Path) -> None:
    script = (
        "import sys\n"
        "from recdistill.cli import main\n"
        "status = main(['recommend', sys.argv[1], 'Film 3', '--json', '--top_k', '2', '--because', '1'])\n"
        "heavy = {'torch', 'polars', 'jsonargparse'} & set(sys.modules)\n"
        "sys.exit(f'{sorted(heavy)}' if heavy else status)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(bundle)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["name"], said["model"]) == ("shop", "distilled")
    assert said["fingerprint"] == read_bundle(bundle).fingerprint
    assert said["history"] == [{"item_id": "i3", "title": "Film 3"}]
    assert [one["rank"] for one in said["items"]] == [1, 2]
    assert [len(one["because"]) for one in said["items"]] == [1, 1]


def test_two_bundles_of_one_name_are_told_apart(titled_run: Path, bundle: Path, tmp_path: Path) -> None:
    again = make_bundle(titled_run, tmp_path / "again", name="shop")
    assert read_bundle(again).files["model.onnx"] == read_bundle(bundle).files["model.onnx"]
    (tmp_path / "new.csv").write_text("item_id,title,genre\nn1,Film 100,kind 1\n")
    assert add_items(bundle, tmp_path / "new.csv", tmp_path / "more") == 1
    assert read_bundle(tmp_path / "more").name == "shop"
    assert read_bundle(tmp_path / "more").fingerprint != read_bundle(bundle).fingerprint


@pytest.mark.parametrize("file", sorted(FILES - {"bundle.json"}))
def test_a_changed_and_a_missing_file_are_named(copy: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main(["recommend", str(copy), "Film 3"]) == 2
    said = f"recdistill: error: {copy / file}: is not the file that was bundled; copy or make the bundle again\n"
    assert capsys.readouterr().err == said
    (copy / file).unlink()
    assert main(["recommend", str(copy), "Film 3"]) == 2
    assert capsys.readouterr().err == f"recdistill: error: {copy / file}: no such file\n"


def changed(about: dict[str, object], **more: object) -> str:
    return json.dumps(sealed(about | more))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda about: "[1]", "a bundle of form None; this version reads form 1"),
        (lambda about: changed(about, form=2), "a bundle of form 2; this version reads form 1; make it anew"),
        (lambda about: json.dumps(about | {"num_items": 3}), "damaged (its checksum is another)"),
        (lambda about: changed(about, strange=1), "not as `recdistill bundle` writes it"),
        (lambda about: changed(about, models=None), "not as `recdistill bundle` writes it"),
        (lambda about: changed(about, fingerprint="0"), "its fingerprint is not that of its files"),
        (lambda about: changed(about, files={}), "'model.onnx' is not one of the bundle's own files"),
        (
            lambda about: changed(about, files=about["files"] | {"../out": {"bytes": 1, "sha256": ""}}),
            "'../out' is not one of the bundle's own files",
        ),
        (lambda about: "{", "not valid JSON"),
        (lambda about: changed(about, name=7), "a name is no text"),
        (lambda about: changed(about, exclude_seen="yes"), "exclude_seen neither true nor false"),
        (
            lambda about: changed(about, models={"student": about["models"]["student"] | {"max_length": 0}}),
            "max_length",
        ),
    ],
)
def test_a_bundle_that_says_something_else_is_refused(copy: Path, change: object, told: str) -> None:
    about = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(change(about))  # type: ignore[operator]
    with pytest.raises(UserError, match=re.escape(told)):
        Recommender.load(copy)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"item_ids": [0, 1]}, "ids and titles are text"),
        ({"counts": [0.5]}, "counts whole numbers"),
        ({"titles": ["", "a"]}, "not of the same number"),
        ({"more": 1}, "not as `recdistill bundle` writes it"),
    ],
)
def test_a_catalog_of_another_form_is_refused_also_where_checksums_fit(
    copy: Path, change: dict[str, object], told: str
) -> None:
    catalog = json.loads((copy / "catalog.json").read_text())
    (copy / "catalog.json").write_text(json.dumps(catalog | change))
    bundle = read_bundle(copy, whole=False)
    (copy / "bundle.json").unlink()
    finish_bundle(copy, bundle)
    with pytest.raises(UserError, match=told):
        Recommender.load(copy)


def test_a_link_in_the_place_of_a_file_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (copy / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(UserError, match=r"model\.onnx: a link"):
        Recommender.load(copy)


def test_the_bundle_in_a_run_answers_while_it_is_of_the_runs_model(
    titled_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("recdistill"), "propagate", True)
    run = tmp_path / "run"
    shutil.copytree(titled_run, run)
    assert isinstance(Recommender.load(run).engine, TorchEngine)
    assert main(["bundle", str(run)]) == 0
    assert isinstance(Recommender.load(run).engine, OnnxEngine)
    assert Recommender.load(run).about.name == "run"
    manifest = json.loads((run / "distilled/manifest.json").read_text())
    (run / "distilled/manifest.json").write_text(json.dumps(sealed(manifest | {"fingerprint": "another"})))
    monkeypatch.setattr(logging.getLogger("recdistill"), "propagate", True)
    caplog.clear()
    assert isinstance(Recommender.load(run).engine, TorchEngine)
    assert f"{run / 'bundle'}: is of another model than the run's" in caplog.text
    assert main(["bundle", str(run)]) == 0  # what is there is replaced
    assert isinstance(Recommender.load(run).engine, OnnxEngine)
    assert not list(run.glob(".bundle*"))


def test_new_items_are_added_to_a_bundle_as_to_its_run(titled_run: Path, bundle: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text("item_id,title,genre\ni3,Film 3,kind 2\nn1,Film 100,kind 1\nn3,Film 3 again,kind 2\n")
    assert add_items(titled_run, new, tmp_path / "run") == add_items(bundle, new, tmp_path / "bundle") == 2
    by_torch, by_onnx = (Recommender.load(tmp_path / one).recommend(["Film 3", "n1"], 100) for one in ("run", "bundle"))
    assert [one.item_id for one in by_onnx] == [one.item_id for one in by_torch]
    assert {"n3"} < {one.item_id for one in by_onnx}
    held = read_bundle(tmp_path / "bundle")
    assert list(held.models) == ["distilled"]
    assert "2 items were added by their titles after training" in held.notes[0]
    assert "student" in held.notes[1]
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert all(f"- {note}\n" in card for note in held.notes)
    assert f"It knows the {held.num_items} items of its catalog" in card
    assert f"all {held.num_items} items of its catalog" in card
    assert 'Recommender.load("FOLDER")' in card
    assert Recommender.load(tmp_path / "bundle").popular(1)[0].score > 0


def test_a_bundle_of_a_plain_student_is_asked_for_it(titled_run: Path, tmp_path: Path) -> None:
    shutil.copytree(titled_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "distilled")
    folder = make_bundle(tmp_path / "run")
    assert [Recommender.load(one).about.model for one in (folder, tmp_path / "run")] == ["student"] * 2


def test_8_bits_come_with_what_they_cost(titled_run: Path, tmp_path: Path) -> None:
    folder = make_bundle(titled_run, tmp_path / "small", int8=True)
    cost = read_bundle(folder).int8
    assert cost is not None
    (tmp_path / "new.csv").write_text("item_id,title,genre\nn1,Film 100,kind 1\n")
    add_items(folder, tmp_path / "new.csv", tmp_path / "more")
    assert "model.int8.onnx" in (folder / "README.md").read_text()
    assert "model.int8.onnx" not in (tmp_path / "more" / "README.md").read_text()
    data = PreparedData.load(titled_run / "prepare")
    targets = data.targets("validation")
    assert cost.targets == len(targets)
    recommender = Recommender.load(folder, int8=True)
    wanted = [data.item_ids[item] for item in data.target_items(targets)]
    gain = 0.0
    for user, position, item_id in zip(targets.users, targets.positions, wanted, strict=True):
        history = [data.item_ids[item] for item in data.history(int(user), int(position))]
        listed = [one.item_id for one in recommender.recommend_ids(history)]
        gain += 1 / np.log2(listed.index(item_id) + 2) if item_id in listed else 0.0
    assert cost.int8_ndcg_10 == pytest.approx(gain / len(targets))
    assert 0 < cost.same_lists <= 1
    assert f"{cost.int8_ndcg_10:.4f}" in (folder / "README.md").read_text()


def test_the_card_tells_what_it_is_made_of(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    for told in ("# shop", "## Data", "## Method", "## Results", "## Limits", "## Licences", "`teacher.kind: llm`"):
        assert told in card
    assert "The run was not evaluated" in card
    assert str(bundle.parent) not in card
    assert "/tmp" not in card


def test_a_graph_of_other_scores_is_not_bundled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = StudentConfig(embedding_dim=8, max_length=4)
    one, other = (make_student(config, 9).eval() for _ in range(2))
    write_graph(student_graph(one), tmp_path / "model.onnx", tmp_path / "vectors.npy")
    engine = OnnxEngine(tmp_path / "model.onnx", tmp_path / "vectors.npy", 4)
    compare_engines(engine, TorchEngine(one), [[1, 2]], tmp_path / "model.onnx")
    with pytest.raises(UserError, match="scores differ from the student's"):
        compare_engines(engine, TorchEngine(other), [[1, 2]], tmp_path / "model.onnx")


def test_what_cannot_be_bundled_is_told_in_one_line(
    titled_run: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    for words, told in {
        ("bundle", str(tmp_path / "nowhere")): "no such run",
        ("bundle", str(tmp_path / "empty")): "holds no model; run `recdistill distill` first",
        ("bundle", str(titled_run), "--out", str(tmp_path / "mine")): "is there already; choose another folder",
        ("recommend", str(bundle), "Film 3", "--model", "teacher"): "teacher",
    }.items():
        assert main(list(words)) == 2
        said = capsys.readouterr().err
        assert told in said
        assert said.count("\n") == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    with pytest.raises(UserError, match="holds no model in 8 bits"):
        Recommender.load(bundle, int8=True)
    monkeypatch.setattr("recdistill.serving.bundle.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"onnx is not installed; run pip install '\.\[train,serve\]'"):
        make_bundle(titled_run, tmp_path / "new")
