from pathlib import Path

import pytest

from chain import options, write_interactions
from recdistill.cli import main


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """A run up to `distill` whose language model reads a genre behind each title; read it, and write nothing to it."""
    folder = tmp_path_factory.mktemp("titled-run")
    events = write_interactions(folder / "data")
    items = folder / "data" / "items.csv"
    head, *rows = items.read_text().splitlines()
    items.write_text("\n".join([f"{head},genre", *(f"{row},kind {place % 3}" for place, row in enumerate(rows))]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECDISTILL_CACHE", str(folder / "cache"))
        assert main(["distill", *options(folder / "run", tiny_llm, events, "--data.text=[genre]")]) == 0
    return folder / "run"


@pytest.fixture
def titled_run(made_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with a cache beside it for the titles that are read."""
    monkeypatch.setenv("RECDISTILL_CACHE", str(made_run.parent / "cache"))
    return made_run
