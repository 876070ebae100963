"""Run the notebooks of docs/notebooks in an empty folder each, and write them with their outputs.

    python docs/run_notebooks.py            run and write (`make notebooks`)
    python docs/run_notebooks.py --check    run, write nothing; a cell that fails ends it

Ids of cells, and what is left of a notebook's metadata, are the same on every machine. What libraries write to stderr
is about the machine and is left out.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
SECONDS = 300
"""Most that one cell may take."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(path: Path) -> NotebookNode:
    """A notebook with its outputs, run in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
        ValueError: an output names a folder of this machine.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place).execute()
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        text = nbformat.writes(notebook)
        personal = [name for name in (folder, str(Path.home()), str(NOTEBOOKS), sys.prefix) if name in text]
    if personal:
        raise ValueError(f"{path.name}: an output names {', '.join(personal)}")
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", NotebookNode()
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def main() -> int:
    """Run all notebooks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = run(path)
        if not check:
            nbformat.write(notebook, path)
        sys.stderr.write(f"{path.name}: {len(notebook.cells)} cells\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
