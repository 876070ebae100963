"""The notebooks hold their outputs, and run with the package as it is. Made by `make notebooks`."""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import recdistill

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs" / "notebooks").glob("*.ipynb"))
PERSONAL = re.compile(r"/(?:home|root|Users|tmp|work|var|opt)/|[A-Z]:\\\\")


def code_cells(path: Path) -> list[Any]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_run_from_top_to_bottom_and_names_no_folder_of_a_machine(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert not PERSONAL.findall(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_imports_of_the_package_is_there(path: Path) -> None:
    source = "\n".join("".join(cell["source"]) for cell in code_cells(path))
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    named = [(node.module or "", alias.name) for node in found for alias in node.names]
    ours = [(module, name) for module, name in named if module.startswith("recdistill")]
    assert ours
    for module, name in ours:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_settings_of_a_notebook_are_accepted(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells up to the first that runs something, and what that one asks for."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def run(config: Any, **_: Any) -> None:
        asked.append(config)
        raise InterruptedError

    monkeypatch.setattr(recdistill, "run", run, raising=False)
    names: dict[str, Any] = {}
    with pytest.raises(InterruptedError):
        for cell in code_cells(path):
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert asked[0].run.startswith("runs/")
