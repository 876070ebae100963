"""The simple baselines of a prepared run on validation: quality, CPU seconds, peak memory; JSON lines.

    python benchmarks/baselines.py runs/ml-100k [--baselines ease]

Of the run's steps only `prepare` is read. One thread; the peak is that of the process so far.
"""

import argparse
import json
import time
from pathlib import Path
from typing import get_args

import torch

from recdistill.config import BaselineName, EvaluateConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.baselines import baseline_scorers
from recdistill.evaluation.protocol import validation_metrics
from resident import resident_gib


def main() -> None:
    """Fit and rank one after the other, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--baselines", nargs="+", choices=get_args(BaselineName), default=EvaluateConfig.baselines)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = PreparedData.load(arguments.run / "prepare")
    config = EvaluateConfig(baselines=tuple(arguments.baselines))
    for name, make in baseline_scorers(data, config).items():
        start = time.process_time()
        scorer = make()
        fitted = time.process_time()
        found = validation_metrics(scorer, data, config)
        seconds = {"fit_seconds": round(fitted - start, 1), "rank_seconds": round(time.process_time() - fitted, 1)}
        peak = resident_gib("VmHWM")
        print(
            json.dumps({"model": name} | found | seconds | {"peak_gib": round(peak, 2)} | scorer.settings), flush=True
        )


if __name__ == "__main__":
    main()
