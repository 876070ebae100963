"""`from recdistill import …`: what is promised to stay, tried as a user would."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import recdistill
from recdistill import Recommender, RunConfig, UserError, compare, run
from recdistill.config import ColumnsConfig, DataConfig, EvaluateConfig, StudentConfig, TeacherConfig, TrainConfig
from recdistill.storage.files import read_json

COLUMNS = ColumnsConfig(user="reader", item="book", timestamp="day", title="name")


def config(folder: Path, **data: Any) -> RunConfig:
    train = TrainConfig(max_epochs=2, batch_size=32)
    return RunConfig(
        run=str(folder / "run"),
        threads=1,
        device="cpu",
        data=DataConfig(columns=COLUMNS, **data),
        student=StudentConfig(embedding_dim=8, num_layers=1, max_length=10, train=train),
        teacher=TeacherConfig(kind="none"),
        evaluate=EvaluateConfig(bootstrap_samples=20, permutations=20, candidates=0),
    )


def library(readers: int = 40, books: int = 12) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Readers who go through a shelf in order, from wherever they begin."""
    starts = np.random.default_rng(3).integers(0, books, readers)
    rows = [(f"r{who}", int(start + day) % books + 1, day) for who, start in enumerate(starts) for day in range(6)]
    names = [(book, f"Volume {book}") for book in range(1, books + 1)]
    return pd.DataFrame(rows, columns=["reader", "book", "day"]), pd.DataFrame(names, columns=["book", "name"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run of pandas frames, evaluated."""
    wish = config(tmp_path_factory.mktemp("frames"))
    loans, books = library()
    assert run(wish, "evaluate", interactions=loans, items=books) == Path(wish.run)
    return wish


def test_frames_become_a_run_like_any_other(made: RunConfig, tmp_path: Path) -> None:
    loans, books = library()
    loans.to_csv(tmp_path / "loans.csv", index=False)
    books.to_csv(tmp_path / "books.csv", index=False)
    files = {"source": "csv", "path": str(tmp_path / "loans.csv"), "items_path": str(tmp_path / "books.csv")}
    other = run(config(tmp_path, **files), "evaluate")
    metrics = [read_json(path / "evaluation" / "metrics.json")["models"] for path in (Path(made.run), other)]
    assert metrics[0] == metrics[1]
    assert [path.name for path in Path(made.run).parent.iterdir()] == ["run"], "no file is left beside the run"


def test_the_same_frames_are_the_same_run_and_others_are_refused(
    made: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    loans, books = library()
    caplog.set_level("INFO")
    run(made, "evaluate", interactions=pl.DataFrame(loans.to_dict("list")), items=books)
    assert "evaluate: finished before, nothing to do" in caplog.messages
    # What is prepared needs the frames no more.
    caplog.clear()
    run(RunConfig(**{**vars(made), "data": DataConfig(source="frames", columns=COLUMNS)}), "evaluate")
    assert "evaluate: finished before, nothing to do" in caplog.messages
    with pytest.raises(UserError, match="was made with other data"):
        run(made, "evaluate", interactions=loans[6:], items=books)


def test_frames_and_files_are_not_mixed(tmp_path: Path) -> None:
    loans, books = library()
    with pytest.raises(UserError, match="items: given without interactions"):
        run(config(tmp_path), items=books)
    with pytest.raises(UserError, match=r"data: interactions were given, and data\.source csv names files to read"):
        run(config(tmp_path, source="csv", path="x.csv"), interactions=loans)
    with pytest.raises(UserError, match=r"data\.source: frames are given in Python"):
        run(config(tmp_path, source="frames"), "prepare")
    assert not list(tmp_path.glob("*/*"))


def test_a_recommender_answers_in_a_frame(made: RunConfig) -> None:
    recommender = Recommender.load(Path(made.run), model="student")
    loans, _ = library(readers=3)
    answer = recommender.recommend_frame(loans, top_k=2, columns=COLUMNS, batch_size=2)
    assert isinstance(answer, pd.DataFrame)
    assert list(answer.columns) == ["reader", "book", "rank", "title", "score"]
    assert answer["reader"].tolist() == ["r0", "r0", "r1", "r1", "r2", "r2"]
    assert answer["rank"].tolist() == [1, 2] * 3
    for reader, rows in answer.groupby("reader"):
        history = loans[loans["reader"] == reader].sort_values("day")["book"]
        expected = recommender.recommend_ids([str(book) for book in history], top_k=2)
        assert rows["book"].astype(str).tolist() == [one.item_id for one in expected]
        assert rows["title"].tolist() == [one.title for one in expected]
        assert rows["score"].to_numpy() == pytest.approx([one.score for one in expected], abs=1e-5)
    with pytest.raises(UserError, match="item_ids: the catalog has no '99'"):
        recommender.recommend_frame(loans.assign(book=99), columns=COLUMNS)


def test_runs_are_compared(made: RunConfig) -> None:
    found = compare({"books": [Path(made.run)]}, bootstrap_samples=20, permutations=20)
    assert [entry["model"] for entry in found["entries"]] == ["student"]


def test_all_public_names_are_there_and_importing_the_package_is_quick() -> None:
    assert set(recdistill.__all__) <= set(dir(recdistill))
    assert all(getattr(recdistill, name) is not None for name in recdistill.__all__)
    with pytest.raises(AttributeError, match="module 'recdistill' has no attribute 'nothing'"):
        recdistill.nothing  # noqa: B018
    script = "import sys, recdistill; sys.exit(bool({'torch', 'polars', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
