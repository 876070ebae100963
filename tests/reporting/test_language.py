import re
import string
from pathlib import Path

import pytest

import recdistill.bench
import recdistill.reporting
from recdistill.bench.language import WORDS
from recdistill.bench.statistics import METRICS
from recdistill.reporting.language import MODELS, TEXTS, Texts

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
SAME_IN_BOTH = {"cpu", "gpu", "python"}


def fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("key", TEXTS)
def test_both_languages_say_it_with_the_same_values(key):
    english, japanese = TEXTS[key]
    assert fields(english) == fields(japanese)
    assert not JAPANESE.search(english)
    assert key in SAME_IN_BOTH or JAPANESE.search(japanese) or english != japanese


def source_of(package):
    return "".join(path.read_text() for path in Path(package.__file__).parent.glob("*.py"))


def test_no_text_is_unused():
    source = source_of(recdistill.reporting)
    built = ("split_", "step_", "contents_", "seen_", "verdict_", "slice_", "clearly_")
    from_data = {*MODELS, "events", "users", "items", "titles_missing", "tied_events", "perhaps", "level"}
    for key in TEXTS:
        if key.startswith(built) or key.endswith("_targets") or key in from_data:
            continue
        assert source.count(f'"{key}"') >= 2, key


def test_no_text_of_the_bench_is_unused():
    source = source_of(recdistill.bench)
    for key in WORDS:
        if not key.startswith(("contents_", "verdict_")):
            assert source.count(f'"{key}"') >= 2 or key in METRICS, key


def test_models_have_names_and_strangers_keep_theirs():
    assert Texts("en").name("popularity") == "popularity baseline"
    assert Texts("en").label("popularity") == "popularity"
    assert Texts("ja").label("student") == "生徒モデル (student)"
    assert Texts("ja").label("p_text") == "p_text"


def test_values_with_braces_are_plain_text():
    assert Texts("en")("title", run="{x}") == "Report of {x}"
