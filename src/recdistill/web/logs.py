"""One JSON object per line on stderr: what happened, never what was in a history, a search or a key."""

import json
import logging
import os
import sys
import time
from traceback import extract_tb
from typing import Any

FIELDS = "recdistill_fields"
"""Attribute of a log record that holds more fields of its line."""


class JsonLines(logging.Formatter):
    """A log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, event, process, message and the record's own fields; an error's type and place."""
        line: dict[str, Any] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "event": record.name,
            "worker": record.process,
            "message": " ".join(record.getMessage().split()),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # Without the error's own text, which may repeat what was in a request.
            line["error"] = record.exc_info[0].__name__
            line["where"] = [f"{one.filename}:{one.lineno} {one.name}" for one in extract_tb(record.exc_info[2])]
        return json.dumps(line | getattr(record, FIELDS, {}))


def set_up_json_logs() -> None:
    """Write all of the process's log as JSON lines, in place of what wrote it before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, level in (
        ("recdistill", logging.NOTSET),
        ("uvicorn", logging.WARNING),
        ("uvicorn.error", logging.NOTSET),
    ):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"


class RequestLog:
    """A line per request, each in one write, so that workers do not write into each other's lines.

    Args:
        descriptor: open file; None: nothing is written.
    """

    def __init__(self, descriptor: int | None) -> None:
        self.descriptor = descriptor
        self._worker = os.getpid()

    def write(self, **fields: Any) -> None:
        """Log a request that was answered."""
        if self.descriptor is None:
            return
        line = {"time": timestamp(time.time()), "level": "info", "event": "request", "worker": self._worker, **fields}
        os.write(self.descriptor, (json.dumps(line) + "\n").encode())
