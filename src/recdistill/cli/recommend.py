"""`recdistill recommend`: asks a run or a bundle, and answers in a third of a second where there is a bundle.

So little time leaves no room for the parser of all settings. A command that is written right is parsed by argparse;
whatever it refuses, and every call for help, goes the way of the other commands, which tell what is wrong.
"""

import json
import logging
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from recdistill.errors import UserError
from recdistill.interruption import Interrupted, handled_signals
from recdistill.printable import LogLines, one_line, printable, printable_value
from recdistill.serving.answers import Answer, Model

COMMAND = "recommend"


class _RefusedError(Exception):
    """A command that argparse cannot read."""


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leave the telling to others."""
        raise _RefusedError(message)


def add_arguments(parser: Any) -> None:
    """Give a parser, argparse's or jsonargparse's, the options of the command."""
    parser.add_argument("run", type=str, help="Folder of a finished run, or a bundle.")
    parser.add_argument("history", type=str, nargs="+", help="Titles, parts of titles or item ids, oldest first.")
    parser.add_argument("--top_k", type=int, default=10, help="Items to recommend.")
    parser.add_argument(
        "--model", choices=list(get_args(Model)), help="Which model to ask. Default: the best that is there."
    )
    parser.add_argument("--approximate", action="store_true", help="A list from the index of `recdistill index`.")
    parser.add_argument("--because", type=int, default=0, help="Items of the history to name that weighed most.")
    parser.add_argument("--json", action="store_true", help="One JSON object instead of a list.")
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument(
        "--keep_seen", action="store_true", help="List items of the history too. Default: as evaluate.filter_seen says."
    )
    seen.add_argument("--leave_seen_out", action="store_true", help="List no item of the history.")


def read_command(words: Sequence[str]) -> Namespace | None:
    """The options of a command that begins with `recommend`; None where argparse refuses it or help is asked for."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_arguments(parser)
    parser.add_argument("--quiet", action="store_true")
    try:
        options = parser.parse_args(words[1:])
    except _RefusedError:
        return None
    return options if Path(options.run).is_dir() else None


def answer(options: Namespace) -> int:
    """Run the command, and tell mistakes as :func:`recdistill.cli.main` does.

    Returns:
        The exit status.
    """
    try:
        with handled_signals():
            _set_up_warnings()
            recommend(options)
    except UserError as error:
        sys.stderr.write(f"recdistill: error: {one_line(str(error))}\n")
        return 2
    except Interrupted as error:
        sys.stderr.write(f"recdistill: {'interrupted' if error.signal == signal.SIGINT else 'terminated'}\n")
        return error.exit_status
    return 0


def _set_up_warnings() -> None:
    """Send the package's warnings to stderr."""
    logger = logging.getLogger("recdistill")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines())
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.WARNING)


def recommend(options: Any) -> None:
    """Answer one command."""
    from recdistill.serving.recommender import Recommender

    recommender = Recommender.load(Path(options.run), model=options.model, approximate=options.approximate)
    understood = recommender.find(options.history)
    exclude_seen = False if options.keep_seen else True if options.leave_seen_out else None
    items = [match.item for match in understood]
    answer = recommender.recommend_items(items, options.top_k, exclude_seen, options.because)
    history = [{"item_id": match.item_id, "title": match.title} for match in understood]
    if options.json:
        found = json.dumps(_object(recommender.about, history, answer), ensure_ascii=False)
        sys.stdout.write(printable(found) + "\n")
        return
    lines = ["After", *(f"  {one['title']}  [{one['item_id']}]" for one in history), "next"]
    for place, item in enumerate(answer, start=1):
        lines.append(f"  {place:2d}. {item.title}  [{item.item_id}]  {item.score:.3f}")
        if item.because:
            lines.append(f"      because of {', '.join(reason.title for reason in item.because)}")
    sys.stdout.write("".join(f"{printable_value(line)}\n" for line in lines))


def _object(about: Any, history: list[dict[str, str]], answer: Answer) -> dict[str, object]:
    return {
        "model": about.model,
        "name": about.name,
        "fingerprint": about.fingerprint,
        "history": history,
        "items": [
            {"rank": rank, **item._asdict(), "because": [reason._asdict() for reason in item.because]}
            for rank, item in enumerate(answer, start=1)
        ],
    }
