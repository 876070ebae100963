"""Temporary: replaced by the data room."""
import os
from pathlib import Path
def cache_folder() -> Path:
    return Path(os.environ.get("RECDISTILL_CACHE", Path.home() / ".cache/recdistill"))
