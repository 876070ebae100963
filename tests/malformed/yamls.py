"""Malformed YAML: settings, studies, matrices and spaces that people write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from malformed.case import Case, Content, written
from recdistill.config.settings import run_config
from recdistill.config.yaml_files import read_yaml
from recdistill.errors import UserError
from recdistill.experiments.bench.reading import read_matrix
from recdistill.experiments.study_file import read_study
from recdistill.experiments.tune.space import read_space

LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine levels of nine aliases: 400 million values in 500 bytes."""
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

ANYWHERE: dict[str, Content] = {
    "nothing": "",
    "a comment": "# nothing\n",
    "a number": "1\n",
    "a text": "settings\n",
    "a list": "- 1\n- 2\n",
    "null": "null\n",
    "no text": b"\xff\xfe\x00\x01",
    "UTF-16": "seed: 1\n".encode("utf-16"),
    "a NUL": b"seed: 1\x00\n",
    "a NUL by its number": 'run: "a\\0b"\n',
    "an escape sequence": b"seed: \x1b[2J\n",
    "a lone surrogate by its number": 'run: "\\ud800"\n',
    "a lone surrogate in bytes": b"run: \xed\xa0\x80\n",
    "an open bracket": "seed: [1\n",
    "an open quote": 'run: "a\n',
    "a tab as indent": "data:\n\tsource: csv\n",
    "a key twice": "seed: 1\nseed: 2\n",
    "a key twice, deep": "data: {path: a, path: b}\n",
    "a blank key": "? : 1\n",
    "a list as a key": "? [a]\n: 1\n",
    "a blank entry": "a:\n  -\n",
    "an alias of nothing": "seed: *a\n",
    "an alias of what it stands in": "a: &a [*a]\n",
    "a mapping within itself": "a: &a {b: *a}\n",
    "two that hold one another": "a: &a {b: &b {c: *a}}\n",
    "aliases of aliases": LAUGHS,
    "merges of merges": MERGES,
    "a thousand levels": "a: " + "[" * 1000 + "]" * 1000 + "\n",
    "a hundred thousand levels": lambda: b"[" * 100_000,
    "a thousand levels of mappings": "{a: " * 1000 + "1" + "}" * 1000 + "\n",
    "too many values": lambda: b"a: [" + b"1," * 20_001 + b"1]\n",
    "5 MiB": lambda: b"# " + b"x" * (5 << 20),
    "a number of 5,000 digits": "seed: " + "9" * 5000 + "\n",
    "no whole number": "seed: !!int x\n",
    "no number": "seed: !!float x\n",
    "no truth": "seed: !!bool perhaps\n",
    "no date": "seed: !!timestamp 2024-99-99\n",
    "no bytes": "seed: !!binary 'ä'\n",
    "a Python object": "seed: !!python/object/apply:os.system ['true']\n",
    "a Python name": "seed: !!python/name:os.system\n",
    "a tag of its own": "seed: !secret 1\n",
    "two documents": "seed: 1\n---\nseed: 2\n",
    "a directive that is not known": "%YAML 9.9\n---\nseed: 1\n",
    "a merge of a number": "<<: 1\n",
    "a bidirectional control in a key": '"\\u202eseed": 1\n',
    "a set": "seed: !!set {a, b}\n",
    "pairs": "seed: !!pairs [a: 1, a: 2]\n",
    "bytes": "seed: !!binary aGFsbG8=\n",
}
"""Nothing of these is settings, a study, a matrix or a space."""


def _settings(path: Path) -> None:
    """As `--config` reads them, below the parser."""
    content: Any = read_yaml(path, "config")
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no settings")
    run_config(content)


READERS: dict[str, Callable[[Path], object]] = {
    "settings": _settings,
    "study": read_study,
    "matrix": read_matrix,
    "space": read_space,
}


def yaml(reader: str, name: str, content: Content, said: str = "") -> Case:
    return Case(
        f"{reader}: {name}", written("a.yaml", content), lambda folder: READERS[reader](folder / "a.yaml"), said
    )


