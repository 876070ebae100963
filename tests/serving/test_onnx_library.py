import os
import subprocess
import sys
from pathlib import Path

import pytest

from recdistill.errors import UserError
from recdistill.serving import onnx_library

SCRIPT = """
from recdistill.serving.onnx_library import import_onnxruntime
import_onnxruntime().SessionOptions()
"""


def test_nothing_is_collected_about_who_serves(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_library, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[serve\]'"):
        onnx_library.import_onnxruntime()
