"""Commands that make what is served: `bundle` and `add-items`. Libraries are imported when a command needs them."""

from pathlib import Path

from jsonargparse import Namespace

from recdistill.cli.said import say


def bundle(options: Namespace) -> None:
    """Write a bundle of a finished run."""
    from recdistill.serving.bundle import make_bundle

    out = Path(options.out) if options.out else None
    say(f"{make_bundle(Path(options.run), out, options.name, options.int8)}\n")


def add_items(options: Namespace) -> None:
    """Add items to a finished run by their text."""
    from recdistill.pipeline import choose_device
    from recdistill.serving.new_items import add_items as add

    # Read by key: `items` is a method of the parser's namespace too.
    run, items, out = (Path(options[name]) for name in ("run", "items", "out"))
    count = add(run, items, out, options.encoder, choose_device(options.device))
    say(f"{options.out}: {count} new item{'s' * (count != 1)}\n")
