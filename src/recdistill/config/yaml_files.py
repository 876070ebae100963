"""YAML that people write, read one way everywhere: a blank value says nothing, and `null` says None.

`separator:` and `separator: null` are one thing to YAML's own loaders, and to a person they are two. A key without a
value, and a section whose lines are all commented out, are as if their line were not there. What is wrong with a file's
form is told in one line, with file and line.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from recdistill.errors import UserError

MERGE = "tag:yaml.org,2002:merge"
FLOAT = "tag:yaml.org,2002:float"
TIMESTAMP = "tag:yaml.org,2002:timestamp"
EXPONENT = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$")
"""Numbers such as 5e-4, which YAML 1.1 takes for text since they have no point."""


class _Blank:
    """The type of :data:`BLANK`."""

    def __repr__(self) -> str:
        return "blank"


BLANK: Final = _Blank()
"""Stands where a key of a mapping has no value at all."""


class _Loader(yaml.SafeLoader):
    """YAML with blank values told from null, which refuses a key written twice: PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} is there twice", problem_mark=key_node.start_mark)
            if key is BLANK or key is None:
                raise yaml.MarkedYAMLError(problem="a key is blank", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> list[Any]:
        for entry in node.value:
            if _is_blank(entry):  # Nobody can say what it would be by default.
                raise yaml.MarkedYAMLError(problem="an entry of a list is blank", problem_mark=entry.start_mark)
        return super().construct_sequence(node, deep)

    def construct_null_or_blank(self, node: yaml.ScalarNode) -> Any:
        """None for `null` and `~`; :data:`BLANK` where nothing is written."""
        return BLANK if _is_blank(node) else self.construct_yaml_null(node)


def _is_blank(node: yaml.Node) -> bool:
    """Whether the value takes no place in the text."""
    return isinstance(node, yaml.ScalarNode) and node.start_mark.index == node.end_mark.index


# Dates stay text: no setting is one.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(FLOAT, EXPONENT, list("-+0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:null", _Loader.construct_null_or_blank)


def parse_yaml(text: str) -> Any:
    """What YAML text holds, without the keys that have no value; :data:`BLANK` for a text that holds nothing.

    Raises:
        yaml.YAMLError: it is no YAML, has a key twice, or a key or an entry of a list is blank.
    """
    content = yaml.load(text, Loader=_Loader)
    return BLANK if content is None and not text.strip() else _without_blanks(content)


def read_yaml(path: Path, what: str, named: str = "") -> Any:
    """What the file holds, without the keys that have no value; None where it holds nothing.

    Args:
        path: the file.
        what: stands before the path in the message where it cannot be opened.
        named: a key of the file below which there are names and what belongs to each, as the variants of a study. A
            name alone is a name with nothing of its own (`{}`), not a line that is not there.

    Raises:
        UserError: the file cannot be opened, is no YAML, has a key twice, or a key or an entry of a list is blank.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise UserError(f"{what}: {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not valid YAML ({error.problem})") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a text file in YAML") from error
    if isinstance(content, dict) and isinstance(content.get(named), dict):
        content[named] = {name: {} if own is BLANK else own for name, own in content[named].items()}
    return _without_blanks(content)


def _without_blanks(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_blanks(value) for key, value in content.items() if value is not BLANK}
    return [_without_blanks(entry) for entry in content] if isinstance(content, list) else content
