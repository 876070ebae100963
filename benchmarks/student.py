"""Train the default student on prepared data and print one JSON line: seconds, epochs, validation and test quality.

    python benchmarks/student.py --data runs/demo/prepare --seed 42

Test is read once, after training, by full-catalog ranking with seen items left out. `plateau` counts validations since
the best one; a run that ends at its last epoch with 0 was cut off, not finished.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch

from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.metrics import means
from recdistill.evaluation.ranking import rank
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.progress import set_up_logging
from recdistill.training.student import student_scorer, train_student


def main() -> None:
    """Parse, train, rank, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `prepare`")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    set_up_logging(quiet=False)
    torch.set_num_threads(arguments.threads)
    config = RunConfig(seed=arguments.seed, device=arguments.device)
    data = PreparedData.load(arguments.data)
    cpu = time.process_time()
    with tempfile.TemporaryDirectory() as name, Profiler(arguments.device) as profiler:
        result = train_student(config, data, RunContext(arguments.device, profiler, Path(name)))
        cpu = time.process_time() - cpu
        began = time.perf_counter()
        scorer = student_scorer(Path(name), data, arguments.device)
        test = means(rank(data, data.targets("test"), scorer, 256, config.evaluate.filter_seen, top_k=1).ranks)
        test_seconds = time.perf_counter() - began
    values = [row.watched for row in result.history]
    line = {
        "seed": arguments.seed,
        "seconds": round(result.seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "plateau": len(values) - 1 - values.index(max(values)),
        "validation": result.metrics,
        "test": {name: test[name] for name in ("ndcg@10", "hit_rate@10")},
        "test_seconds": round(test_seconds, 2),
        "targets_per_second": round(result.targets / result.seconds),
        "phases": profiler.timings()["phases"],
        "threads": arguments.threads,
        "student": asdict(config.student),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
