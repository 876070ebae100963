"""How a command tells why its processes ended."""

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from recdistill.parallel.launch import _ended
from recdistill.parallel.started import LeftLine


def failure(rank: int, code: int, at: int) -> ProcessFailure:
    found = ProcessFailure(rank, 100 + rank, code, "")
    found.timestamp = at
    return found


@pytest.mark.parametrize(
    ("failures", "left", "line", "status"),
    [
        ({0: (2, 9), 1: (2, 8)}, {0: ("mistake", 2, False), 1: ("mistake", 2, False)}, "mistake", 2),
        ({0: (1, 9), 1: (2, 8)}, {0: ("lost", 1, True), 1: ("full disk", 2, False)}, "full disk", 2),
        ({0: (143, 9), 1: (143, 9)}, {0: ("saved", 143, False), 1: ("saved", 143, False)}, "saved", 143),
        ({0: (1, 9), 2: (-9, 8)}, {0: ("lost", 1, True)}, "process 2 of 3 was ended by SIGKILL", 1),
        ({0: (143, 9), 2: (-9, 8)}, {0: ("saved", 143, False)}, "process 2 of 3 was ended by SIGKILL", 1),
        ({0: (143, 9), 1: (2, 8)}, {0: ("saved", 143, False), 1: ("full disk", 2, False)}, "full disk", 2),
        ({0: (-15, 9), 1: (3, 8)}, {}, "process 1 of 3 ended with status 3", 1),
        ({}, {0: ("lost", 1, True)}, "lost", 1),
    ],
)
def test_the_reason_is_told_by_whom_it_came_from(
    failures: dict[int, tuple[int, int]], left: dict[int, tuple[str, int, bool]], line: str, status: int
) -> None:
    lines = {rank: LeftLine(line=each[0], status=each[1], lost=each[2]) for rank, each in left.items()}
    ended = _ended({rank: failure(rank, *each) for rank, each in failures.items()}, lines, 3)
    assert line in ended.line
    assert ended.status == status