SETTINGS = {
    "an unknown key": ("sede: 1\n", "did you mean seed?"),
    "an unknown key, deep": ("student: {train: {epochs: 1}}\n", "student.train.epochs: unknown"),
    "a section that is a number": ("student: 1\n", "student"),
    "a setting that is a section": ("seed: {a: 1}\n", "seed"),
    "a text for a number": ("seed: one\n", "seed"),
    "a fraction for a whole number": ("seed: 1.5\n", "seed"),
    "truth for a number": ("student: {embedding_dim: true}\n", "student.embedding_dim"),
    "NaN": ("student: {train: {learning_rate: .nan}}\n", "student.train.learning_rate"),
    "infinity": ("student: {train: {learning_rate: .inf}}\n", "student.train.learning_rate"),
    "minus infinity": ("student: {dropout: -.inf}\n", "student.dropout"),
    "a number too large": ("student: {embedding_dim: 99999999999999999999}\n", "student.embedding_dim"),
    "a list for a text": ("run: [a]\n", "run"),
    "an unknown choice": ("data: {source: cvs}\n", "data.source"),
    "a seed of null": ("seed: null\n", "seed: null is no"),
    "an unknown encoding": ("data: {encoding: utf-99}\n", "data.encoding"),
    "an encoding that is no text's": ("data: {encoding: hex}\n", "data.encoding"),
    "a separator of a line end": ('data: {separator: "\\n"}\n', "data.separator"),
    "a separator that is the quote": ("data: {separator: '\"'}\n", "data"),
    "a number of a key": ("1: 2\n", "1: unknown"),
}
STUDY = "seeds: [1]\nvariants: {main: {}}\n"
STUDIES = {
    "a name that leads out": (f"name: ../../out\n{STUDY}", "name"),
    "a name that is a path": (f"name: /tmp/out\n{STUDY}", "name"),
    "a name of two dots": (f"name: ..\n{STUDY}", "name"),
    "a name with an escape sequence": (f'name: "a\\e[2J"\n{STUDY}', "name"),
    "a name of 300 letters": (f"name: {'a' * 300}\n{STUDY}", "name"),
    "a variant that leads out": ("seeds: [1]\nvariants: {../x: {}}\n", "variants"),
    "a variant of two dots": ("seeds: [1]\nvariants: {..: {}}\n", "variants"),
    "a hidden variant": ("seeds: [1]\nvariants: {.x: {}}\n", "variants"),
    "a variant with a backslash": ("seeds: [1]\nvariants: {'a\\b': {}}\n", "variants"),
    "a variant with an escape sequence": ('seeds: [1]\nvariants: {"a\\e[2J": {}}\n', "variants"),
    "no seeds": ("variants: {main: {}}\n", "seeds"),
    "seeds that are text": ("seeds: [a]\nvariants: {main: {}}\n", "seeds"),
    "a seed twice": ("seeds: [1, 1]\nvariants: {main: {}}\n", "seeds"),
    "no variants": ("seeds: [1]\n", "variants"),
    "variants in a list": ("seeds: [1]\nvariants: [main]\n", "variants"),
    "a run of its own": ("seeds: [1]\nvariants: {main: {run: /etc}}\n", "run: set by the study itself"),
    "settings out of itself": (f"config: a.yaml\n{STUDY}", ""),
    "settings that are not there": (f"config: b.yaml\n{STUDY}", "b.yaml"),
    "settings that are a folder": (f"config: .\n{STUDY}", ""),
}
CELLS = "cells: {base: {}, base-again: {}}\nsections: [{name: s, cells: [base-again]}]\n"
MATRICES = {
    "a name that leads out": (f"name: ../out\n{CELLS}", "name"),
    "a name of two dots": (f"name: ..\n{CELLS}", "name"),
    "a cell that leads out": ("name: m\ncells: {base: {}, ../x: {}}\nsections: [a]\n", "cells"),
    "a cell of two dots": ("name: m\ncells: {base: {}, ..: {}}\nsections: [{name: s, cells: [..]}]\n", "cells"),
    "no cells": ("name: m\nsections: []\n", "cells: missing"),
    "sections that are text": ("name: m\ncells: {base: {}}\nsections: a\n", "sections"),
    "an endless cell": (f"name: m\ncell_seconds: -1\n{CELLS}", "cell_seconds"),
    "a cell that is not there": ("name: m\ncells: {base: {}}\nsections: [{name: s, cells: [x]}]\n", "no cell"),
    "cells in cells": ("name: m\ncells: {base: {}}\nsections: [{name: s, cells: [[base]]}]\n", ""),
    "a data set of its own": ("name: m\ncells: {base: {}, x: {data.path: /etc}}\nsections: [a]\n", "cells.x.data.path"),
}
SPACES = {
    "a range from NaN": ("student.dropout: {low: .nan, high: 1}\n", "student.dropout"),
    "a range to infinity": ("student.dropout: {low: 0, high: .inf}\n", "student.dropout"),
    "a range downwards": ("student.dropout: {low: 1, high: 0}\n", "student.dropout"),
    "a range of truth": ("student.dropout: {low: true, high: 2}\n", "student.dropout.low"),
    "a logarithm of zero": ("student.dropout: {low: 0, high: 1, log: true}\n", "student.dropout"),
    "no choices": ("student.dropout: {choices: []}\n", "student.dropout.choices"),
    "choices in a mapping": ("student.dropout: {choices: {a: 1}}\n", "student.dropout.choices"),
    "a value alone": ("student.dropout: 0.1\n", "student.dropout"),
    "an unknown key": ("student.dropout: {low: 0, high: 1, step: 2}\n", "student.dropout"),
}
OWN = {"settings": SETTINGS, "study": STUDIES, "matrix": MATRICES, "space": SPACES}
CASES = [yaml(reader, name, content) for reader in READERS for name, content in ANYWHERE.items()]
CASES += [yaml(reader, name, *one) for reader, own in OWN.items() for name, one in own.items()]
