"""Every reader, given what it cannot use: one line, exit status 2, nothing written, and no more memory than stated."""

from collections import Counter
from pathlib import Path

import pytest

from malformed import arrays, jsons, named_sets, parquets, tensors, texts, yamls
from malformed.case import Case
from recdistill.cli.commands import exit_status
from recdistill.printable import LONGEST_LINE, printable

TABLE = (texts, named_sets, parquets, yamls, jsons, arrays, tensors)
CASES: list[Case] = [case for part in TABLE for case in part.CASES]
LEAST = 300
BOUND_MIB = 256
"""Memory that a malformed input may take beyond what the process had; a valid one takes a few blocks of 8 MiB."""
MIB = 1 << 20
ERROR = "recdistill: error: "


def test_there_are_enough_and_none_is_there_twice() -> None:
    assert len(CASES) >= LEAST
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_malformed_input_costs_one_line(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.write(tmp_path)
    before = snapshot(tmp_path)
    capsys.readouterr()
    held = begin_peak()
    status = exit_status("prepare", lambda: case.read(tmp_path))
    took = peak() - held
    told = capsys.readouterr()
    assert (status, told.out) == (2, ""), told
    (line,) = told.err.splitlines()
    assert line.startswith(ERROR)
    assert case.said in line
    assert len(line) <= len(ERROR) + LONGEST_LINE + 1
    assert printable(line) == line
    assert "Traceback" not in line
    assert snapshot(tmp_path) == before
    assert took <= (BOUND_MIB + case.more_mib) * MIB


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all that is in a folder."""
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items() if path.is_file()}


def begin_peak() -> int:
    """Forget the peak so far; bytes that the process holds now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


def peak() -> int:
    """Most bytes that the process held since (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) << 10
