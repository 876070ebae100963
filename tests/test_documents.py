"""The documents say what the code does: generated pages, links, and the same content in both languages."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

import recdistill
from recdistill.config import RunConfig
from recdistill.config.settings import run_config
from recdistill.reporting.language import Texts

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "ja").glob("*.md")),
    *sorted((ROOT / "docs" / "experiments").glob("*.md")),
]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
LINK_TO_HEADING = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["configuration", "results"])
def test_generated_pages_are_up_to_date(page: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / f"docs/generate_{page}.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_demo_spelled_out_is_the_default() -> None:
    spelled_out = yaml.safe_load((ROOT / "configs/ml-100k.yaml").read_text(encoding="utf-8"))
    assert spelled_out == json.loads(json.dumps(asdict(RunConfig())))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(document: Path) -> None:
    for target, _ in LINK.findall(document.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_headings_lead_to_one(document: Path) -> None:
    for target, heading in LINK_TO_HEADING.findall(CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))):
        other = document.parent / target if target else document
        if other.suffix == ".md" and not target.startswith(("http://", "https://")):
            assert heading in anchors(other), f"{target}#{heading}"


def anchors(document: Path) -> set[str]:
    """What a page's headings are called in links, as GitHub and mkdocs call them, and the names given by hand."""
    text = CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))
    headings = (re.sub(r"[^\w\- ]", "", one.lower()).strip() for one in re.findall(r"^#+ (.*)$", text, re.MULTILINE))
    return {one.replace(" ", "-") for one in headings} | set(re.findall(r'<a id="([^"]+)">', text))


def test_what_is_cited_is_what_the_package_is() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == project["license"]
    assert project["version"] == recdistill.__version__
    # Without a release there is no version to cite; with one, it is this.
    assert citation.get("version", recdistill.__version__) == recdistill.__version__
    assert ("version" in citation) == ("date-released" in citation)
    for readme in ("README.md", "README.ja.md"):
        assert f"title = {{{citation['title']}}}" in (ROOT / readme).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["bug", "feature", "question"])
def test_an_issue_form_asks_for_something(name: str) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_the_changelog_names_no_version_that_was_not_released() -> None:
    versions = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert versions[0] == "Unreleased"
    for version in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", version), version


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200


def test_both_readmes_have_one_structure() -> None:
    english, japanese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md"))
    assert _skeleton(english) == _skeleton(japanese)


def _skeleton(text: str) -> list[str]:
    """Levels of headings, languages of code blocks, targets of links, in order; not links between languages."""
    found = re.findall(r"^#+(?= )|^ *```\w*|\]\([^)]+\)", text, flags=re.MULTILINE)
    return [part.strip() for part in found if not any(own in part for own in ("README", "docs/ja/", "glossary"))]


