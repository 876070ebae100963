"""Commands that make what is served: `bundle`, `index` and `add-items`. Libraries are imported when needed."""

import json
from pathlib import Path

from jsonargparse import Namespace

from recdistill.cli.said import say


def bundle(options: Namespace) -> None:
    """Write a bundle of a finished run."""
    from recdistill.serving.bundle import make_bundle

    out = Path(options.out) if options.out else None
    say(f"{make_bundle(Path(options.run), out, options.name, options.int8)}\n")


def index(options: Namespace) -> None:
    """Make an approximate index, and tell what was measured."""
    from recdistill.serving.make_index import make_index

    out = Path(options.out) if options.out else None
    about = make_index(Path(options["run"]), out, options.model, options.recall, options.seed)
    if options.json:
        say(json.dumps(about) + "\n")
        return
    say(
        f"{about['model']}: recall@{about['top_k']} {about['recall']:.4f} on {about['histories']:,} histories, "
        f"{about['milliseconds']:.3f} ms a list instead of {about['exact_milliseconds']:.3f} "
        f"({about['nprobe']} of {about['centres']} groups)\n"
    )


def add_items(options: Namespace) -> None:
    """Add items to a finished run by their text."""
    from recdistill.pipeline import choose_device
    from recdistill.serving.new_items import add_items as add

    # Read by key: `items` is a method of the parser's namespace too.
    run, items, out = (Path(options[name]) for name in ("run", "items", "out"))
    count = add(run, items, out, options.encoder, choose_device(options.device))
    say(f"{options.out}: {count} new item{'s' * (count != 1)}\n")
