"""Commands that documents and ready configurations show are commands: their options, settings and scripts exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from recdistill.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "ja").glob("*.md")),
    *sorted((ROOT / "docs" / "experiments").glob("*.md")),
    *sorted((ROOT / "configs").rglob("*.yaml")),
]
BLOCK = re.compile(r"^ *```(?:console|sh|bash)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:recdistill|python (?:benchmarks|docs|tools)/)[^`]* [^`]*)`")
PART = re.compile(r"…|\b[A-Z]{2,}\b|^recdistill [\w-]+$|^recdistill compare --json$|--help|--print_config|\.py page$")
"""A span that is no whole command: a name alone, a placeholder, or one that only prints."""
FIRST = re.compile(r"^ *(?:# {2,})?(?:\$ )?(?:\w+=\S+ )*((?:recdistill|python (?:benchmarks|docs|tools)/\S+\.py) .*)")


def commands(page: Path) -> Iterator[str]:
    """A page's commands, each in one line and without what is said of it: of its blocks, its text or its comments."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        parts = BLOCK.findall(text) + re.findall(r"(?<=\n\n)(?: {4}.*\n)+", text)
        spans = (" ".join(span.split()) for span in INLINE.findall(text))
        yield from (span for span in spans if not PART.search(span))
    else:
        parts = [text]
    for part in parts:
        for line in re.sub(r"\\\n[ #]*", "", part).splitlines():
            if found := FIRST.match(line):
                yield from (re.sub(r"\s+#.*", "", one).strip() for one in found[1].split(" && "))


SHOWN = sorted({one for page in PAGES for one in commands(page)})


@pytest.mark.parametrize("command", [one for one in SHOWN if one.startswith("recdistill ")])
def test_a_shown_command_is_parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)[1:]
    if "--config" in words:  # of which people have their own
        place = words.index("--config")
        if not Path(words[place + 1]).is_file():
            del words[place : place + 2]
    build_parser(words[0]).parse_args(words)
    named = [word for word in words if word.startswith("configs/") and not word.endswith("/mine.yaml")]
    assert all(Path(word).is_file() for word in named)


@pytest.mark.parametrize("command", [one for one in SHOWN if one.startswith("python ")])
def test_a_shown_script_has_the_options(command: str) -> None:
    _, script, *words = shlex.split(command)
    source = (ROOT / script).read_text(encoding="utf-8")
    for word in words:
        if word.startswith("--"):
            assert f'"{word.partition("=")[0]}"' in source, word
