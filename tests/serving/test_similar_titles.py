"""A run whose distilled student has a part for similar titles: trained, ranked, bundled, given new items."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from chain import options
from recdistill.cli import main
from recdistill.serving.bundle import make_bundle
from recdistill.serving.new_items import add_items
from recdistill.serving.recommender import Recommender
from recdistill.storage.files import read_json
from recdistill.students.make import load_student

HISTORY = ["Film 3", "Film 4"]
DECAY, DIM = 0.5, 16


@pytest.fixture
def run(titled_run: Path, tmp_path: Path, tiny_llm: Path) -> Path:
    """The same run, distilled with the part."""
    run, events = tmp_path / "run", titled_run.parent / "data" / "events.csv"
    for step in ("prepare", "student", "teacher", "teacher_outputs"):
        shutil.copytree(titled_run / step, run / step)
    words = options(run, tiny_llm, events, "--data.text=[genre]", f"--distill.title_decay={DECAY}")
    assert main(["evaluate", *words]) == 0
    return run


def test_it_is_trained_as_without_and_its_weight_is_chosen(run: Path, titled_run: Path) -> None:
    plain, similar = (load_student(folder / "distilled") for folder in (titled_run, run))
    assert similar.similarity is not None
    assert (similar.similarity.decay, similar.state_dim) == (DECAY, DIM + similar.similarity.dim)
    assert similar.similarity.weight in (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 4.0)
    assert np.array_equal(similar.item_vectors().detach()[:, :DIM], plain.item_vectors().detach())
    rows = read_json(run / "evaluation" / "metrics.json")["models"]
    assert {"student", "teacher", "distilled"} <= set(rows)


def test_a_bundle_answers_as_the_run_and_new_items_keep_known_scores(run: Path, tmp_path: Path) -> None:
    before = {item.item_id: item.score for item in Recommender.load(run).recommend(HISTORY, top_k=100)}
    bundle = make_bundle(run, tmp_path / "bundle")
    bundled = {item.item_id: item.score for item in Recommender.load(bundle).recommend(HISTORY, top_k=100)}
    assert bundled == pytest.approx(before, abs=1e-4)
    (tmp_path / "new.csv").write_text("item_id,title,genre\nn1,Film 3,kind 2\n")
    for source in (run, bundle):
        out = tmp_path / f"more-{source.name}"
        assert add_items(source, tmp_path / "new.csv", out) == 1
        after = {item.item_id: item.score for item in Recommender.load(out).recommend(HISTORY, top_k=100)}
        assert set(after) - set(before) == {"n1"}
        assert {item_id: after[item_id] for item_id in before} == pytest.approx(before, abs=1e-4)
    student = load_student(tmp_path / "more-run" / "distilled")
    titles = student.item_vectors().detach()[:, DIM:]
    same = read_json(run / "prepare" / "catalog.json")["item_ids"].index("i3")
    np.testing.assert_allclose(titles[-1], titles[same], rtol=0.05, atol=0.02)  # the same text, in half precision
    assert float(titles[-1].abs().max()) > 0.1