@pytest.fixture(scope="module")
def results() -> Any:
    """The script that writes the page of results."""
    spec = importlib.util.spec_from_file_location("generate_results", ROOT / "docs/generate_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_summary_has_the_share_retained_where_the_gain_is_significant(results: Any, tmp_path: Path) -> None:
    def row(
        gains: dict[str, float],
        metric: str = "ndcg@10",
        against: str = "student",
        cost: float | None = 90.0,
        p_holm: float = 0.002,
    ) -> str:
        entries: list[dict[str, Any]] = [{"variant": "main", "model": "student", "seeds": 5, "mean": 0.1}]
        for model, gain in gains.items():
            tested = {"against": {"variant": "main", "model": against}, "difference": gain, "p_holm": p_holm}
            tested |= {"difference_interval": [gain - 0.01, gain + 0.01], "gain_percent": 1000 * gain}
            entries.append({"variant": "main", "model": model, "seeds": 5, "mean": 0.1 + gain, **tested})
        steps = {"student": {"core_seconds": 30.0}, "teacher": {"core_seconds": cost}}
        (tmp_path / "mine").mkdir(exist_ok=True)
        path = tmp_path / "mine" / "test.json"
        path.write_text(json.dumps({"metric": metric, "entries": entries, "variants": {"main": {"steps": steps}}}))
        return str(results.summary_row(path))

    both = {"teacher": 0.02, "distilled": 0.015}
    assert row(both) == (
        "| [mine](#mine-test) | 5 | 0.1000 |  | 0.1200, +20.0 % [+0.0100, +0.0300], p 0.002 "
        "| 0.1150, +15.0 % [+0.0050, +0.0250], p 0.002 | 75 % | 2.0 |"
    )
    assert row(both, cost=None).endswith("| 75 % |  |")
    assert row({"teacher": -0.02, "distilled": 0.015}).endswith("|  | 2.0 |")  # no gain of which a part could be kept
    assert row(both, p_holm=0.049).endswith("| 75 % | 2.0 |")
    assert row(both, p_holm=0.051).endswith("|  | 2.0 |")
    assert row(both, metric="mrr@10") == row(both, against="teacher") == row({"teacher": 0.02}) == ""


def test_a_level_is_reached_at_the_first_validation_as_good(results: Any) -> None:
    curve = [
        {"cpu_seconds": 4.0, "ndcg@10": 0.1},
        {"cpu_seconds": 8.0, "ndcg@10": 0.3},
        {"cpu_seconds": 12.0, "ndcg@10": 0.2},
    ]
    assert [results.level_reached({"curve": curve}, level) for level in (0.1, 0.2, 0.3, 0.4)] == [4.0, 8.0, 8.0, None]


def test_the_page_of_results_is_what_its_files_say(results: Any) -> None:
    page, _ = results.page()  # the drawing's text depends on matplotlib's version
    assert page == results.PAGE.read_text(encoding="utf-8")


def test_the_learning_curve_draws_each_share_and_model(results: Any, tmp_path: Path) -> None:
    def entry(variant: str, model: str, mean: float) -> dict[str, Any]:
        return {"variant": variant, "model": model, "seeds": 5, "mean": mean, "interval": [mean - 0.01, mean + 0.01]}

    models = [("main", "student"), ("main", "teacher"), ("main", "distilled"), ("titles-alone", "distilled")]
    for share in ("ml-latest-small-tenth", "ml-latest-small-quarter", "ml-latest-small-half", "ml-latest-small.epyc"):
        (tmp_path / share).mkdir()
        entries = [entry(*model, 0.1 + 0.01 * place) for place, model in enumerate(models)]
        steps: dict[str, Any] = {
            step: {"train": {"max_epochs": epochs}} for step, epochs in (("student", 4), ("teacher", 3))
        }
        steps["distilled"] = {"train": {"max_epochs": 2}, "weight": 8.0, "dropout": 0.1}
        found = {"users": 7, "entries": entries, "variants": {"main": {"settings": steps}}}
        (tmp_path / share / "test.json").write_text(json.dumps(found))
    text, drawing = results.learning_curve(tmp_path)
    assert "all 7 are\ntested" in text
    assert "| a tenth | 5 | 8, 0.1 | 4, 3, 2 |" in text
    for label in ("a tenth", "all", "student", "titles alone", "teacher", "distilled"):
        assert f">{label}</text>" in drawing


def test_the_glossarys_words_are_those_of_the_reports() -> None:
    """The glossary names models and conclusions as the message files do."""
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = dict(line.strip("| ").split(" | ")[:2] for line in glossary.splitlines() if line.count(" | ") >= 2)
    english, japanese = Texts("en"), Texts("ja")
    keys = ("popularity", "cooccurrence", "item_knn", "ease", "student", "teacher", "distilled",
            "contents_candidates", "result_clear",
            "result_perhaps", "result_level", "bench_outcome_noise", "bench_floor_header")  # fmt: skip
    for key in keys:
        word = english(key)
        assert rows[word if word in rows else word.lower()] == japanese(key), key


def test_the_japanese_guide_names_what_the_report_names() -> None:
    guide = (ROOT / "docs" / "ja" / "guide.md").read_text(encoding="utf-8")
    japanese = Texts("ja")
    sections = ("summary", "results", "tests", "lists", "evidence")
    assert re.findall(r"^\d\. \*\*(.+?)\*\*：", guide, flags=re.MULTILINE) == [
        japanese(f"contents_{section}") for section in sections
    ]
    assert re.findall(r"^   \| (.+?) \|", guide, flags=re.MULTILINE)[1:] == [
        japanese(f"result_{verdict}") for verdict in ("clear", "perhaps", "level")
    ]
    assert f"「{japanese('not_in_effect')}」の設定" in guide


def test_the_japanese_guides_settings_are_settings() -> None:
    guide = (ROOT / "docs" / "ja" / "guide.md").read_text(encoding="utf-8")
    config = run_config(yaml.safe_load(re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)[0]))
    assert config.report.language == "ja"
    assert config.data.columns.title == "name"


def test_the_page_of_reliability_is_that_of_its_figures() -> None:
    script = ROOT / "benchmarks/reliability.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
