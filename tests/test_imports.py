import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "recdistill"
FLOORS = [
    {"errors", "version", "renamed", "interruption", "languages"},
    {"files", "progress", "config", "yaml_files", "mistakes"},
    {"steps"},
    {"results_version"},
    {"settings", "profiling", "digests", "shipped", "help_pages"},
    {"unread"},
    {"data"},
    {"students", "evaluation"},
    {"run_folder"},
    {"teacher", "serving"},
    {"distill"},
    {"training"},
    {"reporting"},
    {"plans", "new_items"},
    {"work"},
    {"pipeline"},
    {"bench"},
    {"study"},
    {"tune"},
    {"parser", "early"},
    {"cli"},
    {"__main__"},
]
"""From the ground up; rooms import only from floors below their own."""
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in within}
    return {name for name in found if name.split(".")[0] == "recdistill"}


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_a_floor() -> None:
    rooms = {room(module) for module in MODULES if module != "recdistill"}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "recdistill"])
def test_imports_run_downwards(module: str) -> None:
    for other in imported_modules(MODULES[module]):
        assert other in MODULES, f"{module} imports {other}, which is not there"
        if other != "recdistill" and room(other) != room(module):
            assert FLOOR[room(other)] < FLOOR[room(module)], f"{module} imports {other}, which is not below it"


def test_there_are_no_circles() -> None:
    graph = {module: imported_modules(path) - {module} for module, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_help_is_quick_since_it_leaves_the_heavy_libraries_alone() -> None:
    script = (
        "import sys\n"
        "from recdistill.cli import main\n"
        "try:\n    main(['run', '--help', 'student'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'peft', 'polars', 'matplotlib', 'lightning_fabric'}\n"
        "sys.exit(f'{sorted(heavy & set(sys.modules))}' if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--student.dropout" in done.stdout
    assert "Share of units set to zero while training" in " ".join(done.stdout.split())
