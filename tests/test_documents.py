"""The documents say what the code does: generated pages, links, and the same story in both languages."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from recdistill.config import RunConfig

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", ["configuration", "results"])
def test_generated_pages_are_up_to_date(page: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / f"docs/generate_{page}.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_demo_spelled_out_is_the_default() -> None:
    spelled_out = yaml.safe_load((ROOT / "configs/ml-100k.yaml").read_text(encoding="utf-8"))
    assert spelled_out == json.loads(json.dumps(asdict(RunConfig())))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    for target, _ in LINK.findall(document.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def test_both_readmes_have_one_structure() -> None:
    english, japanese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md"))
    assert _skeleton(english) == _skeleton(japanese)


def _skeleton(text: str) -> list[str]:
    """Levels of headings, languages of code blocks, targets of links, in order; not the link to the other README."""
    found = re.findall(r"^#+(?= )|^ *```\w*|\]\([^)]+\)", text, flags=re.MULTILINE)
    return [part.strip() for part in found if "README" not in part]


def test_a_level_is_reached_at_the_first_validation_as_good() -> None:
    spec = importlib.util.spec_from_file_location("generate_results", ROOT / "docs/generate_results.py")
    assert spec is not None
    assert spec.loader is not None
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    curve = [
        {"cpu_seconds": 4.0, "ndcg@10": 0.1},
        {"cpu_seconds": 8.0, "ndcg@10": 0.3},
        {"cpu_seconds": 12.0, "ndcg@10": 0.2},
    ]
    assert [results.level_reached({"curve": curve}, level) for level in (0.1, 0.2, 0.3, 0.4)] == [4.0, 8.0, 8.0, None]
