"""Refuse a site that loads anything from elsewhere: scripts, styles, fonts, pictures, frames.

    python docs/check_site.py build/site

A link that a reader may follow is no loading, and neither is an address within a script that is loaded for a kind of
content which no page has (the theme's script loads Mermaid for `class="mermaid"`, so that class is refused here).
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
          "embed": "src", "object": "data", "link": "href"}  # fmt: skip
"""Elements that load what they name."""
SAID = {"canonical", "next", "prev", "alternate", "license", "author"}
"""Kinds of <link> that name an address without loading it."""
REMOTE = re.compile(r"^(?:https?:)?//")
STYLED = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        address = given.get(LOADED.get(tag, ""), "")
        if REMOTE.match(address) and not (tag == "link" and given.get("rel", "") in SAID):
            self.found.append(f"<{tag}> loads {address}")
        if "mermaid" in given.get("class", "").split():
            self.found.append("a Mermaid diagram, whose script is loaded from elsewhere")
        self.found += [f"a style loads {address}" for address in STYLED.findall(given.get("style", ""))]


def remote_parts(site: Path) -> Iterator[str]:
    """A line for each part of a site that would be loaded from elsewhere."""
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            page = _Page()
            page.feed(text)
            page.found += [f"a style loads {url}" for style in re.findall(r"<style.*?</style>", text, re.DOTALL)
                           for url in STYLED.findall(style)]  # fmt: skip
            yield from (f"{name}: {each}" for each in page.found)
        elif path.suffix == ".css":
            yield from (f"{name}: loads {url}" for url in STYLED.findall(path.read_text(encoding="utf-8")))


def main() -> int:
    """Status 1, and a line for each, where a part is remote; or where there is no site."""
    site = Path(sys.argv[1])
    if not (site / "index.html").is_file():
        sys.stderr.write(f"{site}: holds no site\n")
        return 1
    found = list(remote_parts(site))
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
