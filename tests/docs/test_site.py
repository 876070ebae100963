"""The site loads nothing from elsewhere and holds every page; what it says of Python exists. Built by `make docs`."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from check_site import remote_parts

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


class Loader(yaml.SafeLoader):
    """Passes over `!!python/…`, which mkdocs reads."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


@pytest.fixture(scope="module")
def settings() -> Any:
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=Loader)


def pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages(part)


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["a.html: <script> loads https://cdn.example/x.js"]),
        ('<script src="assets/x.js"></script>', []),
        ('<link rel="stylesheet" href="//fonts.example/css">', ["a.html: <link> loads //fonts.example/css"]),
        ('<link rel="canonical" href="https://docs.example/">', []),
        ('<img src="http://pictures.example/p.png">', ["a.html: <img> loads http://pictures.example/p.png"]),
        ('<a href="https://arxiv.org/abs/2405.00338">paper</a>', []),
        (
            "<style>@import 'https://fonts.example/a.css';</style>",
            ["a.html: a style loads https://fonts.example/a.css"],
        ),
        ('<p style="background: url(https://x.example/b)">', ["a.html: a style loads https://x.example/b"]),
        ('<pre class="mermaid">', ["a.html: a Mermaid diagram, whose script is loaded from elsewhere"]),
    ],
)
def test_what_a_page_loads_from_elsewhere_is_named(html: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(html, encoding="utf-8")
    assert list(remote_parts(tmp_path)) == found


def test_what_a_style_sheet_loads_from_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p{src:url(https://fonts.example/f.woff2)} q{src:url(f.woff2)}", encoding="utf-8")
    assert list(remote_parts(tmp_path)) == ["a.css: loads https://fonts.example/f.woff2"]


def test_the_site_asks_for_no_fonts_and_no_tracking(settings: Any) -> None:
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True
    assert "analytics" not in settings.get("extra", {})


def test_every_page_is_in_the_navigation_once(settings: Any) -> None:
    named = list(pages(settings["nav"]))
    assert len(set(named)) == len(named)
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    written = {name for name in written if not name.startswith(("results/", "benchmarks/"))}
    notebooks = {f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.ipynb")}
    made = {"index.md", "commands.md"}
    outside = {name for name in named if name.startswith("repository/")}
    assert set(named) == written | notebooks | made | outside
    assert all((ROOT / name.removeprefix("repository/")).is_file() for name in outside)


@pytest.mark.parametrize(
    "name", re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
)
def test_what_the_page_of_the_interface_names_exists_and_says_what_it_does(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert getattr(importlib.import_module(module), attribute).__doc__
