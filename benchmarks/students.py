r"""Our student beside RecTools' and RecBole's SASRec on the very same prepared data, split and ranking.

    recdistill prepare --run runs/bench
    python benchmarks/students.py --data runs/bench/prepare --others .others/bin/python \
        --out docs/benchmarks/students.jsonl

`requirements-others.txt` says how `.others` is made; without `--others` only ours can be trained. Every arm is trained
its own way in a process of its own with equally many threads, arms in turn (another one first with each seed), and is
ranked by one code: whole catalog, seen items left out, ties in file order, ties of scores counted against the target.
After each epoch the clock stops, validation is ranked, the clock goes on; test is ranked once, with the weights of the
best validation. A line of JSON for each arm and seed goes to `--out`: the settings, the curve (`epoch`, `seconds`,
`cpu_seconds`, `ndcg@10`, `hit_rate@10`), the best validation, test, versions. On a machine that others use too, compare
`cpu_seconds`. An arm, seed and count of threads that `--out` already holds is not trained again.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ARMS = {"ours": "rivals.ours", "rectools": "rivals.rectools_sasrec", "recbole": "rivals.recbole_sasrec"}


def finished(out: Path, threads: int) -> set[tuple[str, int]]:
    """Arm and seed of the lines that are there, with as many threads."""
    if not out.is_file():
        return set()
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {(line["arm"], line["settings"]["seed"]) for line in lines if line["threads"] == threads}


def command(arm: str, seed: int, arguments: argparse.Namespace) -> list[str]:
    """What trains an arm."""
    python = sys.executable if arm == "ours" else str(arguments.others.absolute())
    words = [python, "-m", ARMS[arm], "--data", str(arguments.data.resolve()), "--out", str(arguments.out.resolve())]
    words += ["--seed", str(seed), "--patience", str(arguments.patience)]
    return words + (["--epochs", str(arguments.epochs)] if arguments.epochs else [])


def environment(threads: int) -> dict[str, str]:
    """The same threads for all, waiting passively, since spinning threads slow down whatever else runs."""
    paths = [str(HERE.parent / "src"), str(HERE)]
    wanted = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", "PYTHONPATH": os.pathsep.join(paths)}
    return os.environ | wanted


def turns(arms: list[str], seeds: list[int]) -> list[tuple[str, int]]:
    """Arm and seed of each training: arms in turn, another one first with each seed."""
    return [(arms[(first + place) % len(arms)], seed) for first, seed in enumerate(seeds) for place in range(len(arms))]


def summary(line: dict[str, Any]) -> dict[str, Any]:
    """What is printed of a line."""
    return {"arm": line["arm"], "seed": line["settings"]["seed"]} | {
        name: line[name] for name in ("epochs", "seconds", "cpu_seconds", "best", "test")
    }


def main() -> None:
    """Parse, train what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `recdistill prepare`")
    parser.add_argument("--others", type=Path, help="python of the environment with RecTools and RecBole")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=["ours", "rectools"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--patience", type=int, default=10, help="validations without a better one before an arm stops")
    parser.add_argument(
        "--epochs", type=int, help="most epochs of every arm (unset: ours 40, RecTools 100, RecBole 50)"
    )
    arguments = parser.parse_args()
    if arguments.others is None and set(arguments.arms) != {"ours"}:
        parser.error("--others: which python has RecTools and RecBole? (see benchmarks/requirements-others.txt)")
    for arm, seed in turns(arguments.arms, arguments.seeds):
        if (arm, seed) not in finished(arguments.out, arguments.threads):
            done = subprocess.run(
                command(arm, seed, arguments), env=environment(arguments.threads), cwd=HERE, check=False
            )
            if done.returncode:
                raise SystemExit(f"{arm}, seed {seed}: ended with status {done.returncode}")
            last = arguments.out.read_text(encoding="utf-8").splitlines()[-1]
            print(json.dumps(summary(json.loads(last))), flush=True)


if __name__ == "__main__":
    main()
