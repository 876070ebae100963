"""What the site needs beside docs/: README as its home, files that pages link to, folders as lists, notebooks as pages.

Links in the documents are those of the repository, so that they work there too. Here a link out of docs/ leads to a
copy of the file under `repository/`, and one to a folder leads to a list of its files.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

from recdistill.cli.help_pages import Help, command_page
from recdistill.cli.parser import build_parser

ROOT = Path(__file__).resolve().parent.parent
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")
"""Sphinx's marks of names in docstrings, which mkdocstrings shows as they are."""
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
HOME = "README.md"
ELSEWHERE = ("http://", "https://", "mailto:")


def on_files(files: Files, config: Any) -> Files:
    """Add pages and files that stand elsewhere in the repository, and turn notebooks into pages."""
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        for name, content in _converted(notebook):
            files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, "commands.md", content=_commands()))
    _add_linked(files, config, HOME)
    for page in [file.src_uri for file in files if file.is_documentation_page()]:
        _add_links_of(files, config, page)
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"):
        _add_linked(files, config, name)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn the repository's links into the site's."""
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        if link[2].startswith(ELSEWHERE):
            return link[0]
        target = site_name(posixpath.normpath(posixpath.join(posixpath.dirname(repository_name(here)), link[2])))
        return f"{link[1]}{posixpath.relpath(target, posixpath.dirname(here) or '.')}{link[3]}"

    return LINK.sub(moved, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Names in docstrings are shown as code, without the mark of what they are."""
    return ROLE.sub("", html)


def site_name(name: str) -> str:
    """Where a file of the repository is in the site's sources; a folder is the page that lists it."""
    if (ROOT / name).is_dir():
        name = f"{name}/index.md"
    if name == HOME:
        return "index.md"
    if name.endswith(".ipynb"):
        name = f"{name.removesuffix('.ipynb')}.md"
    # A report that was written as a page of its own is that page.
    if name.endswith(".md") and (ROOT / name).with_suffix(".html").is_file():
        name = f"{name.removesuffix('.md')}.html"
    return name.removeprefix("docs/") if name.startswith("docs/") else f"repository/{name}"


def repository_name(name: str) -> str:
    """The reverse of :func:`site_name`, for pages."""
    if name == "index.md":
        return HOME
    return name.removeprefix("repository/") if name.startswith("repository/") else f"docs/{name}"


def _add_linked(files: Files, config: Any, name: str) -> None:
    """Add a file or folder of the repository, and what it links to, unless it is there."""
    target = site_name(name)
    if files.get_file_from_path(target) is not None:
        return
    path = ROOT / name
    if path.is_dir():
        files.append(File.generated(config, target, content=_listed(path, config)))
        for each in _files_of(path, config):
            _add_linked(files, config, each.relative_to(ROOT).as_posix())
    elif path.is_file():
        files.append(File.generated(config, target, abs_src_path=str(path)))
    # A link to nothing is left to mkdocs, which names the page and the link.
    if path.suffix == ".md" and path.is_file():
        _add_links_of(files, config, target)


def _add_links_of(files: Files, config: Any, page: str) -> None:
    name = repository_name(page)
    if not (ROOT / name).is_file():
        return
    for _, target, _ in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        if not target.startswith(ELSEWHERE):
            _add_linked(files, config, posixpath.normpath(posixpath.join(posixpath.dirname(name), target)))


def _files_of(folder: Path, config: Any) -> list[Path]:
    """Files of a folder and of those in it, without those that `exclude_docs` keeps from the site."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return [path for path in found if not config.exclude_docs.match_file(site_name(path.relative_to(ROOT).as_posix()))]


def _listed(folder: Path, config: Any) -> str:
    """A page that lists a folder's files."""
    names = (path.relative_to(folder).as_posix() for path in _files_of(folder, config))
    return f"# {folder.relative_to(ROOT).as_posix()}\n\n" + "\n".join(f"- [{name}]({name})" for name in names) + "\n"


def _converted(notebook: Path) -> Iterator[tuple[str, str | bytes]]:
    """A notebook's page and its pictures, with their places in the site's sources."""
    names = {"unique_key": notebook.stem, "output_files_dir": f"{notebook.stem}_files"}
    text, resources = MarkdownExporter().from_filename(str(notebook), resources=names)
    yield f"notebooks/{notebook.stem}.md", text
    for name, content in resources["outputs"].items():
        yield f"notebooks/{name}", content


def _commands() -> str:
    """The page of all commands, as their `--help` has it."""
    parsers = build_parser("")._subcommands_action._name_parser_map
    page = [
        "# Commands",
        "As `recdistill COMMAND --help` prints it; [Configuration](configuration.md) has all settings.",
    ]
    page += [f"## {name}\n\n```text\n{_help_of(name).rstrip()}\n```" for name in parsers]
    return "\n\n".join(page) + "\n"


def _help_of(command: str) -> str:
    parser = build_parser(command)._subcommands_action._name_parser_map[command]
    own = next((action for action in parser._actions if isinstance(action, Help)), None)
    return command_page(parser, own.sections) if own else parser.format_help()
