import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import recdistill
from recdistill.config import ReportConfig
from recdistill.experiments.bench.language import OWN, BenchTexts
from recdistill.experiments.bench.statistics import METRICS
from recdistill.language_models.attention import FLASH_ATTENTION_MISSING
from recdistill.languages import LANGUAGES, LOCALES, message
from recdistill.reporting.catalogue import Catalogue, catalogue
from recdistill.reporting.collect import read_run
from recdistill.reporting.document import Heading
from recdistill.reporting.language import MODELS, Texts
from recdistill.reporting.report import build_document

SOURCE = Path(recdistill.__file__).parent
ENGLISH = catalogue("en")
KEYS = list(ENGLISH.variables)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
SAME_IN_ALL = {"cpu", "gpu", "python", "item_knn", "ease"}


def test_a_setting_may_be_each_language_that_has_a_file() -> None:
    assert set(LANGUAGES) == {"en", "ja"} == {path.stem for path in LOCALES.iterdir()}
    assert get_args(get_type_hints(ReportConfig)["language"]) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_languages_have_the_same_messages_with_the_same_values(language: str) -> None:
    assert catalogue(language).variables == ENGLISH.variables


@pytest.mark.parametrize("key", KEYS)
def test_every_message_can_be_filled_in_and_is_translated(key: str) -> None:
    values = dict.fromkeys(ENGLISH.variables[key], 1234567)
    english, japanese = (catalogue(language).format(key, values) for language in ("en", "ja"))
    for text in (english, japanese):
        assert text.count("1234567") >= len(values) or key == "minutes", text
        assert "$" not in text
        assert "\n" not in text
    assert not JAPANESE.search(english)
    assert key in SAME_IN_ALL or JAPANESE.search(japanese) or english != japanese


def source_of(*packages: str) -> str:
    return "".join(path.read_text() for package in packages for path in (SOURCE / package).rglob("*.py"))


def test_no_message_is_unused() -> None:
    source = source_of("reporting", "experiments/bench")
    built = ("phase_", "split_", "step_", "contents_", "seen_", "result_", "outcome_", "slice_", "clearly_")
    from_data = {*MODELS, *METRICS, "events", "users", "items", "titles_missing", "tied_events", "perhaps", "level"}
    source += source_of("measure", "teacher", "language_models")
    from_data |= {f"seen_{fact}" for fact in ("adapter_rank", "experts", "prompt", "head")}
    from_data |= {f"attention_{why}" for why in FLASH_ATTENTION_MISSING}
    for key in KEYS:
        name = key.removeprefix(OWN)
        if not (name.startswith(built) or name.endswith("_targets") or name in from_data):
            assert f'"{name}"' in source, key


def test_every_phase_has_a_name() -> None:
    names = re.findall(r"\.phase\(\"([^\"]+)\"\)", source_of("."))
    assert len(set(names)) > 20
    for name in names:
        assert Texts("en").phase(name) == name
        assert not Texts("ja").phase(name).isascii(), name
    assert Texts("ja").phase("load student") == "生徒モデルの読み込み"
    assert Texts("ja").phase("rank <b>mine") == "<b>mineの順位付け"
    assert Texts("ja").phase("of an older version") == "of an older version"


def test_a_kept_message_is_told_in_the_reports_language_and_an_older_sentence_as_it_is() -> None:
    kept = json.loads(json.dumps([asdict(message("seen_kernels", kernels=message("none"))), "older"]))
    assert Texts("en").told(kept) == "kernels: none; older"
    assert Texts("ja").told(kept) == "カーネル: なし、older"


def test_models_have_names_and_strangers_keep_theirs() -> None:
    assert Texts("en").name("popularity") == "popularity baseline"
    assert Texts("en").label("popularity") == "popularity"
    assert Texts("ja").label("student") == "生徒モデル (student)"
    assert Texts("ja").label("p_text") == "p_text"


def test_a_slice_of_one_value_is_called_by_it() -> None:
    assert Texts("en").slice_name("1", "popularity", 5, 6) == "5–6 interactions"
    assert Texts("en").slice_name("1", "history_length", 8, 8) == "8 items"
    assert Texts("ja").slice_name("cold", "popularity", 1, 1) == "コールド（1 回）"


def test_values_with_braces_are_plain_text() -> None:
    assert Texts("en")("title", run="{x}") == "Report of {x}"


def test_the_benchs_own_messages_come_first() -> None:
    assert BenchTexts("en")("outcome") == ENGLISH.format("bench_outcome", {})
    assert BenchTexts("en")("unknown") == ENGLISH.format("unknown", {})


@pytest.fixture
def pseudo(tmp_path: Path) -> Path:
    """A folder with a third language: English with every letter of its texts in capitals."""
    made = []
    for line in (LOCALES / "en.ftl").read_text(encoding="utf-8").splitlines():
        name, equals, text = line.partition(" = ")
        parts = re.split(r"(\{.*?\})", text)
        made.append(name + equals + "".join(part if part.startswith("{") else part.upper() for part in parts))
    (tmp_path / "qps.ftl").write_text("\n".join(made), encoding="utf-8")
    return tmp_path


def test_a_third_language_is_one_file(pseudo: Path, make_run: Callable[..., Path]) -> None:
    assert Catalogue("qps", pseudo).variables == ENGLISH.variables
    run = read_run(make_run(pseudo / "run"))
    document = build_document(run, Texts("qps", pseudo))
    assert document.language == "qps"
    assert document.title == "REPORT OF run"
    english = build_document(run, Texts("en"))
    assert len(document.blocks) == len(english.blocks)
    headings = [block.text for block in document.blocks if isinstance(block, Heading)]
    assert headings == [block.text.upper() for block in english.blocks if isinstance(block, Heading)]
