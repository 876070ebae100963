"""`--help` of a command that takes settings: its own sections in short, any other section or word on request."""

import sys
from argparse import SUPPRESS, Action, _HelpAction
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size
from textwrap import fill
from typing import Any, Literal, NamedTuple, get_args, get_origin

from jsonargparse import ArgumentParser

from recdistill.config.mistakes import did_you_mean, in_words
from recdistill.errors import UserError

SHORTEST, LONGEST = 60, 110
"""Columns of a page, whatever the terminal has."""
INDENT = 6
"""Columns before a meaning that stands below its option."""
COLUMN = 26
"""Columns of a short option, so that meanings beside them stand in line."""
ALL = "all"
"""The word that asks for every setting."""


class Option(NamedTuple):
    """One option of a command.

    Attributes:
        key: dotted name, without `--`.
        name: as it is typed.
        values: what may be given, in words; empty where the option is a switch or takes any text.
        choices: the names there are, where nothing else may be given.
        meaning: what its help says, on one line.
        default: as it would be written; empty where there is none to tell.
    """

    key: str
    name: str
    values: str
    choices: tuple[str, ...]
    meaning: str
    default: str

    @property
    def section(self) -> str:
        """Dotted name of the section it belongs to; empty outside of all."""
        return self.key.rpartition(".")[0]


class Help(_HelpAction):
    """`--help [WORD]`: the page of a command, or of a section, or of the settings that mention a word."""

    def __init__(self, sections: Sequence[str] = (), **kwargs: Any) -> None:
        """`sections` are those whose settings the command's own page lists; jsonargparse gives the rest."""
        super().__init__(kwargs["option_strings"], help=kwargs.get("help"))
        self.nargs, self.metavar, self.sections = "?", "WORD", sections

    def __call__(self, parser: Any, _namespace: Any, values: Any, _option_string: str | None = None) -> None:
        """Print the page and leave."""
        sys.stdout.write(page_about(parser, values) if values else command_page(parser, self.sections))
        parser.exit()


def command_page(parser: ArgumentParser, sections: Sequence[str]) -> str:
    """Options of a command, the settings of `sections` in short, and the names of all other sections."""
    command = _command(parser)
    meanings, options = _sections(parser), _options(parser)
    parts = [f"usage: {command} [--SETTING VALUE ...]\n\n{_wrapped(parser.description or '')}"]
    parts.append(_listed("options:", [option for option in options if not option.section]))
    for section in sections:
        parts.append(_listed(_title(section, meanings), [each for each in options if each.section == section]))
    others = {name: meaning for name, meaning in meanings.items() if name not in sections}
    top = {name: meaning for name, meaning in others.items() if name.rpartition(".")[0] in ("", *sections)}
    parts.append(_named_sections(top, options))
    parts.append(_more(command, top))
    return "\n\n".join(part for part in parts if part) + "\n"


def page_about(parser: ArgumentParser, word: str) -> str:
    """The settings of a section, or else those whose name or meaning holds a word, with all that is to say of them.

    Raises:
        UserError: there are none.
    """
    meanings, options = _sections(parser), _options(parser)
    wanted = word.removeprefix("--").rstrip(".").lower()
    if wanted in meanings:
        found = [option for option in options if f"{option.section}.".startswith(f"{wanted}.")]
    else:
        exact = [option for option in options if option.key == wanted and option.section]
        found = exact or [option for option in options if wanted == ALL or _speaks_of(option, wanted)]
    if not found:
        near = did_you_mean(wanted, [*meanings, *(option.key for option in options)])
        told = f"; there are {', '.join(name for name in meanings if '.' not in name)}" if meanings else ""
        raise UserError(f"--help {word}: no section, and no setting speaks of it{near or told}")
    names = dict.fromkeys(option.section for option in found)
    parts = [
        "\n".join([_title(name, meanings), *(_full(option) for option in found if option.section == name)])
        for name in names
    ]
    return "\n\n".join(parts) + "\n"


