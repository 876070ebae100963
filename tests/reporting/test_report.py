import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from recdistill.reporting import plots
from recdistill.reporting.language import Texts
from recdistill.reporting.report import write_report

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks nesting; collects ids, addresses and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str | None] = []
        self.addresses: list[str | None] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.handle_attributes(attributes)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handle_attributes(attributes)

    def handle_attributes(self, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "text"} & set(self.open):
            self.text.append(data)

    def says(self, sentence: str) -> bool:
        return " ".join(sentence.split()) in " ".join(" ".join(self.text).split())


Report = tuple[str, Page, str, Path]
"""A report: its language, page, Markdown and folder."""


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, which takes most of a report's time."""
    monkeypatch.setattr(plots, "to_svg", lambda figure, name: "<svg ></svg>")


@pytest.fixture(scope="module", params=["en", "ja"])
def report(
    make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Report:
    """A whole run's report: its language, page, Markdown and folder."""
    folder = tmp_path_factory.mktemp("report")
    return request.param, *written(make_run(folder / "run"), folder / "out", request.param), folder / "out"


def written(run: Path, folder: Path, language: str = "en") -> tuple[Page, str]:
    write_report(run, folder, language)
    return Page((folder / "report.html").read_text()), (folder / "report.md").read_text()


def test_page_is_whole_and_asks_for_nothing(report: Report) -> None:
    language, page, markdown, folder = report
    assert all(count == 1 for count in Counter(page.ids).values())
    assert all(address and address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    assert not page.tags & {"script", "link", "iframe", "img"}
    assert not re.findall(r"@import|url\((?!#)", (folder / "report.html").read_text())
    drawings = re.findall(r"!\[[^\]]*\]\((.*?)\)", markdown)
    assert len(drawings) == 7
    for drawing in drawings:
        svg = (folder / drawing).read_text()
        assert svg.startswith("<svg ")
        assert "prefers-color-scheme" in svg
    assert page.says(Texts(language)("contents_summary"))


def test_no_sentence_of_the_other_language(report: Report) -> None:
    language, page, markdown, _ = report
    other = Texts("en" if language == "ja" else "ja")
    for key, values in other.messages.variables.items():
        if values or key.startswith("bench_"):
            continue
        if key.startswith("contents_") or len(Texts("en")(key)) > 40:
            assert not page.says(other(key))
            assert f"## {other(key)}\n" not in markdown


def test_markdown_and_html_say_the_same(report: Report) -> None:
    _, page, markdown, _ = report
    plain = re.sub(r"\\(.)", r"\1", markdown).replace("&amp;", "&").replace("**", "")
    for text in page.text:
        if text == Texts(report[0])("tables_scroll"):  # Markdown's tables are laid out by whoever shows them
            continue
        assert all(line.strip() in plain for line in text.splitlines()), text


@pytest.mark.usefixtures("no_drawing")
def test_summary_names_the_best_and_weighs_each_difference(make_run: Callable[..., Path], tmp_path: Path) -> None:
    page, _ = written(make_run(tmp_path / "run"), tmp_path / "out")
    assert page.says("The distilled student has the highest NDCG@10: 0.1200 (95 % interval 0.1100 to 0.1300).")
    assert page.says("940 targets (test split) of 940 users among all 1,682 items, seen items filtered out")
    assert page.says("The distilled student is above the student by 0.0200 NDCG@10")
    assert page.says("Between the teacher and the student there is no detectable difference: +0.0020 NDCG@10")
    assert page.says(
        "Between the student and the co-occurrence baseline a difference of +0.0100 NDCG@10 is inconclusive"
    )
    assert page.says("not by itself the language model's knowledge")
    assert page.says("3 of 940 targets repeat an item of their own history")


@pytest.mark.usefixtures("no_drawing")
def test_a_control_says_that_it_is_one(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = run / "teacher" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["config"] |= {"llm_weights": "shuffled", "title_encoder_weights": "pretrained"}
    path.write_text(json.dumps(manifest))
    page, _ = written(run, tmp_path / "out")
    assert page.says("This run is a control: its models have lost what they learned (teacher.llm_weights: shuffled).")
    assert not page.says("not by itself the language model's knowledge")


@pytest.mark.usefixtures("no_drawing")
def test_shows_curves_cost_gate_evidence_environment_and_command(make_run: Callable[..., Path], tmp_path: Path) -> None:
    page, markdown = written(make_run(tmp_path / "run"), tmp_path / "out")
    shown = (
        "90.25",
        "592.52",
        "1.280 nats, of 1.386 at most",
        "attention_in_use",
        "49,000,000",
        "Some CPU, 2 cores",
        "were not in effect: teacher.compile",
        "teacher.compile true NOT IN EFFECT 0 graphs",
        "0123abcd, with uncommitted changes",
        "recdistill run --config config.yaml",
    )
    for text in shown:
        assert page.says(text)
    assert "llm: smollm2" in markdown
    assert "seed: 42" in markdown


@pytest.mark.usefixtures("no_drawing")
def test_shows_how_much_of_the_teachers_lists_is_memory(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page, _ = written(run, tmp_path / "out")
    assert page.says("training targets 97,171 0.586 0.337 1.491 validation targets 943 0.062 0.019 2.007")
    (run / "teacher_outputs" / "target_memorisation.json").unlink()  # as an earlier version left it
    assert not written(run, tmp_path / "out")[0].says("Teacher outputs on training targets")


STRENGTHS = {
    "sparse": (
        {},
        "with weight 1 and dropout as the plain student. An item has 3.4 training interactions on average; below",
    ),
    "dense": (
        {"dropout": 0.1, "weight": 8.0, "events_per_item": 58.3},
        "with weight 8 and dropout 0.1. An item has 58.3",
    ),
}


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("case", STRENGTHS)
def test_shows_how_hard_the_lists_were_learned_where_that_was_auto(
    make_run: Callable[..., Path], tmp_path: Path, case: Any
) -> None:
    run, (changes, told) = make_run(tmp_path / "run"), STRENGTHS[case]
    assert not written(run, tmp_path / "out")[0].says("distill.dropout set to auto")
    chosen = {"weight": 1.0, "dropout": None, "events_per_item": 3.43, "limit": 25.0, "why": "told"} | changes
    (run / "distilled" / "strength.json").write_text(json.dumps(chosen))
    assert written(run, tmp_path / "out")[0].says(told)


@pytest.mark.usefixtures("no_drawing")
def test_shows_novelty_cold_targets_and_the_papers_protocol(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page, _ = written(run, tmp_path / "out")
    assert page.says("novelty@10")
    assert page.says("9.88")
    assert page.says("cold, 0–4 interactions")
    assert page.says("distilled 0.6000 [0.5900, 0.6100]")
    assert page.says("HR@1 of 20")
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
    del metrics["candidates"]
    (run / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    assert not written(run, tmp_path / "out")[0].says("HR@1 of 20")


@pytest.mark.parametrize(
    ("without", "key"),
    [
        (("teacher", "teacher_outputs", "distilled"), "no_teacher"),
        (("teacher_outputs", "distilled"), "no_outputs"),
        (("distilled",), "no_distilled"),
        (("evaluation",), "no_metrics"),
        (("prepare",), "no_data"),
        (("student", "teacher", "distilled"), "no_curves"),
    ],
)
@pytest.mark.usefixtures("no_drawing")
def test_missing_parts_are_left_out_and_said(
    make_run: Callable[..., Path], tmp_path: Path, without: str, key: str
) -> None:
    models = {name: 0.1 for name in ("popularity", "student", "teacher", "distilled") if name not in without}
    page, markdown = written(make_run(tmp_path / "run", without, models), tmp_path / "out")
    assert page.says(Texts("en")(key))
    assert "> " in markdown


@pytest.mark.usefixtures("no_drawing")
def test_one_model_alone(make_run: Callable[..., Path], tmp_path: Path) -> None:
    without = ("teacher", "teacher_outputs", "distilled")
    page, _ = written(make_run(tmp_path / "run", without, {"student": 0.1}), tmp_path / "out")
    assert page.says("With one model there is nothing to compare.")


def test_names_from_outside_are_only_text(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "<b>run & co", models={"<i>mine</i>": 0.1, "student": 0.1})
    gate = {"users": [{"user": "</svg><script>", "weights": [1.0]}], "entropy": 0.0, "between_user_std": 0.0}
    (run / "teacher" / "gate_examples.json").write_text(json.dumps(gate))
    seen = {"attention": "<img src=x onerror=y>", "products": {"<img src=z>": 1}}
    (run / "teacher" / "evidence.json").write_text(json.dumps(seen))
    page, markdown = written(run, tmp_path / "out")
    assert not page.tags & {"script", "img", "b", "i"}
    assert page.says("Report of <b>run & co")
    assert page.says("<i>mine</i>")
    assert page.says("attention <img src=x onerror=y>")
    assert page.says("products.<img src=z> 1")
    assert "<i>mine" not in markdown.replace("\\<i\\>", "")


@pytest.mark.usefixtures("no_drawing")
def test_steps_of_different_machines_are_said(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = run / "teacher" / "manifest.json"
    manifest = json.loads(path.read_text())
    gpu = {"name": "Some GPU", "count": 1, "memory_gib": 80.0, "driver": "570.1", "cuda": "13.0"}
    manifest["environment"] |= {"gpu": gpu, "time": "later"}
    path.write_text(json.dumps(manifest))
    page, _ = written(run, tmp_path / "out")
    assert page.says("The last step's is shown; these steps differ: teacher.")


@pytest.mark.usefixtures("no_drawing")
def test_gpu_peaks_and_driver_are_shown(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    gpu = {"name": "Some GPU", "count": 1, "memory_gib": 80.0, "driver": "570.1", "cuda": "13.0"}
    for manifest in run.glob("*/manifest.json"):
        found = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(found | {"environment": found["environment"] | {"gpu": gpu}}))
    (run / "teacher" / "memory.json").write_text(
        json.dumps({"phases": {"train step": {"peak_rss_gib": 2.0, "peak_allocated_gib": 33.5}}})
    )
    page, _ = written(run, tmp_path / "out")
    assert page.says("peak on the GPU, GiB")
    assert page.says("33.50")
    assert page.says("Some GPU, 80.0 GiB, driver 570.1, CUDA 13.0")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_summary_says_that_seeds_are_not_in_its_noise(
    make_run: Callable[..., Path], tmp_path: Path, no_drawing: None, language: str
) -> None:
    run = make_run(tmp_path / "run")
    write_report(run, tmp_path / "report", language)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert Texts(language)("one_seed") in text.split("\n## ")[1]


def test_the_bound_is_never_the_best_model(make_run: Callable[..., Path], tmp_path: Path, no_drawing: None) -> None:
    run = make_run(tmp_path / "run", models={"student": 0.2, "distilled": 0.3, "oracle": 0.9})
    write_report(run, tmp_path / "report", "en")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    results = text.split(f"## {Texts('en')('contents_results')}")[1].split("\n## ")[0]
    rows = {line.split("|")[1].strip(): line for line in results.splitlines() if line.startswith("|")}
    assert "**" in rows["distilled"]
    assert "**" not in rows["student"] + rows["oracle"]


@pytest.mark.usefixtures("no_drawing")
def test_what_filters_dropped_and_which_items_have_no_row_is_told(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    page, _ = written(make_run(tmp_path / "run"), tmp_path / "out")
    assert page.says("removed by data.duplicates 207 interactions, 7 users, 0 items")
    assert page.says("removed by data.min_user_events and data.min_item_events 0 interactions")
    assert page.says("items that are not in the items file 3")
    assert page.says("items with several titles in the items file (the first is used) 1")
