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

UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
"""What no path and no file in UTF-8 can hold."""
LARGEST = 4 << 20
"""Bytes of a file."""
DEEPEST = 64
"""Levels of nesting."""
MOST_VALUES = 20_000
"""Values of a file, those behind an alias counted each time."""


class _Blank:
    """The type of :data:`BLANK`."""

    def __repr__(self) -> str:
        return "blank"


BLANK: Final = _Blank()
"""Stands where a key of a mapping has no value at all."""


class _Loader(yaml.SafeLoader):
    """YAML with blank values told from null, which refuses a key written twice: PyYAML silently keeps the last.

    Written out, aliases included, a file may hold so many values and so deep ones, and no alias of what it stands in: a
    few lines of aliases to aliases would fill the memory otherwise.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def _mark(self) -> yaml.Mark:
        found: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return found

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > DEEPEST:
            raise _too_much(f"more than {DEEPEST} levels", self._mark())
        if self._nodes > MOST_VALUES:  # those behind an alias are counted when all have been read
            raise _too_much(f"more than {MOST_VALUES:,} values", self._mark())
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _written_out(node, {})
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            found = super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(problem=f"a value is no {kind}", problem_mark=node.start_mark) from error
        if isinstance(found, str) and UNWRITABLE.search(found):
            problem = "a text holds NUL or a lone surrogate"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return found

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


def _written_out(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Values below a node and itself, each as often as it is aliased; None in `known` while a node is looked at.

    Raises:
        yaml.MarkedYAMLError: they are too many, or a node stands within itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise _too_much("an alias of what it stands in", node.start_mark)
        return count
    known[id(node)] = None
    below = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
    count = 1 + sum(_written_out(one, known) for one in below)
    if count > MOST_VALUES:
        raise _too_much(f"more than {MOST_VALUES:,} values", node.start_mark)
    known[id(node)] = count
    return count


def _too_much(problem: str, mark: yaml.Mark | None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


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
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise UserError(f"{path}: more than {LARGEST >> 20} MiB, which no file of settings has")
        content = yaml.load(text.decode("utf-8"), Loader=_Loader)
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
