"""Settings of `recdistill serve`, and the API key, which is never given on a command line."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from recdistill.errors import UserError

KEY_VARIABLE = "RECDISTILL_API_KEY"
SHORTEST_KEY = 16
"""Characters."""


@dataclass(frozen=True)
class ServeSettings:
    """What one server does; the same in all its workers.

    Attributes:
        source: folder of a bundle or of a run; read again by a reload.
        host: address to listen on.
        port: port to listen on; 0: a free one.
        workers: processes that answer.
        api_key: what a client has to send; empty: nothing, and there is no reload over HTTP.
        max_body: bytes of a batch's body.
        timeout: seconds after which a request is given up.
        drain: seconds between SIGTERM, when `/ready` turns to 503, and the last new connection.
        quiet: log no line per request.
        approximate: lists come from the index that `recdistill index` made.
    """

    source: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    api_key: str = field(default="", repr=False)
    max_body: int = 8 << 20
    timeout: float = 10.0
    drain: float = 0.0
    quiet: bool = False
    approximate: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be served.

        Raises:
            UserError: a number is out of range; it is named as the command line does.
        """
        ranges = {
            "port": (self.port, 0, 65_535),
            "workers": (self.workers, 1, 256),
            "max_body_mib": (self.max_body / (1 << 20), 1, 1_024),
            "timeout": (self.timeout, 0.1, 3_600),
            "drain": (self.drain, 0, 3_600),
        }
        for name, (value, least, most) in ranges.items():
            if not least <= value <= most:
                raise UserError(f"{name}: {value:g} is out of range; it must be {least:g} to {most:g}")


def read_api_key(path: str) -> str:
    """The key from a file, or else from the environment; empty where neither is given.

    Raises:
        UserError: both are given, the file cannot be read, or the key is short or not printable ASCII.
    """
    in_environment = os.environ.get(KEY_VARIABLE)
    if path and in_environment is not None:
        raise UserError(f"api_key_file: {KEY_VARIABLE} is set too; give one of them")
    if path:
        try:
            key = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"api_key_file: cannot read {path} ({error})") from error
        return _checked(key, path)
    return "" if in_environment is None else _checked(in_environment.strip(), KEY_VARIABLE)


def _checked(key: str, where: str) -> str:
    """The key; no message repeats it."""
    if len(key) < SHORTEST_KEY or not all("!" <= one <= "~" for one in key):
        raise UserError(
            f"{where}: the API key must be {SHORTEST_KEY} or more printable ASCII characters without spaces"
        )
    return key
