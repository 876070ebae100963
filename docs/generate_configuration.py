"""Write what follows from the configuration's dataclasses: `docs/configuration.md` and `configs/ml-100k.yaml`.

    python docs/generate_configuration.py            write both
    python docs/generate_configuration.py --check    exit with status 1 if one of them is out of date

Meanings are the docstrings below the fields in `recdistill/config/`; nothing is said here a second time.
"""

import argparse
import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from recdistill import config
from recdistill.config.mistakes import WORDS
from recdistill.config.rules import range_of

ROOT = Path(__file__).resolve().parent.parent

PAGE_HEAD = """\
# Configuration

Written by `docs/generate_configuration.py` from the dataclasses in `src/recdistill/config/`; do not edit by hand.

Every setting can be in a YAML file (`--config run.yaml`), on the command line by its dotted name
(`--student.train.max_epochs 20`), or in Python (`RunConfig(student=StudentConfig(...))`). What comes later on the
command line wins, so put `--config` first; the defaults are the demo's. `recdistill run --config run.yaml
--print_config` prints what would be used. `recdistill student --help` lists the settings of that step,
`recdistill run --help teacher.gate` a section, `recdistill run --help dropout` the settings that mention a word.

Unknown keys, wrong types and values out of range stop a command before any work, with the key's name and the nearest
name there is; a changed setting that the others leave unused is reported.

A key without a value (`separator:`), and a section whose lines are all commented out, are as if the line were not
there: the default holds. An empty text is `''`. `null` is a value where the last column has it, and is refused
elsewhere. On the command line `--data.items_path ''` is an empty text; `--set key=` of a study is the default again,
whatever its file says.
"""

YAML_HEAD = """\
# The demo, spelled out: MovieLens-100K with SmolLM2-135M as the teacher. Every value is the default.
#
#     recdistill fetch all
#     recdistill run --config configs/ml-100k.yaml
#
# Written by docs/generate_configuration.py from the dataclasses in src/recdistill/config/; copy it to change it.
"""


def sections(section: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and object of a configuration and of all sections in it, from the outside in."""
    yield key, section
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            yield from sections(value, f"{key}.{field.name}".lstrip("."))


def meanings(kind: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, on one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return found


def describe(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(describe(kind) for kind in get_args(hint))
    if get_origin(hint) is tuple:
        return "list of " + describe(get_args(hint)[0])
    return WORDS[hint]


def scalar(value: Any) -> str:
    """A value as YAML writes it, on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def page() -> str:
    """`docs/configuration.md`; sections of one form, as the three training runs, share a table."""
    groups: dict[type, list[tuple[str, Any]]] = {}
    for key, section in sections(config.RunConfig()):
        groups.setdefault(type(section), []).append((key, section))
    return PAGE_HEAD + "".join(_table(kind, members) for kind, members in groups.items())


def _table(kind: type, members: list[tuple[str, Any]]) -> str:
    title = ", ".join(f"`{key}`" for key, _ in members) if members[0][0] else "Top level"
    intro = inspect.cleandoc(kind.__doc__ or "")
    lines = ["", f"## {title}", "", intro, "", "| key | default | meaning | values |", "|---|---|---|---|"]
    hints, told = get_type_hints(kind), meanings(kind)
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            continue
        values = {key: scalar(getattr(section, field.name)) for key, section in members}
        default = f"`{next(iter(values.values()))}`"
        if len(set(values.values())) > 1:
            default = "<br>".join(f"{key}: `{value}`" for key, value in values.items())
        within = range_of(field)
        values_told = describe(hints[field.name]) + (f"; {within.words}" if within else "")
        cells = (f"`{field.name}`", default, told[field.name], values_told)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def recipe() -> str:
    """`configs/ml-100k.yaml`: every key with its default, its meaning above it."""
    return YAML_HEAD + "\n" + _yaml(config.RunConfig(), "")


def _yaml(section: Any, indent: str) -> str:
    text, told = "", meanings(type(section))
    for field in fields(section):
        value = getattr(section, field.name)
        comment = textwrap.fill(
            told[field.name], 120, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
        )
        text += f"{comment}\n{indent}{field.name}:"
        text += f"\n{_yaml(value, indent + '  ')}" if is_dataclass(value) else f" {scalar(value)}\n"
    return text


def main() -> int:
    """Write or check both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if a file is out of date")
    check = parser.parse_args().check
    stale = []
    for path, text in ((ROOT / "docs/configuration.md", page()), (ROOT / "configs/ml-100k.yaml", recipe())):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run `python docs/generate_configuration.py`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
