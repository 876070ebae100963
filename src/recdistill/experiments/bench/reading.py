"""A matrix from its YAML file, checked to the last key before anything runs."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from recdistill.config.settings import flat, nested, run_config
from recdistill.config.teacher_kind import LanguageModel
from recdistill.config.yaml_files import read_yaml
from recdistill.errors import UserError
from recdistill.experiments.bench.matrix import BASE, BenchCell, Matrix, Section, Sizes, four
from recdistill.languages import LANGUAGES
from recdistill.storage.names import is_own_name

LEAST_REPEATS = 3
OWN = {
    "teacher.train.max_epochs": 1,
    "teacher.train.patience": 0,
    "teacher.train.validate_every": 1.0,
    "teacher.train.checkpoint_seconds": 86400.0,
}
"""What the bench sets itself: one pass over the sample, a validation before and after, one checkpoint at the end."""
CELL_SECTIONS = ("teacher", "export")
"""Data and student are made once for all cells, so a cell may set nothing of theirs."""
KEYS = ("name", "title", "base", "repeats", "threads", "cell_seconds", "cells", "sections")
SECTION_KEYS = ("name", "title", "question", "cells", "against", "factorial")
SIZES = tuple(field.name for field in fields(Sizes))


REFUSABLE = "refusable"
"""Key of a cell that asks for what the package refuses: a row that says so, instead of no study at all."""


def read_matrix(path: Path) -> Matrix:
    """Read and check a matrix, before anything runs.

    Raises:
        UserError: the file cannot be read, or a key in it is unknown, missing, of the wrong type or makes no sense.
    """
    content = read_yaml(path, "matrix", named="cells")
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no matrix (name, cells, sections)")
    return _matrix(content, path.read_text(encoding="utf-8"))


def _matrix(content: dict[str, object], text: str) -> Matrix:
    _known(content, (*KEYS, *SIZES), "")
    for key in ("name", "cells", "sections"):
        if not content.get(key):
            raise UserError(f"{key}: missing")
    name = _text(content["name"], "name")
    if not is_own_name(name):
        raise UserError(f"name: {name!r} must be the name of a folder")
    sizes = _sizes(content, Sizes(), "")
    base = flat(_mapping(content.get("base", {}), "base"))
    _refuse_own(base, "base")
    cells = {
        str(cell): _cell(str(cell), _mapping(settings, f"cells.{cell}"), base, sizes)
        for cell, settings in _mapping(content["cells"], "cells").items()
    }
    if BASE not in cells or cells[BASE].settings:
        raise UserError(f"cells.{BASE}: there must be a cell of this name that sets nothing: `{BASE}: {{}}`")
    if not isinstance(content["sections"], list):
        raise UserError("sections: must be a list")
    sections = tuple(_section(entry, number, cells) for number, entry in enumerate(content["sections"]))
    names = [section.name for section in sections]
    for each in names:
        if names.count(each) > 1:
            raise UserError(f"sections: two are called {each!r}")
    matrix = Matrix(
        name=name,
        titles=_per_language(content.get("title", name), "title"),
        repeats=_whole(content.get("repeats", LEAST_REPEATS), "repeats", LEAST_REPEATS),
        threads=_whole(content.get("threads", 1), "threads", 1),
        cell_seconds=_whole(content.get("cell_seconds", 600), "cell_seconds", 1),
        cells=cells,
        sections=sections,
        text=text,
    )
    if not matrix.pairs():
        raise UserError(
            "cells: no A/A pair to measure the noise by; give one cell the base's settings (base-again: {})"
        )
    return matrix


def _cell(name: str, content: dict[str, object], base: dict[str, object], sizes: Sizes) -> BenchCell:
    key = f"cells.{name}"
    if not is_own_name(name) or not name.isascii():
        raise UserError(f"{key}: a cell's name is part of a file's name; use letters, digits and -")
    own = {size: content[size] for size in SIZES if size in content}
    refusable = content.get(REFUSABLE, False)
    if not isinstance(refusable, bool):
        raise UserError(f"{key}.{REFUSABLE}: {refusable!r} is neither true nor false")
    settings = flat({setting: value for setting, value in content.items() if setting not in (*SIZES, REFUSABLE)})
    for setting in settings:
        if setting.split(".")[0] not in CELL_SECTIONS:
            raise UserError(f"{key}.{setting}: a cell may set teacher.…, export.… and {', '.join(SIZES)}")
    _refuse_own(settings, key)
    try:
        config = run_config(nested(OWN | base | settings))
    except UserError as error:
        if not refusable:
            raise UserError(f"{key}: {error}") from error
        plain = run_config(nested(OWN | base))
        return BenchCell(name, settings, _sizes(own, sizes, key), plain, refusal=str(error))
    if not isinstance(config.teacher.chosen, LanguageModel):
        raise UserError(f"{key}: teacher.kind: {config.teacher.kind} has no language model to be measured; use llm")
    if config.teacher.title_tuning.steps:
        raise UserError(
            f"{key}: teacher.title_tuning: a bench does not measure the title encoder's training; set steps: 0"
        )
    return BenchCell(name, settings, _sizes(own, sizes, key), config)


def _section(content: object, number: int, cells: Mapping[str, BenchCell]) -> Section:
    key = f"sections[{number + 1}]"
    content = _mapping(content, key)
    _known(content, SECTION_KEYS, key)
    for needed in ("name", "cells"):
        if not content.get(needed):
            raise UserError(f"{key}.{needed}: missing")
    name = _text(content["name"], f"{key}.name")
    against = _text(content.get("against", BASE), f"{key}.against")
    members = content["cells"]
    if not isinstance(members, list):
        raise UserError(f"{key}.cells: must be a list of names")
    for cell in (*members, against):
        if not isinstance(cell, str) or cell not in cells:
            raise UserError(f"{key}.cells: no cell is called {cell!r}")
    if len(set(members)) < len(members):
        raise UserError(f"{key}.cells: a cell is there twice")
    factorial = content.get("factorial")
    if factorial is not None and not (
        isinstance(factorial, list) and len(factorial) == 2 and all(isinstance(one, str) for one in factorial)
    ):
        raise UserError(f"{key}.factorial: must be two settings")
    section = Section(
        name,
        _per_language(content.get("title", name), f"{key}.title"),
        _per_language(content.get("question", ""), f"{key}.question"),
        tuple(members),
        against,
        (factorial[0], factorial[1]) if factorial else None,
    )
    if factorial and four(section, cells) is None:
        raise UserError(f"{key}.factorial: its cells must hold each of two values of both settings with each other")
    return section


def _refuse_own(settings: Mapping[str, object], key: str) -> None:
    for own in (*OWN, "run", "threads"):
        if own in settings:
            raise UserError(f"{key}.{own}: set by the bench itself")


def _known(content: Mapping[str, object], keys: tuple[str, ...], prefix: str) -> None:
    for key in content:
        if key not in keys:
            name = f"{prefix}.{key}" if prefix else key
            raise UserError(f"{name}: unknown; there are {', '.join(keys)}")


def _sizes(content: Mapping[str, object], default: Sizes, prefix: str) -> Sizes:
    found = {name: content[name] for name in SIZES if name in content}
    return replace(default, **{name: _whole(value, f"{prefix}.{name}".lstrip("."), 0) for name, value in found.items()})


def _whole(value: object, key: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{key}: {value!r} is out of range; it must be a whole number, {least} or more")
    return value


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{key}: {value!r} must be a text")
    return value


def _mapping(value: object, key: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UserError(f"{key}: must hold settings (lines like `key: value`)")
    return value


def _per_language(value: object, key: str) -> dict[str, str]:
    """One text for all languages, or one for each; English stands in for a language that has none."""
    if isinstance(value, str):
        return dict.fromkeys(LANGUAGES, value)
    texts = _mapping(value, key)
    _known(texts, LANGUAGES, key)
    if "en" not in texts:
        raise UserError(f"{key}: needs en")
    return {language: _text(texts.get(language, texts["en"]), f"{key}.{language}") for language in LANGUAGES}
