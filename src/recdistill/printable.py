"""Text of strangers made fit to be shown: what moves a cursor or turns letters round is written out, not obeyed.

Titles, ids, file names and error messages may hold anything. A terminal obeys escape sequences, a browser and an editor
obey bidirectional controls, and a line end in the middle of a value begins what looks like another line of a log.
"""

import json
import logging
import re

CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters but tab and line feed; line and paragraph separators; embeddings, overrides and isolates of the
bidirectional algorithm; lone surrogates, which cannot be written as UTF-8."""
SHOWN = re.compile(f"[{CONTROLS}]")
SHOWN_ON_A_LINE = re.compile(f"[{CONTROLS}\t\n]")
LONGEST_LINE = 4000
"""Characters of one message; a stranger's file with a million columns would fill the screen with their names."""


def printable(text: str) -> str:
    """The same with each such character as its number in JSON; tabs and line ends stay. JSON stays the JSON it is."""
    return SHOWN.sub(_written_out, text)


def printable_value(text: str) -> str:
    """The same for a value within a line: tabs and line ends are written out too."""
    return SHOWN_ON_A_LINE.sub(_written_out, text)


def one_line(message: str) -> str:
    """A message on one line, whatever a library or a file put into it, cut where it is very long."""
    line = printable(" ".join(message.split()))
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def inline_code(text: str) -> str:
    """Text as inline code of Markdown, whatever backticks and line ends it holds."""
    text = " ".join(printable(text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{space}{text}{space}{fence}"


def literal(text: str) -> str:
    """Text as a literal of Python in double quotes: nothing in it ends the literal, and nothing is obeyed."""
    return printable(json.dumps(text, ensure_ascii=False))


class LogLines(logging.Formatter):
    """A record as a line: the time of day and the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The line, without the traceback that may follow it."""
        return printable_value(super().formatMessage(record))


def _written_out(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
