"""`recdistill serve`: its options, and the call of the server."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from recdistill.errors import UserError, not_installed

SERVE = "Serve a run's or a bundle's recommendations over HTTP, with a page at /."
NEEDED = ("fastapi", "uvicorn", "uvloop", "httptools", "prometheus_client")
"""Libraries of the extra `serve` that the server imports."""


def with_serve_options(parser: ArgumentParser) -> ArgumentParser:
    """The parser, with what `serve` takes."""
    parser.add_argument("run", type=str, metavar="RUN_OR_BUNDLE", help="Folder of a finished run or of a bundle.")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="Address to listen on; 0.0.0.0: all.")
    parser.add_argument("--port", type=int, default=8000, help="Port to listen on; 0: a free one.")
    parser.add_argument("--workers", type=int, default=1, help="Processes that answer; one per core is most useful.")
    parser.add_argument("--approximate", action="store_true", help="Lists from the index of `recdistill index`.")
    parser.add_argument(
        "--api_key_file",
        type=str,
        default="",
        help="File with the API key that clients must send. Empty: the variable RECDISTILL_API_KEY, or no key.",
    )
    parser.add_argument("--max_body_mib", type=float, default=8.0, help="Largest body of a batch, in MiB.")
    parser.add_argument("--timeout", type=float, default=10.0, help="Seconds after which a request is given up.")
    parser.add_argument(
        "--drain",
        type=float,
        default=0.0,
        help="Seconds between SIGTERM, when /ready turns to 503, and the last new connection.",
    )
    return parser


def serve(options: Any) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UserError: a library or the model is missing, a setting is out of range, or the address cannot be had.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UserError(f"serve: {not_installed(missing[0], 'serve')}")
    from recdistill.web import serve as http
    from recdistill.web.settings import ServeSettings, read_api_key

    settings = ServeSettings(
        source=Path(options["run"]),
        host=options.host,
        port=options.port,
        workers=options.workers,
        api_key=read_api_key(options.api_key_file),
        max_body=int(options.max_body_mib * (1 << 20)),
        timeout=options.timeout,
        drain=options.drain,
        quiet=options.quiet,
        approximate=options.approximate,
    )
    http.serve(settings, _announce)


def _announce(address: str) -> None:
    """Say where, once requests are answered."""
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
