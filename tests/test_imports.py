import ast
import importlib
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "recdistill"
LAYERS = {
    "ground": ("version", "errors", "languages", "interruption", "printable", "progress"),
    "settings and files": ("config", "storage", "steps", "parallel", "measure", "plan"),
    "data": ("tables", "data"),
    "models": ("students", "evaluation", "language_models", "teacher"),
    "steps": ("distill", "reporting", "serving", "web", "training", "pipeline"),
    "runs of runs": ("experiments",),
    "command line": ("cli", "__main__"),
}
"""From the ground up. A package imports from layers below its own, and within its layer from those named before it."""
PLACE = {package: number for number, package in enumerate(one for layer in LAYERS.values() for one in layer)}
LARGEST = 0.15
"""Share of the lines that one package may hold."""


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


@cache
def imports_of(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """All imports of a file, also inside functions; read once for the tests of every module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in imports_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{path}: imports are absolute"
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in within}
    return {name for name in found if name.split(".")[0] == "recdistill"}


def package(module: str) -> str:
    return module.split(".")[1]


def test_every_package_has_a_layer_and_there_are_at_most_seven() -> None:
    assert {package(module) for module in MODULES if module != "recdistill"} == set(PLACE)
    assert len(LAYERS) <= 7


@pytest.mark.parametrize("module", [module for module in MODULES if module != "recdistill"])
def test_imports_run_downwards(module: str) -> None:
    for other in imported_modules(MODULES[module]):
        assert other in MODULES, f"{module} imports {other}, which is not there"
        if other != "recdistill" and package(other) != package(module):
            assert PLACE[package(other)] < PLACE[package(module)], f"{module} imports {other}, which is not below it"


def test_no_package_holds_more_than_its_share_of_the_lines() -> None:
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    for name in PLACE:
        held = sum(count for module, count in lines.items() if module.split(".")[1:2] == [name])
        assert held <= LARGEST * sum(lines.values()), f"{name} holds {held} lines"


def test_the_layers_stand_in_the_documents() -> None:
    drawn = "\n".join(f"{name:20}{' · '.join(packages)}" for name, packages in reversed(LAYERS.items()))
    assert f"```text\n{drawn}\n```" in (SOURCE.parents[1] / "docs" / "design.md").read_text(encoding="utf-8")


def test_there_are_no_circles() -> None:
    graph = {module: imported_modules(path) - {module} for module, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def run_without(modules: set[str], *lines: str) -> str:
    """What a program of these lines prints, in a process of its own that must not have imported these modules."""
    last = f"found = sorted({modules} & set(sys.modules))\nsys.exit(str(found) if found else 0)"
    script = "\n".join(["import sys", *lines, last])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_is_quick_since_it_leaves_the_heavy_libraries_alone() -> None:
    shown = run_without(
        {"torch", "transformers", "peft", "polars", "matplotlib", "lightning_fabric"},
        "from recdistill.cli import main",
        "try:\n    main(['run', '--help', 'student'])\nexcept SystemExit:\n    pass",
    )
    assert "--student.dropout" in shown
    assert "Share of units set to zero while training" in " ".join(shown.split())


def test_a_command_begins_without_what_only_some_steps_need() -> None:
    """Without these, which are imported where they are needed, it begins in a third of the time."""
    heavy = {"transformers", "peft", "bitsandbytes", "lightning_fabric", "matplotlib", "torch._dynamo"}
    run_without(heavy, "import recdistill.pipeline")


PACKAGES = {module: path for module, path in MODULES.items() if path.name == "__init__.py"}


def names_taken_from(package_name: str) -> set[str]:
    """Names that other modules import from a package itself, its modules not counted."""
    found: set[str] = set()
    for module, path in MODULES.items():
        for node in imports_of(path):
            if isinstance(node, ast.ImportFrom) and node.module == package_name and module != package_name:
                found |= {alias.name for alias in node.names if f"{package_name}.{alias.name}" not in MODULES}
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_a_packages_face_says_what_it_is_and_what_others_may_take_from_it(name: str) -> None:
    face = importlib.import_module(name)
    assert face.__doc__, f"{name} has no docstring"
    assert len(set(face.__all__)) == len(face.__all__)
    assert all(hasattr(face, one) for one in face.__all__)
    assert names_taken_from(name) <= set(face.__all__), f"{name}: taken from its face and not in __all__"


def test_no_module_imports_pickle() -> None:
    for path in MODULES.values():
        for node in imports_of(path):
            named = [alias.name for alias in node.names]
            named += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "dill", "cloudpickle", "joblib", "marshal"} & set(named), path
