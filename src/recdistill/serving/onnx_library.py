"""onnxruntime, imported where it is needed, with its telemetry off."""

import os
from importlib.util import find_spec
from typing import Any

from recdistill.errors import UserError, not_installed

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""onnxruntime reads it when it is imported. By default it keeps a database in the user's cache, runs a thread
for it and sends what it collects to its maker."""


def import_onnxruntime() -> Any:
    """The library. Nothing is sent to anybody, unless the variable has been set to something else.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise UserError(not_installed("onnxruntime", "serve"))
    os.environ.setdefault(TELEMETRY_VARIABLE, "1")
    import onnxruntime

    return onnxruntime
