"""Peak memory of a benchmark's process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resident import forget_peak, resident_gib

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_of_a_large_process_has_its_own_peak() -> None:
    """Its ru_maxrss is the parent's (findings/peak-memory-of-a-child-is-its-parents.sh)."""
    held = np.ones(200 << 20, np.uint8)
    told = subprocess.run(
        [sys.executable, "-c", "from resident import resident_gib; print(resident_gib('VmHWM'))"],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < float(told.stdout) < 0.1 < 0.19 < resident_gib("VmHWM")
    assert held.all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_peak_is_forgotten() -> None:
    held = np.ones(200 << 20, np.uint8)
    assert held.all()
    before = resident_gib("VmHWM")
    del held
    forget_peak()
    assert resident_gib("VmHWM") < before - 0.15
