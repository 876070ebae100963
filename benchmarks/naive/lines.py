"""What the benchmarks print: lines of JSON, medians with their range over the turns."""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any


class Lines:
    """Prints each line as JSON, and writes all of them to a file too if one is named."""

    def __init__(self, out: Path | None) -> None:
        self.out, self.lines = out, list[str]()

    def __call__(self, line: dict[str, Any]) -> None:
        """Print one line."""
        self.lines.append(json.dumps(line))
        print(self.lines[-1], flush=True)
        if self.out:
            self.out.write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def spread(values: list[float], digits: int = 3) -> dict[str, Any]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), digits),
        "range": [round(min(values), digits), round(max(values), digits)],
    }


def ratio(above: list[float], below: list[float]) -> dict[str, Any]:
    """Median and range of the ratio, turn by turn."""
    return spread([one / other for one, other in zip(above, below, strict=True)])


def told(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of a benchmark, without what names a folder."""
    return {name: value for name, value in vars(arguments).items() if name not in ("data", "out", "llm", "run")}