def _speaks_of(option: Option, word: str) -> bool:
    return word in option.key.lower() or word in option.meaning.lower()


def _section_names(parser: ArgumentParser) -> set[str]:
    parents = {action.dest.rpartition(".")[0] for action in parser._actions} - {""}
    return parents | {parent.rpartition(".")[0] for parent in parents} - {""}


def _sections(parser: ArgumentParser) -> dict[str, str]:
    """Dotted name of each section, with its meaning, in the parser's order."""
    names = _section_names(parser)
    found: dict[str, str] = {}
    for group in parser._action_groups:
        settings = [action.dest for action in group._group_actions if action.dest not in names]
        found |= {name: group.title or "" for name in [dest.rpartition(".")[0] for dest in settings[:1]] if name}
    return found


def _options(parser: ArgumentParser) -> list[Option]:
    """All options of a parser, in its order, without those that set a section as a whole."""
    names = _section_names(parser)
    return [_option(action) for action in parser._actions if action.help != SUPPRESS and action.dest not in names]


def _option(action: Action) -> Option:
    hint = getattr(action, "_typehint", action.type)
    choices = tuple(map(str, action.choices or (get_args(hint) if get_origin(hint) is Literal else ())))
    values = ", ".join(choices) or ("" if hint in (None, str) else in_words(hint))
    name = ", ".join(action.option_strings) + (" [WORD]" if isinstance(action, Help) else "")
    default = "" if hint is None or action.default is SUPPRESS else _default(action.default)
    meaning = " ".join((action.help or "").split())
    return Option(action.dest, name, values, choices, meaning, default)


def _default(value: Any) -> str:
    """As it would be written; nothing for an empty text or list."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]" if value else ""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _command(parser: ArgumentParser) -> str:
    return parser.prog.replace(" [options]", "")


def _title(section: str, meanings: dict[str, str]) -> str:
    return f"{section}: {meanings[section]}" if section else "options:"


def _listed(title: str, options: Iterable[Option]) -> str:
    lines = [_short(option) for option in options]
    return "\n".join([title, *lines]) if lines else ""


def _short(option: Option) -> str:
    """Name, values and the first sentence of the meaning."""
    first, _, rest = option.meaning.partition(". ")
    choices = f" {{{'|'.join(option.choices)}}}" if option.choices else ""
    return _entry(option.name + choices, f"{first}. …" if rest else first, option.default)


def _full(option: Option) -> str:
    """Name, values and the whole meaning."""
    values = f"  {option.values}" if option.values else ""
    return _entry(option.name + values, option.meaning, option.default)


def _entry(name: str, meaning: str, default: str) -> str:
    text = f"{meaning} (default: {default})" if default else meaning
    one = f"  {name:{COLUMN}}  {text}"
    return one if len(one) <= _width() else f"  {name}\n{_wrapped(text, ' ' * INDENT)}"


def _named_sections(sections: dict[str, str], options: Sequence[Option]) -> str:
    if not sections:
        return ""
    wide = max(map(len, sections))
    lines = [f"  {name:{wide}}  {meaning} ({_count(name, options)})" for name, meaning in sections.items()]
    return "\n".join(["other sections, with their numbers of settings:", *lines])


def _count(section: str, options: Sequence[Option]) -> int:
    return sum(option.key.startswith(f"{section}.") for option in options)


def _more(command: str, sections: Iterable[str]) -> str:
    shown = dict.fromkeys(list(sections)[:1], "a section, with all that is to say of it")
    shown |= {"WORD": "settings that mention a word", ALL: "every setting"}
    wide = max(map(len, shown))
    return "\n".join(f"{command} --help {word:{wide}}  {told}" for word, told in shown.items())


def _wrapped(text: str, indent: str = "") -> str:
    return fill(text, _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _width() -> int:
    return min(max(get_terminal_size((100, 24)).columns - 1, SHORTEST), LONGEST)
